//! Two models compared on the same requests.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::{RequestId, Timestamp};

use crate::{
    agreement::{Agreeing, quantiles},
    auc,
    calibration::Calibration,
    interval::Confidence,
    kept::{Kept, KeptPair},
    loss::{brier, log_loss},
    mean::MeanSequence,
    quantile::TimeQuantiles,
    report::{Difference, FirstSaid, Look, Metric, ModelFigures, Report, Verdict},
    segments::Segments,
};

/// What one of the two models made of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelScore {
    /// The scalar of its score that the endpoint's configuration names; `None` when it failed, or
    /// when nothing of it is known.
    pub value: Option<f64>,
    /// It sent a failure, or, as far as the caller knows, should have sent a score and sent
    /// nothing.
    pub failed: bool,
    /// Its score arrived after the request's deadline.
    pub late: bool,
    /// From the request's receipt to the arrival of its score.
    pub after: Option<Duration>,
}

impl ModelScore {
    fn is_known(&self) -> bool {
        self.value.is_some() || self.failed
    }
}

/// One request, as two models saw it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    pub request: RequestId,
    /// When its outcome first arrived; without one, when its scores had arrived.
    pub at: Timestamp,
    pub first: ModelScore,
    pub second: ModelScore,
    /// The outcome that arrived first.
    pub outcome: Option<f64>,
    /// Whether another outcome arrived later.
    pub corrected: bool,
    /// The segment that the request belongs to, e.g. a field of its payload.
    pub segment: Option<&'a str>,
}

/// How two models are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Of every interval, each on its own.
    pub confidence: Confidence,
    /// A value at or above it is on the upper side.
    pub threshold: f64,
    /// The greatest logarithmic loss of a request, in nats.
    pub log_loss_clip: f64,
    /// The share of paired requests with an outcome below which there is no verdict.
    pub minimum_coverage: f64,
    /// How many segments have figures of their own.
    pub segments: usize,
    /// Of how many requests the values are kept, for AUC, ranks and quantiles; 50 bytes each.
    pub kept: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            confidence: Confidence::DEFAULT,
            threshold: 0.5,
            // The loss of a value of 0.0067 for what happens.
            log_loss_clip: 5.0,
            minimum_coverage: 0.5,
            segments: 50,
            kept: 100_000,
        }
    }
}

/// Compares two models on the same requests, in bounded memory: about 5 MB with the default
/// settings.
///
/// Requests are pushed **once each, in the order in which their outcomes first arrived**; those
/// without an outcome may come anywhere. Anytime figures then hold at every look, whether it
/// repeats the comparison over all that has arrived by then or goes on with the one before. They
/// are about the requests whose outcomes arrived: whether the others are like these, no statistics
/// can tell, hence the minimum of the coverage.
#[derive(Clone, Debug)]
pub struct Comparison {
    settings: Settings,
    requests: u64,
    paired: u64,
    with_outcome: u64,
    corrected: u64,
    unusable: u64,
    metrics: BTreeMap<Metric, Tracked>,
    first: Side,
    second: Side,
    agreeing: Agreeing,
    kept: Kept,
    segments: Segments,
}

