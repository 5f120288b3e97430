//! What a comparison found. Serialises to the JSON of `compare`.

use std::{collections::BTreeMap, fmt};

use rendezvous_core::Timestamp;
use serde::Serialize;

use crate::{
    agreement::{Agreement, QuantilePair},
    auc::AucComparison,
    calibration::Bin,
    interval::{Anytime, Confidence, Interval},
    mean::MeanSequence,
    segments::Segment,
};

/// What is compared request by request. Lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The difference of the Brier scores, between -1 and 1. Needs the outcome.
    Brier,
    /// The difference of the logarithmic losses, in nats, each clipped. Needs the outcome.
    LogLoss,
    /// The difference of the shares of requests that a model failed on.
    Failed,
    /// The difference of the shares of requests whose score came after the deadline.
    Late,
    /// The share of requests on which the models' values are on two sides of the threshold. No
    /// difference: it says that the models differ, not which one is better.
    Disagreement,
}

impl Metric {
    pub const ALL: [Self; 5] =
        [Self::Brier, Self::LogLoss, Self::Failed, Self::Late, Self::Disagreement];

    pub fn name(self) -> &'static str {
        match self {
            Self::Brier => "brier",
            Self::LogLoss => "log_loss",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Disagreement => "disagreement",
        }
    }

    pub fn needs_outcomes(self) -> bool {
        matches!(self, Self::Brier | Self::LogLoss)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which model has the lower metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    First,
    Second,
    /// The interval contains zero.
    Undecided,
    /// The share of requests with an outcome is below the minimum, so that those without could
    /// differ from those with.
    TooFewOutcomes,
}

/// When a metric's interval first excluded zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FirstSaid {
    /// After how many requests that count for the metric.
    pub requests: u64,
    /// The instant that the caller gave with the last of them.
    pub at_us: Timestamp,
    pub verdict: Verdict,
}

/// A difference as it was after so many requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Look {
    pub requests: u64,
    /// The instant that the caller gave with the last of them.
    pub at_us: Timestamp,
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// A metric of the first model less that of the second, on the same requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    #[serde(flatten)]
    pub interval: Interval<Anytime>,
    /// Requests that count for it.
    pub requests: u64,
    /// `None` for [`Metric::Disagreement`].
    pub verdict: Option<Verdict>,
    pub first_said: Option<FirstSaid>,
    /// The interval as it was after more and more requests, and after all of them.
    pub over_time: Vec<Look>,
    /// The interval at other confidences.
    #[serde(skip)]
    pub(crate) sequence: MeanSequence,
}

impl Difference {
    /// The interval at another confidence, valid at any time like the one reported.
    pub fn at(&self, confidence: Confidence) -> Option<Interval<Anytime>> {
        self.sequence.interval(confidence)
    }
}

/// Figures of one of the two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelFigures {
    /// Mean losses over the requests with both values and an outcome.
    pub brier: Option<f64>,
    pub log_loss: Option<f64>,
    /// Shares of the requests for which both models sent a score or a failure.
    pub failed: Option<f64>,
    pub late: Option<f64>,
    /// Quantiles of the time from the request's receipt to the arrival of its score, in
    /// milliseconds: `p50`, `p95`, `p99`.
    pub after_ms: BTreeMap<&'static str, Interval<Anytime>>,
    /// Of the requests that count for the losses.
    pub calibration: Vec<Bin>,
}

/// What a comparison of two models on the same requests found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Requests that were looked at.
    pub requests: u64,
    /// Those for which both models have a value.
    pub paired: u64,
    /// Those of the paired that have an outcome, and their share.
    pub with_outcome: u64,
    pub coverage: f64,
    /// The coverage below which there is no verdict on a metric that needs outcomes.
    pub minimum_coverage: f64,
    /// Requests whose outcome was corrected later. The first one counts.
    pub corrected: u64,
    /// Requests with an outcome or a value that is not between 0 and 1: they have no loss.
    pub unusable: u64,
    /// By metric: without those that no request counts for.
    pub difference: BTreeMap<Metric, Difference>,
    pub first: ModelFigures,
    pub second: ModelFigures,
    pub agreement: Option<Agreement>,
    pub quantiles: Vec<QuantilePair>,
    pub auc: Option<AucComparison>,
    pub segments: Vec<Segment>,
}
