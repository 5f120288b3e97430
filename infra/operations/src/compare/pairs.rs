//! The requests of an archive as two models saw them.

use std::time::Duration;

use rendezvous_archive::{Joined, join::Requests};
use rendezvous_core::{ModelId, RequestId, Timestamp, now};
use rendezvous_evidence::{Comparison, ModelScore, Pair, Report, Settings, whatif::Configurations};
use serde::Serialize;

use crate::failure::Failure;

/// How long after its deadline a score may be on its way to the archive.
const ON_ITS_WAY: Duration = Duration::from_hours(1);

/// How many of the requests are named on which the values differ most.
const DIFFERING: usize = 20;

/// A request on which the values differ.
#[derive(Debug, Serialize)]
pub(super) struct Differing {
    request: RequestId,
    received_us: Timestamp,
    values: [f64; 2],
    /// As it was last reported.
    outcome: Option<f64>,
}

impl Differing {
    fn by(&self) -> f64 {
        let [first, second] = self.values;
        (first - second).abs()
    }
}

/// The requests, and the two models.
pub(super) struct Pairs<'r> {
    pub(super) requests: &'r Requests,
    pub(super) configurations: &'r Configurations,
    pub(super) models: [ModelId; 2],
}

impl Pairs<'_> {
    /// Compares the models. Requests without an outcome come first, the others in the order in which
    /// their outcomes first arrived.
    pub(super) fn compare(&self, settings: Settings) -> Result<Report, Failure> {
        let mut comparison = Comparison::new(settings);
        self.requests.each(|joined| {
            if joined.outcome.is_none() {
                self.push(&joined, &mut comparison);
            }
            Ok(())
        })?;
        self.requests.by_outcome()?.each(|joined| {
            self.push(&joined, &mut comparison);
            Ok(())
        })?;
        Ok(comparison.report())
    }

    /// Hands over each request of which both models have a value.
    pub(super) fn values(&self, mut each: impl FnMut(&Joined, [f64; 2])) -> Result<(), Failure> {
        self.requests.each(|joined| {
            let value = |model: &ModelId| joined.score_of(model).and_then(|score| score.value);
            let [first, second] = &self.models;
            if let (Some(first), Some(second)) = (value(first), value(second)) {
                each(&joined, [first, second]);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The requests on which the values differ most.
    pub(super) fn differing(&self) -> Result<Vec<Differing>, Failure> {
        let mut most: Vec<Differing> = Vec::new();
        self.values(|joined, values| {
            let Some(asked) = &joined.request else { return };
            let outcome = joined.outcome.as_ref().and_then(|outcome| outcome.last);
            let of = Differing { request: joined.id, received_us: asked.received, values, outcome };
            let place = most.partition_point(|other| other.by() >= of.by());
            if place < DIFFERING {
                most.truncate(DIFFERING - 1);
                most.insert(place, of);
            }
        })?;
        Ok(most)
    }

    fn push(&self, joined: &Joined, comparison: &mut Comparison) {
        let Some(asked) = &joined.request else { return };
        let outcome = joined.outcome.as_ref();
        let last = joined.scores.last().map_or(asked.arrived, |score| score.arrived);
        let [first, second] = self.models.each_ref().map(|model| self.score(joined, model));
        comparison.push(&Pair {
            request: joined.id,
            at: outcome.map_or(last, |outcome| outcome.arrived),
            first,
            second,
            outcome: outcome.and_then(|outcome| outcome.first),
            corrected: outcome.is_some_and(|outcome| outcome.first != outcome.last),
            segment: asked.segment.as_deref(),
        });
    }

    fn score(&self, joined: &Joined, model: &ModelId) -> ModelScore {
        let Some(asked) = &joined.request else { return ModelScore::default() };
        let Some(score) = joined.score_of(model) else {
            return ModelScore { failed: self.is_missing(joined, model), ..ModelScore::default() };
        };
        ModelScore {
            value: score.value,
            failed: score.failure.is_some(),
            late: score.arrived > asked.deadline,
            after: Some(score.arrived.since(asked.received)),
        }
    }

    /// Whether the model should have sent a score, and would have by now.
    fn is_missing(&self, joined: &Joined, model: &ModelId) -> bool {
        let Some(asked) = &joined.request else { return false };
        let expected = self.configurations.get(&asked.config).is_some_and(|configuration| {
            configuration.models().any(|listed| listed == model) && !asked.skip.contains(model)
        });
        expected && arrived_by_now(asked.deadline)
    }
}

fn arrived_by_now(deadline: Timestamp) -> bool {
    now() > deadline + ON_ITS_WAY
}
