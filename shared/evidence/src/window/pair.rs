use serde::{Deserialize, Serialize};

use super::merge::Merge;
use crate::{
    counts::add,
    interval::{Anytime, Confidence, Interval},
    loss::brier,
    mean::MeanSequence,
};

/// The share of the requests expected for which both models must have a value. Below it nothing is
/// said about a pair: a model that fails on the difficult requests would look better than it is.
pub const MIN_PAIRED: f64 = 0.95;

/// Two models on the same requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    threshold: f64,
    expected: u64,
    paired: u64,
    apart: u64,
    difference: MeanSequence,
    outcomes: u64,
    loss: MeanSequence,
}

impl Pair {
    /// A value at or above `threshold` is on the upper side.
    pub fn new(threshold: f64) -> Self {
        Self {
            threshold,
            expected: 0,
            paired: 0,
            apart: 0,
            difference: MeanSequence::of_differences(1.0),
            outcomes: 0,
            loss: MeanSequence::of_differences(1.0),
        }
    }

    /// Counts a request that both models were expected to score, with the values that they gave.
    pub fn push(&mut self, first: Option<f64>, second: Option<f64>) {
        self.expected += 1;
        if let (Some(first), Some(second)) = (number(first), number(second)) {
            self.paired += 1;
            let apart = (first >= self.threshold) != (second >= self.threshold);
            self.apart += u64::from(apart);
            self.difference.push(second - first);
        }
    }

    /// Counts an outcome, between 0 and 1, of a request that both models were expected to score.
    pub fn outcome(&mut self, first: Option<f64>, second: Option<f64>, outcome: f64) {
        self.outcomes += 1;
        if let (Some(first), Some(second)) = (number(first), number(second)) {
            self.loss.push(brier(second, outcome) - brier(first, outcome));
        }
    }

    /// The requests that both models were expected to score.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// The requests for which both have a value.
    pub fn paired(&self) -> u64 {
        self.paired
    }

    /// The share of the requests whose two values are on different sides of the threshold, as a rate;
    /// `None` where too few are paired.
    pub fn disagreement(&self) -> Option<MeanSequence> {
        enough(self.paired, self.expected).then(|| MeanSequence::of_events(self.apart, self.paired))
    }

    /// The second model's value less the first's, for values between 0 and 1; `None` where too few are
    /// paired.
    pub fn difference(&self, confidence: Confidence) -> Option<Interval<Anytime>> {
        enough(self.paired, self.expected).then(|| self.difference.interval(confidence)).flatten()
    }

    /// The second model's squared error less the first's, over the outcomes known; `None` where too few of
    /// them are paired.
    pub fn loss(&self) -> Option<MeanSequence> {
        enough(self.loss.count(), self.outcomes).then_some(self.loss)
    }

    /// The outcomes of requests that both models were expected to score.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }
}

impl Merge for Pair {
    fn merge(&mut self, other: &Self) {
        add(&mut self.expected, other.expected);
        add(&mut self.paired, other.paired);
        add(&mut self.apart, other.apart);
        self.difference.merge(&other.difference);
        add(&mut self.outcomes, other.outcomes);
        self.loss.merge(&other.loss);
    }
}

fn number(value: Option<f64>) -> Option<f64> {
    value.filter(|value| !value.is_nan())
}

fn enough(paired: u64, expected: u64) -> bool {
    paired > 0 && paired as f64 >= MIN_PAIRED * expected as f64
}
