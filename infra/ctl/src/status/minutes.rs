//! The windows of each minute, for programs.

use std::collections::{BTreeMap, BTreeSet};

use rendezvous_core::{Arm, Invalid, Minute, ModelId, Timestamp, ports::Entry};
use serde::Serialize;

use super::figures::{ArmFigures, ModelFigures, decisions_by_arm, windows_by_model};

/// What is known of one minute.
#[derive(Debug, Serialize)]
pub(super) struct MinuteFigures {
    minute_us: Timestamp,
    arms: BTreeMap<Arm, ArmFigures>,
    models: BTreeMap<ModelId, ModelFigures>,
}

/// The minutes in which there were decisions or scores, the oldest first.
pub(super) fn by_minute(decided: &[Entry], sent: &[Entry]) -> Result<Vec<MinuteFigures>, Invalid> {
    let minutes: BTreeSet<Minute> =
        decided.iter().chain(sent).map(|entry| entry.key.minute).collect();
    let of = |entries: &[Entry], minute: Minute| -> Vec<Entry> {
        entries.iter().filter(|entry| entry.key.minute == minute).cloned().collect()
    };
    let figures = |minute: Minute| {
        let (arms, models) =
            (decisions_by_arm(&of(decided, minute))?, windows_by_model(&of(sent, minute))?);
        let length = minute.plus(1).start().since(minute.start());
        let arm = |(arm, window)| (arm, ArmFigures::of(Some(&window), length));
        let model = |(model, window)| (model, ModelFigures::of(Some(&window)));
        Ok(MinuteFigures {
            minute_us: minute.start(),
            arms: arms.into_iter().map(arm).collect(),
            models: models.into_iter().map(model).collect(),
        })
    };
    minutes.into_iter().map(figures).collect()
}
