//! What each model sent in a span of time, and from which artefacts it scored.

use std::{collections::BTreeMap, ops::Range};

use rendezvous_core::{
    Artifact, EndpointName, FailureKind, ModelId, Timestamp, ports::ArchiveFiles,
};

use crate::{
    layout::select,
    part::Extent,
    scan::{Progress, ScanError, scan},
    tables::ScoreRow,
};

select! {
    /// What is read of a score.
    ActivityColumns of ScoreRow<'_> {
        endpoint: EndpointName,
        model: ModelId,
        artifact: Option<Artifact>,
        failure_kind: Option<FailureKind>,
        arrived_us: Timestamp,
    }
}

/// What one model sent for one endpoint. A row that the archive has twice counts twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    pub scored: u64,
    pub failed: u64,
    /// When the last score or failure arrived.
    pub last: Timestamp,
    /// The artefacts that the scores and failures name.
    pub artifacts: BTreeMap<Artifact, Used>,
}

/// When an artefact was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub first: Timestamp,
    pub last: Timestamp,
    /// In how many scores and failures.
    pub count: u64,
}

/// The activity of each model, by endpoint.
pub type Activities = BTreeMap<(EndpointName, ModelId), Activity>;

/// Reads the scores that arrived in a span of time, of one endpoint or of all.
pub async fn activity(
    files: &impl ArchiveFiles,
    endpoint: Option<&EndpointName>,
    arrived: Range<Timestamp>,
    progress: impl FnMut(Progress),
) -> Result<Activities, ScanError> {
    let received = Timestamp::from_micros(i64::MIN)..Timestamp::from_micros(i64::MAX);
    let extent = Extent { endpoint, arrived, received };
    let mut all = Activities::new();
    let add = |rows: Vec<ActivityColumns>| {
        for row in rows {
            let is_wanted = extent.endpoint.is_none_or(|name| *name == row.endpoint)
                && extent.arrived.contains(&row.arrived_us);
            if is_wanted {
                count(&mut all, row);
            }
        }
        Ok(())
    };
    scan(files, &extent, add, progress).await?;
    Ok(all)
}

fn count(all: &mut Activities, row: ActivityColumns) {
    let ActivityColumns { endpoint, model, artifact, failure_kind, arrived_us: at } = row;
    let activity = all.entry((endpoint, model)).or_default();
    *(if failure_kind.is_none() { &mut activity.scored } else { &mut activity.failed }) += 1;
    activity.last = activity.last.max(at);
    let Some(artifact) = artifact else { return };
    let used = activity.artifacts.entry(artifact).or_insert(Used { first: at, last: at, count: 0 });
    *used = Used { first: used.first.min(at), last: used.last.max(at), count: used.count + 1 };
}
