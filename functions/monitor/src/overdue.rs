//! Requests that have a mailbox, and that nobody may wait for or read.
//!
//! A batch of the ledger's changes lists those that it leaves without a decision: one entry for each
//! minute in which some of them become overdue, with their ids. A request that is decided within the
//! batch, as nearly all are, costs nothing. A batch that comes again writes its entries again; one that
//! is cut anew may list a request twice, which costs a read of the ledger.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rendezvous_aws::batch::{ItemChange, TableBatch};
use rendezvous_core::{
    Invalid, Mailbox, Minute, RequestId, Timestamp, Unavailable,
    mutation::{Mutation, mutated},
    now,
    ports::{Consistency, EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
    settle::{RequestState, settle},
    within,
};

use crate::{Monitor, MonitorReport};

/// The series of the list.
pub const SERIES: &str = "overdue";

/// The requests that a batch leaves without a decision, each with its deadline.
pub type Undecided = BTreeMap<RequestId, Timestamp>;

/// For how long an entry is kept. Longer than a ledger keeps a mailbox.
const KEPT: Duration = Duration::from_hours(24 * 16);

/// How many entries are read at a time, and how long a run begins to settle requests.
const PAGE: usize = 256;
const BUDGET: Duration = Duration::from_secs(40);

/// How many requests are settled at a time, and how long the ledger may take for each.
const CONCURRENCY: usize = 32;
const LEDGER_LIMIT: Duration = Duration::from_secs(2);

/// A request that may not have been sent is looked at again this often, for so long after its deadline.
const UNSENT_EVERY: u32 = 5;
const UNSENT_FOR: Duration = Duration::from_mins(15);

/// The requests that a batch leaves without a decision, and how many of its records cannot be read.
pub fn undecided(batch: &TableBatch<'_>) -> (Undecided, usize) {
    let (mut undecided, mut unreadable) = (Undecided::new(), 0);
    if mutated(Mutation::ForgetOverdue) {
        return (undecided, unreadable);
    }
    for record in batch.records() {
        let change = record.as_ref().map_err(|unreadable| unreadable.reason.clone());
        match change.and_then(|record| deadline(&record.content)) {
            Ok(Some((id, Some(deadline)))) => drop(undecided.insert(id, deadline)),
            Ok(Some((id, None))) => drop(undecided.remove(&id)),
            Ok(None) => {}
            // The reason may quote the record.
            Err(_) => unreadable += 1,
        }
    }
    if unreadable > 0 {
        tracing::warn!(unreadable, "changes of the ledger cannot be read and are skipped");
    }
    (undecided, unreadable)
}

/// The request of a change, and its deadline where it has no decision. None in a deletion.
fn deadline(change: &ItemChange<'_>) -> Result<Option<(RequestId, Option<Timestamp>)>, Invalid> {
    if change.name == "REMOVE" {
        return Ok(None);
    }
    let id = change.keys.request_id()?;
    if change.new.is_decided() {
        return Ok(Some((id, None)));
    }
    Ok(Some((id, Some(change.new.envelope()?.deadline))))
}

/// The first minute that begins after the deadline.
fn due(deadline: Timestamp) -> Minute {
    Minute::of(deadline).plus(1)
}

/// The entries of requests that become overdue: one for each minute. `part` distinguishes them from
/// those of other batches.
pub fn entries(part: &str, undecided: &Undecided) -> Vec<Entry> {
    let mut minutes: BTreeMap<Minute, Vec<u8>> = BTreeMap::new();
    for (id, deadline) in undecided {
        minutes.entry(due(*deadline)).or_default().extend(id.as_bytes());
    }
    let key = |minute| EntryKey { series: SERIES.to_owned(), minute, part: part.to_owned() };
    minutes.into_iter().map(|(minute, ids)| entry(key(minute), ids)).collect()
}

fn entry(key: EntryKey, ids: Vec<u8>) -> Entry {
    let expires = Some(key.minute.start() + KEPT);
    Entry { key, body: Bytes::from(ids), expires }
}

/// The key of those requests of an entry that are looked at in this minute. Its batch may have another
/// entry there.
fn moved(from: &Entry, to: Minute) -> EntryKey {
    let EntryKey { series, minute, part } = from.key.clone();
    let part = if to == minute { part } else { format!("{part}+{minute}") };
    EntryKey { series, minute: to, part }
}

/// The requests of an entry.
fn ids(entry: &Entry) -> Vec<RequestId> {
    let ids = entry.body.chunks_exact(16).filter_map(|id| id.try_into().ok());
    ids.map(RequestId::from_bytes).collect()
}

/// What came of an overdue request.
enum Ended {
    Settled {
        late: Duration,
    },
    DecidedBefore,
    /// There is nothing to decide, or nothing to decide it by.
    Dropped,
    /// It is to be looked at again in this minute.
    Later(Minute),
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Decides the requests that are overdue, the oldest first, as many as there is time for.
    pub(crate) async fn settle_overdue(
        &self,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let (start, before) = (now(), report.left);
        let minutes = Minute::FIRST..Minute::of(start).plus(1);
        loop {
            let page = self.windows.read(SERIES, minutes.clone(), PAGE).await?;
            self.settle_page(&page, start + BUDGET, report).await?;
            // What is left stays on the list, and would be read again.
            if page.len() < PAGE || report.left > before {
                return Ok(());
            }
        }
    }

    /// Decides the requests of some entries. Those that are left stay in their entry, or move to a later minute.
    async fn settle_page(
        &self,
        page: &[Entry],
        end: Timestamp,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let mut later: BTreeMap<(usize, Minute), Vec<u8>> = BTreeMap::new();
        let mut listed = Vec::new();
        for (at, entry) in page.iter().enumerate() {
            listed.extend(ids(entry).into_iter().map(|id| (at, id)));
        }
        let mut ended = stream::iter(listed)
            .map(|(at, id)| async move {
                let ended = if now() > end { None } else { Some(self.settle_one(id).await) };
                (at, id, ended)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((at, id, ended)) = ended.next().await {
            let minute = match ended {
                Some(Ok(Ended::Settled { late })) => {
                    report.settled += 1;
                    report.latest = report.latest.max(late);
                    continue;
                }
                Some(Ok(Ended::DecidedBefore)) => {
                    report.decided_before += 1;
                    continue;
                }
                Some(Ok(Ended::Dropped)) => continue,
                Some(Ok(Ended::Later(minute))) => minute,
                Some(Err(cause)) => {
                    tracing::warn!(request = %id, %cause, "an overdue request is not decided");
                    report.left += 1;
                    page[at].key.minute
                }
                None => {
                    report.left += 1;
                    page[at].key.minute
                }
            };
            later.entry((at, minute)).or_default().extend(id.as_bytes());
        }
        let keeps = |(at, entry): &(usize, &Entry)| later.contains_key(&(*at, entry.key.minute));
        let done = page.iter().enumerate().filter(|entry| !keeps(entry));
        let done = done.map(|(_, entry)| entry.key.clone()).collect();
        let moved =
            |((at, minute), ids): ((usize, Minute), Vec<u8>)| entry(moved(&page[at], minute), ids);
        self.windows.put(later.into_iter().map(moved).collect()).await?;
        self.windows.delete(done).await
    }

    async fn settle_one(&self, id: RequestId) -> Result<Ended, Unavailable> {
        let read = self.ledger.read(id, Consistency::Strong);
        let Some(mailbox) = within("ledger", LEDGER_LIMIT, read).await? else {
            return Ok(Ended::Dropped);
        };
        if mailbox.decision.is_some() {
            return Ok(Ended::DecidedBefore);
        }
        let (envelope, at) = (mailbox.envelope.clone(), now());
        if envelope.deadline > at {
            return Ok(Ended::Later(due(envelope.deadline)));
        }
        if may_be_unsent(&mailbox) {
            let is_over = at.since(envelope.deadline) > UNSENT_FOR;
            let later = Ended::Later(Minute::of(at).plus(UNSENT_EVERY));
            return Ok(if is_over { Ended::Dropped } else { later });
        }
        let version = self.endpoints.version(&envelope.endpoint, envelope.config).await?;
        let Some(endpoint) = version else {
            tracing::error!(request = %id, endpoint = %envelope.endpoint, config = envelope.config, "an overdue request has no configuration");
            return Ok(Ended::Dropped);
        };
        let settled = settle(&*self.ledger, &endpoint, &envelope, Some(mailbox), &[], &[], at);
        Ok(match within("ledger", LEDGER_LIMIT, settled).await? {
            RequestState::Settled(_) => Ended::Settled { late: now().since(envelope.deadline) },
            RequestState::Open(until) => Ended::Later(due(until)),
            RequestState::Reopened(envelope) => Ended::Later(due(envelope.deadline)),
            RequestState::Forgotten => Ended::Dropped,
        })
    }
}

/// Whether the stream may not have accepted the request. A call with its idempotency key can still send
/// it, which a decision would prevent.
fn may_be_unsent(mailbox: &Mailbox) -> bool {
    let can_repeat =
        |opening: rendezvous_core::Opening| opening.owner.is_some() && !opening.accepted;
    mailbox.opening.is_some_and(can_repeat) && mailbox.scores.is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rendezvous_core::{
        Configuration, Provenance, Write, clock,
        conformance::samples,
        memory::{MemoryEndpoints, MemoryLedger, MemoryTelemetry, MemoryWindows, Trouble},
    };

    use super::*;

    #[tokio::test]
    async fn a_request_that_moves_to_another_minute_replaces_none_that_its_batch_has_listed_there()
    {
        let (ledger, windows) = (Arc::<MemoryLedger>::default(), Arc::<MemoryWindows>::default());
        let endpoints = Arc::<MemoryEndpoints>::default();
        let telemetry = Arc::<MemoryTelemetry<MonitorReport>>::default();
        let monitor =
            Monitor::new(endpoints, ledger.clone(), windows.clone(), telemetry.clone(), KEPT);
        let endpoint = samples::endpoint();
        let reopened = samples::received_at(&samples::envelope(&endpoint), now() + KEPT);
        ledger.write(&Write::open(&reopened, [1; 32], None)).await.unwrap();
        let other = RequestId::random();
        // The one was listed before it was opened again.
        let listed = [(reopened.id, now() - Duration::from_mins(5)), (other, reopened.deadline)];
        windows.put(entries("batch", &listed.into())).await.unwrap();
        monitor.minute().await;
        let all = Minute::FIRST..due(reopened.deadline).plus(1);
        let found = windows.read(SERIES, all, 10).await.unwrap();
        let mut listed: Vec<_> = found.iter().map(|entry| (entry.key.minute, ids(entry))).collect();
        listed.sort_unstable_by_key(|(_, ids)| ids[0] != other);
        let minute = due(reopened.deadline);
        assert_eq!(listed, [(minute, vec![other]), (minute, vec![reopened.id])]);

        ledger.outage.set(Trouble::Down);
        let overdue = [(other, now() - Duration::from_mins(5))];
        windows.put(entries("second batch", &overdue.into())).await.unwrap();
        monitor.minute().await;
        assert_eq!(telemetry.last().unwrap().left, 1);
        ledger.outage.set(Trouble::None);
        monitor.minute().await;
        assert_eq!(telemetry.last().unwrap().left, 0);
        let now_there = windows.read(SERIES, Minute::FIRST..minute, 10).await.unwrap();
        assert_eq!(now_there, [], "a request without a mailbox is dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_decides_all_that_there_is_time_for_however_many_batches_have_listed_it() {
        clock::simulate(now());
        let (ledger, windows) = (Arc::<MemoryLedger>::default(), Arc::<MemoryWindows>::default());
        let endpoints = Arc::<MemoryEndpoints>::default();
        let telemetry = Arc::<MemoryTelemetry<MonitorReport>>::default();
        let endpoint = samples::endpoint();
        let provenance = Provenance::new("test", "").unwrap();
        let configuration = Configuration::parse(samples::CONFIGURATION).unwrap();
        endpoints.publish(&endpoint.name, configuration, provenance, None).await.unwrap();
        let monitor =
            Monitor::new(endpoints, ledger.clone(), windows.clone(), telemetry.clone(), KEPT);
        let list = async |batches: std::ops::Range<usize>| {
            for batch in batches {
                let envelope = samples::envelope(&endpoint);
                ledger.write(&Write::open(&envelope, [1; 32], None)).await.unwrap();
                let listed = [(envelope.id, now() - Duration::from_mins(5))];
                windows.put(entries(&format!("batch {batch}"), &listed.into())).await.unwrap();
            }
            clock::sleep_until(now() + Duration::from_mins(1)).await;
        };
        list(0..3 * PAGE).await;
        monitor.minute().await;
        let report = telemetry.last().unwrap();
        assert_eq!((report.settled, report.left), (3 * PAGE, 0));

        // 32 at a time, of which each takes a read and a write of half a second: 40 seconds are enough for 1,280.
        list(0..2_000).await;
        ledger.outage.set(Trouble::Slow(Duration::from_millis(500)));
        monitor.minute().await;
        let report = telemetry.last().unwrap();
        assert!((1_280..1_400).contains(&report.settled), "{report:?}");
        assert!(report.left > 0, "{report:?}");
        ledger.outage.set(Trouble::None);
        monitor.minute().await;
        let settled = telemetry.last().unwrap().settled;
        assert_eq!((report.settled + settled, telemetry.last().unwrap().left), (2_000, 0));
    }
}
