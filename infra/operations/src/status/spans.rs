//! Spans of time: their figures, for charts, and their sums.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use rendezvous_core::{Arm, Invalid, Minute, ModelId, Timestamp, ports::Entry};
use rendezvous_evidence::window::{Decisions, Merge, Window, add_to, merged};
use rendezvous_monitor::windows;
use serde::{Serialize, de::DeserializeOwned};

use super::figures::{ArmFigures, ModelFigures};

/// What happened in a span of whole minutes.
#[derive(Debug, Serialize)]
pub(super) struct Span {
    from_us: Timestamp,
    to_us: Timestamp,
    /// The arms that have decisions in it.
    arms: BTreeMap<Arm, ArmFigures>,
    /// The models that sent something in it.
    models: BTreeMap<ModelId, ModelFigures>,
}

/// The windows of spans of minutes, merged. The last span ends at an instant.
pub(super) struct Spans {
    starts: Vec<Minute>,
    by: u32,
    to: Timestamp,
    decisions: BTreeMap<(usize, Arm), Decisions>,
    models: BTreeMap<(usize, ModelId), Window>,
}

impl Spans {
    /// The spans of `by` minutes from the first minute on; the last one ends at `to`.
    pub(super) fn of(
        decided: &[Entry],
        sent: &[Entry],
        minutes: &Range<Minute>,
        by: u32,
        to: Timestamp,
    ) -> Result<Self, Invalid> {
        let mut starts = vec![minutes.start];
        while let Some(next) = starts.last().map(|last| last.plus(by)).filter(|m| *m < minutes.end)
        {
            starts.push(next);
        }
        let of = |minute: Minute| starts.partition_point(|start| *start <= minute).checked_sub(1);
        let decisions = merged_by(decided, |entry| {
            Some((of(entry.key.minute)?, windows::arm(&entry.key.part)?))
        })?;
        let models = merged_by(sent, |entry| {
            Some((of(entry.key.minute)?, windows::model(&entry.key.part)?))
        })?;
        Ok(Self { starts, by, to, decisions, models })
    }

    /// The decisions of each arm in all spans, under whatever version of the configuration.
    pub(super) fn decisions(&self) -> BTreeMap<Arm, Decisions> {
        sums(&self.decisions)
    }

    /// The windows of each model in all spans, under whatever version of the configuration and in whatever arm.
    pub(super) fn models(&self) -> BTreeMap<ModelId, Window> {
        sums(&self.models)
    }

    /// The figures of each.
    pub(super) fn figures(&self) -> Vec<Span> {
        let span = |start: &Minute| Span {
            from_us: start.start(),
            to_us: start.plus(self.by).start().min(self.to),
            arms: BTreeMap::new(),
            models: BTreeMap::new(),
        };
        let mut spans: Vec<Span> = self.starts.iter().map(span).collect();
        for ((number, arm), decisions) in &self.decisions {
            let span = &mut spans[*number];
            let figures = ArmFigures::of(Some(decisions), span.to_us.since(span.from_us));
            span.arms.insert(arm.clone(), figures);
        }
        for ((number, model), window) in &self.models {
            spans[*number].models.insert(model.clone(), ModelFigures::of(Some(window)));
        }
        spans
    }
}

fn sums<K: Ord + Clone, M: Merge + Clone>(of: &BTreeMap<(usize, K), M>) -> BTreeMap<K, M> {
    let mut sums: BTreeMap<K, M> = BTreeMap::new();
    for ((_, key), window) in of {
        add_to(&mut sums, key.clone(), window.clone());
    }
    sums
}

fn merged_by<K: Ord, T: Merge + DeserializeOwned>(
    entries: &[Entry],
    key: impl Fn(&Entry) -> Option<K>,
) -> Result<BTreeMap<K, T>, Invalid> {
    let mut bodies: BTreeMap<K, Vec<&Bytes>> = BTreeMap::new();
    for entry in entries {
        if let Some(key) = key(entry) {
            bodies.entry(key).or_default().push(&entry.body);
        }
    }
    let merged = bodies.into_iter().map(|(key, bodies)| Ok(merged(bodies)?.map(|all| (key, all))));
    merged.filter_map(Result::transpose).collect()
}
