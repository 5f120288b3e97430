//! Windows as figures.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::{
    FailureKind,
    decision::{Kind, Reason},
};
use rendezvous_evidence::{
    quantile::TimeQuantiles,
    window::{Decisions, Window},
};
use serde::Serialize;

/// What the decisions of an arm say.
#[derive(Debug, Serialize)]
pub(super) struct ArmFigures {
    pub(super) requests: u64,
    pub(super) per_minute: f64,
    /// How many requests each kind of decision answered.
    pub(super) kinds: BTreeMap<&'static str, u64>,
    /// The reasons that occurred, the most frequent first.
    pub(super) reasons: Vec<ReasonCount>,
    pub(super) late: u64,
    pub(super) elapsed_ms: Option<Times>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReasonCount {
    pub(super) reason: &'static str,
    pub(super) count: u64,
}

/// Quantiles of times, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) p5: f64,
    pub(super) p25: f64,
    pub(super) p50: f64,
    pub(super) p75: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

/// What the scores of a model say.
#[derive(Debug, Serialize)]
pub(super) struct ModelFigures {
    pub(super) scored: u64,
    /// The failures of each kind that occurred.
    pub(super) failed: BTreeMap<&'static str, u64>,
    pub(super) elapsed_ms: Option<Times>,
    /// The median of the value; none where the configuration names no value.
    pub(super) median: Option<f64>,
}

impl ArmFigures {
    /// The figures of an arm, `None` where it has no decisions, in this span of time.
    pub(super) fn of(decisions: Option<&Decisions>, time: Duration) -> Self {
        let none = Decisions::default();
        let decisions = decisions.unwrap_or(&none);
        let mut reasons: BTreeMap<Reason, u64> = BTreeMap::new();
        for (_, reason, count) in decisions.iter() {
            *reasons.entry(reason).or_default() += count;
        }
        let mut reasons: Vec<ReasonCount> = reasons
            .into_iter()
            .map(|(reason, count)| ReasonCount { reason: reason.as_str(), count })
            .collect();
        reasons.sort_by_key(|each| std::cmp::Reverse(each.count));
        let requests = decisions.count();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let per_minute = requests as f64 / (time.as_secs_f64() / 60.0);
        Self {
            requests,
            per_minute,
            kinds: Kind::ALL.map(|kind| (kind.as_str(), decisions.kind(kind))).into(),
            reasons,
            late: decisions.late(),
            elapsed_ms: Times::of(decisions.time()),
        }
    }

    pub(super) fn kind(&self, kind: Kind) -> u64 {
        self.kinds.get(kind.as_str()).copied().unwrap_or(0)
    }
}

impl ModelFigures {
    /// Scores and failures.
    pub(super) fn messages(&self) -> u64 {
        self.scored + self.failures()
    }

    /// The failures of all kinds.
    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The figures of a model, `None` where it has sent nothing.
    pub(super) fn of(window: Option<&Window>) -> Self {
        let failed = |kind| (kind, window.map_or(0, |window| window.failed(kind)));
        let failed = FailureKind::ALL.map(failed).into_iter().filter(|(_, count)| *count > 0);
        Self {
            scored: window.map_or(0, Window::scored),
            failed: failed.map(|(kind, count)| (kind.as_str(), count)).collect(),
            elapsed_ms: window.and_then(|window| Times::of(window.time())),
            median: window.and_then(|window| window.values().quantile(0.5)),
        }
    }
}

impl Times {
    fn of(times: &TimeQuantiles) -> Option<Self> {
        let ms = |p| Some(times.quantile(p)?.as_secs_f64() * 1_000.0);
        Some(Self {
            p5: ms(0.05)?,
            p25: ms(0.25)?,
            p50: ms(0.5)?,
            p75: ms(0.75)?,
            p95: ms(0.95)?,
            p99: ms(0.99)?,
        })
    }
}