impl Comparison {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            requests: 0,
            paired: 0,
            with_outcome: 0,
            corrected: 0,
            unusable: 0,
            metrics: BTreeMap::new(),
            first: Side::default(),
            second: Side::default(),
            agreeing: Agreeing::new(settings.threshold),
            kept: Kept::new(settings.kept),
            segments: Segments::new(settings.segments),
        }
    }

    pub fn push(&mut self, pair: &Pair<'_>) {
        self.requests += 1;
        self.corrected += u64::from(pair.corrected);
        let (first, second) = (pair.first, pair.second);
        if first.is_known() && second.is_known() {
            self.first.push(&first);
            self.second.push(&second);
            let difference = |a: bool, b: bool| f64::from(u8::from(a)) - f64::from(u8::from(b));
            self.track(Metric::Failed, difference(first.failed, second.failed), pair.at);
            self.track(Metric::Late, difference(first.late, second.late), pair.at);
        }
        let finite = |score: ModelScore| score.value.filter(|value| value.is_finite());
        if let (Some(a), Some(b)) = (finite(first), finite(second)) {
            self.push_values(pair, a, b);
        }
    }

    fn push_values(&mut self, pair: &Pair<'_>, first: f64, second: f64) {
        self.paired += 1;
        let same_side = self.agreeing.push(first, second);
        self.track(Metric::Disagreement, f64::from(u8::from(!same_side)), pair.at);
        self.kept.push(pair.request, KeptPair { first, second, outcome: binary(pair.outcome) });
        let Some(outcome) = pair.outcome else { return };
        self.with_outcome += 1;
        if [first, second, outcome].iter().all(|share| (0.0..=1.0).contains(share)) {
            self.push_losses(pair, first, second, outcome);
        } else {
            self.unusable += 1;
        }
    }

    fn push_losses(&mut self, pair: &Pair<'_>, first: f64, second: f64, outcome: f64) {
        let clip = self.settings.log_loss_clip;
        let losses = |value| (brier(value, outcome), log_loss(value, outcome, clip));
        let (a, b) = (losses(first), losses(second));
        self.first.push_losses(a);
        self.second.push_losses(b);
        self.first.calibration.push(first, outcome);
        self.second.calibration.push(second, outcome);
        self.track(Metric::Brier, a.0 - b.0, pair.at);
        self.track(Metric::LogLoss, a.1 - b.1, pair.at);
        self.segments.push(pair.segment, a.0 - b.0);
    }

    fn track(&mut self, metric: Metric, x: f64, at: Timestamp) {
        let clip = self.settings.log_loss_clip;
        self.metrics.entry(metric).or_insert_with(|| Tracked::new(metric, clip)).push(
            x,
            at,
            self.settings.confidence,
        );
    }

    /// The figures so far.
    pub fn report(&self) -> Report {
        let kept: Vec<KeptPair> = self.kept.pairs().copied().collect();
        let coverage = ratio(self.with_outcome as f64, self.paired).unwrap_or(0.0);
        let confidence = self.settings.confidence;
        Report {
            requests: self.requests,
            paired: self.paired,
            with_outcome: self.with_outcome,
            coverage,
            minimum_coverage: self.settings.minimum_coverage,
            corrected: self.corrected,
            unusable: self.unusable,
            difference: self.differences(coverage < self.settings.minimum_coverage),
            first: self.first.figures(confidence),
            second: self.second.figures(confidence),
            agreement: self.agreeing.report(&kept),
            quantiles: quantiles(&kept),
            auc: auc::compare(&with_outcomes(&kept), confidence),
            segments: self.segments.report(confidence),
        }
    }

    fn differences(&self, too_few_outcomes: bool) -> BTreeMap<Metric, Difference> {
        let difference = |(&metric, tracked): (&Metric, &Tracked)| {
            let withheld = metric.needs_outcomes() && too_few_outcomes;
            Some((metric, tracked.difference(metric, withheld, self.settings.confidence)?))
        };
        self.metrics.iter().filter_map(difference).collect()
    }
}

/// A metric's sequence, and when it first excluded zero.
#[derive(Clone, Debug)]
struct Tracked {
    sequence: MeanSequence,
    first_said: Option<FirstSaid>,
    looks: Vec<Look>,
    last: Timestamp,
}

/// After how many requests the first look is, and how many times as many each next one is after. A billion
/// requests have some 250 looks.
const FIRST_LOOK: u64 = 10;
const NEXT_LOOK: f64 = 1.08;

impl Tracked {
    fn new(metric: Metric, log_loss_clip: f64) -> Self {
        let sequence = match metric {
            Metric::LogLoss => MeanSequence::of_differences(log_loss_clip),
            Metric::Brier | Metric::Failed | Metric::Late => MeanSequence::of_differences(1.0),
            Metric::Disagreement => MeanSequence::of_rates(),
        };
        Self { sequence, first_said: None, looks: Vec::new(), last: Timestamp::default() }
    }

