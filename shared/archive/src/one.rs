//! All that the archive holds of one request.

use std::{ops::Range, time::Duration};

use rendezvous_core::{
    EndpointName, Json, ModelId, RequestId, Timestamp, now, ports::ArchiveFiles,
};

use crate::{
    join::{Wanted, join},
    joined::Joined,
    layout::{Row, Select, select},
    part::Extent,
    scan::{ScanError, scan},
    tables::{DecisionRow, OutcomeRow, RequestRow, ScoreRow},
};

/// How far clocks differ.
const SKEW: Duration = Duration::from_mins(1);
/// How long after a request its scores and its decision are looked for. What a stream had kept for longer
/// is not found.
const LATE: Duration = Duration::from_hours(2);

select! {
    /// When a request was received.
    Received of RequestRow<'_> {
        request_id: RequestId,
        received_us: Timestamp,
    }
}

/// A request, its scores, its decision and its outcome, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct One {
    /// By the rules of the analysts' views.
    pub joined: Joined,
    /// None where its row is missing.
    pub payload: Option<String>,
    /// The score of each model, or what it said of its failure.
    pub scores: Vec<(ModelId, Result<Json, String>)>,
    /// The answer.
    pub answer: Option<Json>,
    /// The outcome that was reported last.
    pub outcome: Option<Json>,
}

/// When a request of an endpoint was received; `None` where it did not arrive in this time.
pub async fn received(
    files: &impl ArchiveFiles,
    endpoint: &EndpointName,
    id: RequestId,
    arrived: Range<Timestamp>,
) -> Result<Option<Timestamp>, ScanError> {
    let received = arrived.start - SKEW..arrived.end;
    let extent = Extent { endpoint: Some(endpoint), arrived, received };
    let mut found = None;
    let look = |rows: Vec<Received>| {
        let row = rows.into_iter().find(|row| row.request_id == id);
        found = row.map(|row| row.received_us).or(found);
        Ok(())
    };
    scan(files, &extent, look, |_| ()).await?;
    Ok(found)
}

/// The request that was received at this instant; `None` where the archive does not have it.
pub async fn one(
    files: &impl ArchiveFiles,
    endpoint: &EndpointName,
    id: RequestId,
    received: Timestamp,
) -> Result<Option<One>, ScanError> {
    let (from, to) = (received, received + Duration::from_micros(1));
    let wanted = Wanted { from, to, skew: SKEW, late: LATE, ..Wanted::all(endpoint.clone()) };
    let requests = join(files, &wanted, |_| ()).await?;
    let mut found = None;
    requests.each(|joined| {
        if joined.id == id {
            found = Some(joined);
        }
        Ok(())
    })?;
    let Some(joined) = found else { return Ok(None) };
    let extent = Extent {
        endpoint: Some(endpoint),
        arrived: from - SKEW..to + LATE,
        received: from - Duration::from_hours(24)..to + Duration::from_hours(24),
    };
    let payload = rows::<RequestRow<'static>>(files, &extent, id).await?.into_iter().next();
    let mut rows_of_scores = rows::<ScoreRow<'static>>(files, &extent, id).await?;
    rows_of_scores.sort_by_key(|row| row.arrived_us);
    let mut scores: Vec<(ModelId, Result<Json, String>)> = Vec::new();
    for row in rows_of_scores {
        if scores.iter().all(|(model, _)| *model != row.model) {
            let failure = row.failure_message.unwrap_or_default();
            scores.push((row.model, row.score.ok_or(failure)));
        }
    }
    let decisions = rows::<DecisionRow<'static>>(files, &extent, id).await?;
    let answer = decisions.into_iter().min_by_key(|row| row.arrived_us).and_then(|row| row.score);
    let extent = Extent { arrived: from - SKEW..now() + SKEW, ..extent };
    let outcomes = rows::<OutcomeRow<'static>>(files, &extent, id).await?;
    let outcome = outcomes.into_iter().max_by_key(|row| row.arrived_us).map(|row| row.outcome);
    let payload = payload.map(|row| row.payload.into_owned());
    Ok(Some(One { joined, payload, scores, answer, outcome }))
}

/// The rows of a request.
async fn rows<R: Row + Select>(
    files: &impl ArchiveFiles,
    extent: &Extent<'_>,
    id: RequestId,
) -> Result<Vec<R>, ScanError> {
    let mut found = Vec::new();
    let add = |rows: Vec<R>| {
        found.extend(rows.into_iter().filter(|row| row.request_id() == id));
        Ok(())
    };
    scan(files, extent, add, |_| ()).await?;
    Ok(found)
}
