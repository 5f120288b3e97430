//! The requests of an endpoint, each with its scores, its decision and its outcome.
//!
//! The rows of the tables are sorted by request, outside memory where they are many; each
//! entity keeps the row that the analysts' views show ([`views`](crate::views)).
//!
//! # Limits
//!
//! Memory: at most 50 MiB for each sorted set, the listing of a day's files (some 200 bytes each), and
//! the selected columns of 32 row groups, whatever the archive's size. A temporary file in `TMPDIR`
//! holds some 60 to 120 bytes for each row of the endpoint in the range, and for a moment twice that.

use std::{ops::Range, time::Duration};

use rendezvous_core::{EndpointName, ModelId, RequestId, Timestamp, ports::ArchiveFiles};

use crate::{
    group::Group,
    joined::Joined,
    lines::{
        AllNames, DecisionColumns, IntoLine, Line, OutcomeColumns, ReplayColumns, RequestColumns,
        ScoreColumns, SegmentColumns,
    },
    part::Extent,
    scan::{Progress, ScanError, scan},
    sort::{Limits, Sorted, Sorter},
};

/// Which requests are joined: those of an endpoint that were received from `from` on and before `to`.
/// Their scores, decisions and outcomes are found although they are later.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub endpoint: EndpointName,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Where in the payload the segment of a request is (RFC 6901). Payloads are read only with it.
    pub segment: Option<String>,
    /// Whether a model that has sent no score of a request live has that of its replay.
    pub replays: bool,
    /// How long before `from` rows may have arrived. Files of this time are read.
    pub skew: Duration,
    /// How long after `to` scores and decisions may have arrived. Files of this time are read.
    pub late: Duration,
}

impl Wanted {
    /// All requests of an endpoint.
    pub fn all(endpoint: EndpointName) -> Self {
        let to = Timestamp::from_micros(i64::MAX);
        let from = Timestamp::default();
        Self { endpoint, from, to, segment: None, replays: false, skew: SKEW, late: LATE }
    }

    /// Where the rows of the requests themselves are.
    pub(crate) fn requests(&self) -> Extent<'_> {
        self.extent(self.from - self.skew..self.to + self.skew, self.from..self.to)
    }

    fn extent(&self, arrived: Range<Timestamp>, received: Range<Timestamp>) -> Extent<'_> {
        Extent { endpoint: Some(&self.endpoint), arrived, received }
    }
}

/// How far clocks differ, and how long ingress tries to send a request.
const SKEW: Duration = Duration::from_hours(1);

/// By how much the times of receipt can differ of a request that a client sends again.
const RETRIED: Duration = Duration::from_hours(24);

/// How long after a request its scores and its decision can arrive. Streams keep records for 168 hours
/// at most, once for the model and once for rendezvous.
const LATE: Duration = Duration::from_hours(2 * 168 + 24);

/// Reads the rows of the wanted requests.
pub async fn join(
    files: &impl ArchiveFiles,
    wanted: &Wanted,
    progress: impl FnMut(Progress),
) -> Result<Requests, ScanError> {
    join_within(files, wanted, progress, Limits::USUAL).await
}

async fn join_within(
    files: &impl ArchiveFiles,
    wanted: &Wanted,
    mut progress: impl FnMut(Progress),
    limits: Limits,
) -> Result<Requests, ScanError> {
    let Wanted { from, to, skew, late, .. } = *wanted;
    let end = Timestamp::from_micros(i64::MAX);
    let received = from - RETRIED..to + RETRIED;
    let requests = wanted.requests();
    let later = wanted.extent(from - skew..to + late, received.clone());
    let outcomes = wanted.extent(from - skew..end, received);
    let mut names = AllNames { segment: wanted.segment.clone(), ..AllNames::default() };
    let mut sorter = Sorter::new(limits);
    let to = &mut sorter;
    if wanted.segment.is_some() {
        add::<SegmentColumns>(files, &requests, to, &mut names, &mut progress).await?;
    } else {
        add::<RequestColumns>(files, &requests, to, &mut names, &mut progress).await?;
    }
    add::<ScoreColumns>(files, &later, to, &mut names, &mut progress).await?;
    add::<DecisionColumns>(files, &later, to, &mut names, &mut progress).await?;
    add::<OutcomeColumns>(files, &outcomes, to, &mut names, &mut progress).await?;
    if wanted.replays {
        // A replay is received when it is sent again.
        let end = Timestamp::from_micros(i64::MAX);
        let replays = wanted.extent(from - SKEW..end, from - SKEW..end);
        add::<ReplayColumns>(files, &replays, to, &mut names, &mut progress).await?;
    }
    let received = wanted.from..wanted.to;
    Ok(Requests { sorted: sorter.finish()?, names, received, limits })
}

/// Adds the rows of a table that are of the endpoint.
async fn add<C: IntoLine>(
    files: &impl ArchiveFiles,
    extent: &Extent<'_>,
    sorter: &mut Sorter,
    names: &mut AllNames,
    progress: impl FnMut(Progress),
) -> Result<(), ScanError> {
    let add = |rows: Vec<C>| {
        for row in
            rows.into_iter().filter(|row| extent.endpoint.is_none_or(|name| row.endpoint() == name))
        {
            sorter.push(u128::from_be_bytes(*row.id().as_bytes()), &row.line(names))?;
        }
        Ok(())
    };
    scan(files, extent, add, progress).await
}

/// The wanted requests, in the order of their ids. They can be gone through any number of times.
pub struct Requests {
    sorted: Sorted,
    names: AllNames,
    received: Range<Timestamp>,
    limits: Limits,
}