    fn push(&mut self, x: f64, at: Timestamp, confidence: Confidence) {
        self.sequence.push(x);
        self.last = at;
        let next =
            self.looks.last().map_or(FIRST_LOOK as f64, |look| look.requests as f64 * NEXT_LOOK);
        if self.sequence.count() as f64 >= next {
            self.looks.extend(self.look(confidence));
        }
        if self.first_said.is_none() && self.sequence.excludes_zero(confidence) {
            self.first_said = Some(FirstSaid {
                requests: self.sequence.count(),
                at_us: at,
                verdict: self.verdict(confidence),
            });
        }
    }

    /// The interval as it is now.
    fn look(&self, confidence: Confidence) -> Option<Look> {
        let interval = self.sequence.interval(confidence)?;
        Some(Look {
            requests: self.sequence.count(),
            at_us: self.last,
            estimate: interval.estimate,
            low: interval.low,
            high: interval.high,
        })
    }

    fn verdict(&self, confidence: Confidence) -> Verdict {
        match self.sequence.interval(confidence) {
            Some(interval) if interval.high < 0.0 => Verdict::First,
            Some(interval) if interval.low > 0.0 => Verdict::Second,
            _ => Verdict::Undecided,
        }
    }

    fn difference(
        &self,
        metric: Metric,
        withheld: bool,
        confidence: Confidence,
    ) -> Option<Difference> {
        let verdict = match metric {
            Metric::Disagreement => None,
            _ if withheld => Some(Verdict::TooFewOutcomes),
            _ => Some(self.verdict(confidence)),
        };
        let last = self.look(confidence);
        let is_new =
            |look: &Look| self.looks.last().is_none_or(|last| last.requests < look.requests);
        let over_time = self.looks.iter().copied().chain(last.filter(is_new)).collect();
        Some(Difference {
            over_time,
            interval: self.sequence.interval(confidence)?,
            requests: self.sequence.count(),
            verdict,
            first_said: self.first_said.filter(|_| metric != Metric::Disagreement && !withheld),
            sequence: self.sequence,
        })
    }
}

/// What is counted of one of the models alone.
#[derive(Clone, Debug, Default)]
struct Side {
    known: u64,
    failed: u64,
    late: u64,
    judged: u64,
    brier: f64,
    log_loss: f64,
    after: TimeQuantiles,
    calibration: Calibration,
}

impl Side {
    fn push(&mut self, score: &ModelScore) {
        self.known += 1;
        self.failed += u64::from(score.failed);
        self.late += u64::from(score.late);
        if let Some(after) = score.after {
            self.after.push(after);
        }
    }

    fn push_losses(&mut self, (brier, log_loss): (f64, f64)) {
        self.judged += 1;
        self.brier += brier;
        self.log_loss += log_loss;
    }

    fn figures(&self, confidence: Confidence) -> ModelFigures {
        let quantiles = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];
        let interval = |(name, p)| Some((name, self.after.interval(p, confidence)?));
        ModelFigures {
            brier: ratio(self.brier, self.judged),
            log_loss: ratio(self.log_loss, self.judged),
            failed: ratio(self.failed as f64, self.known),
            late: ratio(self.late as f64, self.known),
            after_ms: quantiles.into_iter().filter_map(interval).collect(),
            calibration: self.calibration.bins(),
        }
    }
}

fn ratio(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

#[expect(clippy::float_cmp, reason = "only the two values themselves are binary")]
fn binary(outcome: Option<f64>) -> Option<bool> {
    outcome.filter(|&outcome| outcome == 0.0 || outcome == 1.0).map(|outcome| outcome == 1.0)
}

fn with_outcomes(kept: &[KeptPair]) -> Vec<(f64, f64, bool)> {
    kept.iter().filter_map(|pair| Some((pair.first, pair.second, pair.outcome?))).collect()
}
