use std::time::Duration;

use rendezvous_core::decision::{Kind, Reason};
use serde::{Deserialize, Serialize};

use super::merge::Merge;
use crate::{
    counts::{add, sum},
    quantile::TimeQuantiles,
};

/// The decisions of one arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// By kind, and within it by reason, in the order of their `ALL`.
    counts: [[u64; 6]; 4],
    late: u64,
    settled: u64,
    time: TimeQuantiles,
}

impl Decisions {
    /// Counts a decision: how long after the request's receipt it was made, whether that was late, and
    /// whether its commit was confirmed.
    pub fn push(&mut self, kind: Kind, reason: Reason, after: Duration, late: bool, settled: bool) {
        let (kind, reason) = (place(&Kind::ALL, &kind), place(&Reason::ALL, &reason));
        self.counts[kind][reason] += 1;
        self.late += u64::from(late);
        self.settled += u64::from(settled);
        self.time.push(after);
    }

    pub fn count(&self) -> u64 {
        sum(self.counts.as_flattened())
    }

    pub fn kind(&self, kind: Kind) -> u64 {
        sum(&self.counts[place(&Kind::ALL, &kind)])
    }

    pub fn reason(&self, reason: Reason) -> u64 {
        sum(self.counts.iter().map(|reasons| &reasons[place(&Reason::ALL, &reason)]))
    }

    /// Each kind and reason that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Reason, u64)> {
        let reasons = |(kind, counts): (Kind, [u64; 6])| {
            Reason::ALL.into_iter().zip(counts).map(move |(reason, count)| (kind, reason, count))
        };
        Kind::ALL.into_iter().zip(self.counts).flat_map(reasons).filter(|(.., count)| *count > 0)
    }

    /// Requests that no model answered.
    pub fn unanswered(&self) -> u64 {
        self.kind(Kind::Fallback).saturating_add(self.kind(Kind::None))
    }

    pub fn late(&self) -> u64 {
        self.late
    }

    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// From the requests' receipt to the decisions.
    pub fn time(&self) -> &TimeQuantiles {
        &self.time
    }
}

impl Merge for Decisions {
    fn merge(&mut self, other: &Self) {
        let counts = self.counts.as_flattened_mut().iter_mut();
        for (own, count) in counts.zip(other.counts.as_flattened()) {
            add(own, *count);
        }
        add(&mut self.late, other.late);
        add(&mut self.settled, other.settled);
        self.time.merge(&other.time);
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> usize {
    // Every one is among all.
    all.iter().position(|other| other == one).unwrap_or(0)
}