impl Requests {
    /// Hands over each request.
    pub fn each(
        &self,
        mut each: impl FnMut(Joined) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let mut end = |group: Option<(u128, Group)>| match group {
            Some((id, group)) if group.received().is_some_and(|at| self.received.contains(&at)) => {
                each(group.join(RequestId::from_bytes(id.to_be_bytes()), &self.names))
            }
            _ => Ok(()),
        };
        let mut open: Option<(u128, Group)> = None;
        self.sorted.each(|id, record| {
            let line: Line = postcard::from_bytes(record).map_err(std::io::Error::other)?;
            if open.as_ref().is_none_or(|(of, _)| *of != id) {
                end(open.replace((id, Group::default())))?;
            }
            if let Some((_, group)) = &mut open {
                group.add(line);
            }
            Ok::<(), ScanError>(())
        })?;
        end(open)
    }

    /// Whether a row that was read names this model.
    pub fn name(&self, model: &ModelId) -> bool {
        self.names.models.has(model)
    }

    /// Those with an outcome, in the order in which their outcomes first arrived. Sorting takes as
    /// much memory as [`join`], and in a temporary file some 400 bytes for a request of five models.
    pub fn by_outcome(&self) -> Result<ByOutcome, ScanError> {
        let mut sorter = Sorter::new(self.limits);
        let mut number = 0_u64;
        self.each(|joined| {
            if let Some(outcome) = &joined.outcome {
                let arrived = u64::try_from(outcome.arrived.as_micros()).unwrap_or(0);
                // Those of one instant in the order of their ids.
                sorter.push(u128::from(arrived) << 64 | u128::from(number), &joined)?;
                number += 1;
            }
            Ok(())
        })?;
        Ok(ByOutcome(sorter.finish()?))
    }

    /// How many bytes of them are in a temporary file.
    pub fn spilled(&self) -> u64 {
        self.sorted.spilled()
    }
}

/// Requests in the order in which their outcomes first arrived.
pub struct ByOutcome(Sorted);

impl ByOutcome {
    /// Hands over each request.
    pub fn each(
        &self,
        mut each: impl FnMut(Joined) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.0.each(|_, record| each(postcard::from_bytes(record).map_err(std::io::Error::other)?))
    }
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{memory::MemoryArchive, ports::Archive};

    use super::*;
    use crate::{files::Hour, layout::Row, tables::OutcomeRow, tables::ScoreRow, write};

    async fn put<R: Row>(archive: &MemoryArchive, name: u32, rows: &[R]) {
        let hour = Hour::of(Timestamp::default());
        let body = write(&rows.iter().collect::<Vec<_>>()).unwrap();
        archive.put(&format!("{}/{hour}/{name}.parquet", R::TABLE), body).await.unwrap();
    }

    fn score(request: u32, model: &str) -> ScoreRow<'static> {
        let id = RequestId::from_bytes((u128::from(request) << 7).to_be_bytes());
        let at = |micros: u32| Timestamp::from_micros(i64::from(micros));
        ScoreRow {
            request_id: id,
            endpoint: "e".parse().unwrap(),
            config: 1,
            arm: rendezvous_core::Arm::main(),
            key: id.to_key(),
            received_us: at(request),
            deadline_us: at(request + 400),
            traceparent: None,
            model: model.parse().unwrap(),
            artifact: None,
            started_us: at(request + 1),
            finished_us: at(request + 2),
            score: None,
            value: Some(f64::from(request)),
            failure_kind: None,
            failure_message: None,
            shard: "".into(),
            sequence_number: request.to_string().into(),
            arrived_us: at(request + 3),
        }
    }

    fn outcome(request: u32) -> OutcomeRow<'static> {
        let ScoreRow { request_id, endpoint, sequence_number, .. } = score(request, "a@1");
        let arrived_us = Timestamp::from_micros(i64::from(request * 7 % 1_000));
        let outcome = serde_json::from_str("1").unwrap();
        OutcomeRow {
            request_id,
            endpoint,
            reported_us: arrived_us,
            outcome,
            value: Some(1.0),
            sequence_number,
            arrived_us,
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_into_memory_is_joined_alike() {
        let archive = MemoryArchive::default();
        for (name, model) in [(1, "a@1"), (2, "b@1"), (3, "a@1")] {
            let rows: Vec<_> = (0..1_000).map(|i| score(i * 389 % 1_000, model)).collect();
            put(&archive, name, &rows).await;
        }
        put(&archive, 1, &(0..1_000).map(outcome).collect::<Vec<_>>()).await;
        let wanted = Wanted::all("e".parse().unwrap());
        let read = async |limits| {
            let requests = join_within(&archive, &wanted, |_| {}, limits).await.unwrap();
            let (mut by_id, mut by_outcome) = (Vec::new(), Vec::new());
            let keep = |all: &mut Vec<Joined>, request| {
                all.push(request);
                Ok(())
            };
            requests.each(|request| keep(&mut by_id, request)).unwrap();
            requests.by_outcome().unwrap().each(|request| keep(&mut by_outcome, request)).unwrap();
            (by_id, by_outcome, requests.spilled())
        };
        let (by_id, by_outcome, spilled) = read(Limits::USUAL).await;
        assert_eq!((by_id.len(), by_outcome.len(), spilled), (1_000, 1_000, 0));
        assert!(by_id.iter().all(|request| request.scores.len() == 2));
        assert!(by_id.is_sorted_by_key(|request| request.id));
        assert!(by_outcome.is_sorted_by_key(|request| request.outcome.map(|o| o.arrived)));
        let small = read(Limits::SMALL).await;
        assert!(small.2 > 100_000, "{} bytes in a temporary file", small.2);
        assert!((small.0, small.1) == (by_id, by_outcome), "they differ");
    }
}
