//! Windows: mergeable statistics of one minute.
//!
//! A window belongs to one endpoint, configuration version, arm and minute: [`Window`] to a model,
//! [`Decisions`] to all decisions, [`Pair`] to two models, [`Pairs`] to several such, [`Features`] to the requests, [`Outcomes`] to a
//! model whose outcomes are known. Whoever reads merges ([`merged`]); the result is the window of a longer
//! time, of several arms, or of whatever the merged windows belonged to.
//!
//! | window | of a minute with 600 requests | of a day, at most |
//! | --- | ---: | ---: |
//! | [`Window`] | 1.6 KB | 5.4 KB |
//! | [`Decisions`] | 0.4 KB | 2.5 KB |
//! | [`Pair`] | 0.1 KB | 0.1 KB |
//! | [`Features`], for each number | 0.8 KB | 1.3 KB |
//! | [`Features`], for each text | 0.1 KB to 2.2 KB | 2.2 KB |
//! | [`Outcomes`] | 0.1 KB | 0.1 KB |
//!
//! Times are counted with a relative error of 1 %, since the tail of a time matters more than its rank
//! ([`TimeQuantiles`]); values by a [`Sketch`] with a bounded error of the rank, since models have values of
//! any scale. On one core several million scores a second are counted, one million requests with ten features, and
//! 60,000 windows read and merged (`benches/windows.rs`); in memory a window takes up to 20 KB.

mod decisions;
mod features;
mod merge;
mod outcomes;
mod pair;
mod pairs;

use std::time::Duration;

use rendezvous_core::FailureKind;
use serde::{Deserialize, Serialize};

use crate::{
    counts::{add, sum},
    quantile::TimeQuantiles,
    sketch::Sketch,
};

pub use decisions::Decisions;
pub use features::{Feature, FeatureWindow, Features};
pub use merge::{Merge, add_to, merged};
pub use outcomes::Outcomes;
pub use pair::{MIN_PAIRED, Pair};
pub use pairs::Pairs;

/// The scores of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    scored: u64,
    /// Failures by kind.
    failed: [u64; 4],
    without_value: u64,
    time: TimeQuantiles,
    values: Sketch,
}

impl Window {
    /// An empty window. Windows that are merged have different seeds, see [`Sketch`].
    pub fn new(seed: u64) -> Self {
        Self {
            scored: 0,
            failed: [0; 4],
            without_value: 0,
            time: TimeQuantiles::default(),
            values: Sketch::new(seed),
        }
    }

    /// Counts a score: how long after the request's receipt it was finished, and its value, if the score
    /// has a number where the configuration says.
    pub fn score(&mut self, after: Duration, value: Option<f64>) {
        self.scored += 1;
        self.time.push(after);
        match value.filter(|value| !value.is_nan()) {
            Some(value) => self.values.push(value),
            None => self.without_value += 1,
        }
    }

    /// Counts a failure.
    pub fn failure(&mut self, kind: FailureKind) {
        self.failed[place(kind)] += 1;
    }

    /// Scores and failures.
    pub fn messages(&self) -> u64 {
        self.scored.saturating_add(self.failures())
    }

    pub fn scored(&self) -> u64 {
        self.scored
    }

    /// The failures of all kinds.
    pub fn failures(&self) -> u64 {
        sum(&self.failed)
    }

    pub fn failed(&self, kind: FailureKind) -> u64 {
        self.failed[place(kind)]
    }

    /// Scores without a number where the configuration says.
    pub fn without_value(&self) -> u64 {
        self.without_value
    }

    /// From the requests' receipt to the scores.
    pub fn time(&self) -> &TimeQuantiles {
        &self.time
    }

    /// The distribution of the values.
    pub fn values(&self) -> &Sketch {
        &self.values
    }
}

impl Merge for Window {
    fn merge(&mut self, other: &Self) {
        add(&mut self.scored, other.scored);
        add(&mut self.without_value, other.without_value);
        for (own, failed) in self.failed.iter_mut().zip(other.failed) {
            add(own, failed);
        }
        self.time.merge(&other.time);
        self.values.merge(&other.values);
    }
}

/// Where failures of a kind are counted. It is kept in bytes and never changes.
fn place(kind: FailureKind) -> usize {
    match kind {
        FailureKind::Failed => 0,
        FailureKind::TimedOut => 1,
        FailureKind::Expired => 2,
        FailureKind::Invalid => 3,
    }
}
