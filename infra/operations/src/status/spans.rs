//! The figures of short spans of time, for charts.

use std::{collections::BTreeMap, ops::Range};

use rendezvous_core::{Arm, Invalid, Minute, ModelId, Timestamp, ports::Entry};
use rendezvous_evidence::window::{Decisions, Window};
use rendezvous_monitor::windows;
use serde::Serialize;

use super::figures::{ArmFigures, ModelFigures, merged_by};

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

/// The spans of `by` minutes from the first minute on; the last one ends at `to`.
pub(super) fn spans(
    decided: &[Entry],
    sent: &[Entry],
    minutes: &Range<Minute>,
    by: u32,
    to: Timestamp,
) -> Result<Vec<Span>, Invalid> {
    let mut starts = vec![minutes.start];
    while let Some(next) = starts.last().map(|last| last.plus(by)).filter(|m| *m < minutes.end) {
        starts.push(next);
    }
    let of = |minute: Minute| starts.partition_point(|start| *start <= minute).checked_sub(1);
    let decisions: BTreeMap<(usize, Arm), Decisions> =
        merged_by(decided, |entry| Some((of(entry.key.minute)?, windows::arm(&entry.key.part)?)))?;
    let models: BTreeMap<(usize, ModelId), Window> =
        merged_by(sent, |entry| Some((of(entry.key.minute)?, windows::model(&entry.key.part)?)))?;
    let mut spans: Vec<Span> = starts
        .iter()
        .map(|start| Span {
            from_us: start.start(),
            to_us: start.plus(by).start().min(to),
            arms: BTreeMap::new(),
            models: BTreeMap::new(),
        })
        .collect();
    for ((number, arm), decisions) in &decisions {
        let span = &mut spans[*number];
        let figures = ArmFigures::of(Some(decisions), span.to_us.since(span.from_us));
        span.arms.insert(arm.clone(), figures);
    }
    for ((number, model), window) in &models {
        spans[*number].models.insert(model.clone(), ModelFigures::of(Some(window)));
    }
    Ok(spans)
}
