use serde::{Deserialize, Serialize};

use super::merge::Merge;
use crate::{loss::brier, mean::MeanSequence};

/// One model against the outcomes of requests that it has a value for. Values and outcomes are between
/// 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    predicted: f64,
    observed: f64,
    excess: MeanSequence,
    loss: MeanSequence,
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            predicted: 0.0,
            observed: 0.0,
            excess: MeanSequence::of_differences(1.0),
            loss: MeanSequence::of_rates(),
        }
    }
}

impl Outcomes {
    /// Counts a value and its outcome; NaN is not counted.
    pub fn push(&mut self, value: f64, outcome: f64) {
        if value.is_nan() || outcome.is_nan() {
            return;
        }
        let (value, outcome) = (value.clamp(0.0, 1.0), outcome.clamp(0.0, 1.0));
        self.predicted += value;
        self.observed += outcome;
        self.excess.push(value - outcome);
        self.loss.push(brier(value, outcome));
    }

    pub fn count(&self) -> u64 {
        self.excess.count()
    }

    /// The mean value and the mean outcome; `None` without outcomes.
    pub fn means(&self) -> Option<(f64, f64)> {
        let n = self.count() as f64;
        (n > 0.0).then(|| (self.predicted / n, self.observed / n))
    }

    /// The value less the outcome: how much too high the model predicts on average.
    pub fn excess(&self) -> MeanSequence {
        self.excess
    }

    /// The squared error (Brier score).
    pub fn loss(&self) -> MeanSequence {
        self.loss
    }
}

impl Merge for Outcomes {
    fn merge(&mut self, other: &Self) {
        self.predicted += other.predicted;
        self.observed += other.observed;
        self.excess.merge(&other.excess);
        self.loss.merge(&other.loss);
    }
}
