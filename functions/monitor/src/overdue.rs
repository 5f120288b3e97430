//! Requests that have a mailbox, and that nobody may wait for or read.
//!
//! A batch of the ledger's changes lists those that it leaves without a decision: one entry for each
//! minute in which some of them become overdue, with their ids. A request that is decided within the
//! batch, as nearly all are, costs nothing. A batch that comes again writes its entries again; one that
//! is cut anew may list a request twice, which costs a read of the ledger.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

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

/// How many entries are read at a time.
const PAGE: usize = 256;

/// How many of them are done before they are deleted: as many as DynamoDB deletes by one call. A run that is cut short reads
/// those of the last ones again.
const DONE: usize = 25;

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
    /// Decides the requests that are overdue, the oldest first, as many as there is time for until `end`.
    pub(crate) async fn settle_overdue(
        &self,
        end: Timestamp,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let minutes = Minute::FIRST..Minute::of(now()).plus(1);
        // The entries that stay on the list; each page has them again.
        let mut kept = HashSet::new();
        loop {
            let wanted = PAGE + kept.len();
            let page = self.windows.read(SERIES, minutes.clone(), wanted).await?;
            let new: Vec<&Entry> = page.iter().filter(|entry| !kept.contains(&entry.key)).collect();
            for entries in new.chunks(DONE) {
                let before = report.left;
                let requests: usize = entries.iter().map(|entry| ids(entry).len()).sum();
                kept.extend(self.settle_entries(entries, end, report).await?);
                // There is no time left, or the ledger is down.
                if requests > 0 && report.left - before == requests {
                    return Ok(());
                }
            }
            if page.len() < wanted {
                return Ok(());
            }
        }
    }

    /// Decides the requests of some entries. Those that are left stay in their entry, or move to a later minute. Returns
    /// the keys of the entries in which some stay.
    async fn settle_entries(
        &self,
        entries: &[&Entry],
        end: Timestamp,
        report: &mut MonitorReport,
    ) -> Result<Vec<EntryKey>, Unavailable> {
        let mut later: BTreeMap<(usize, Minute), Vec<u8>> = BTreeMap::new();
        let mut listed = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
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
                    entries[at].key.minute
                }
                None => {
                    report.left += 1;
                    entries[at].key.minute
                }
            };
            later.entry((at, minute)).or_default().extend(id.as_bytes());
        }
        let keeps = |(at, entry): &(usize, &&Entry)| later.contains_key(&(*at, entry.key.minute));
        let (kept, done): (Vec<_>, Vec<_>) = entries.iter().enumerate().partition(keeps);
        let keys = |entries: Vec<(usize, &&Entry)>| {
            entries.into_iter().map(|(_, entry)| entry.key.clone()).collect()
        };
        let moved = |((at, minute), ids): ((usize, Minute), Vec<u8>)| {
            entry(moved(entries[at], minute), ids)
        };
        self.windows.put(later.into_iter().map(moved).collect()).await?;
        self.windows.delete(keys(done)).await?;
        Ok(keys(kept))
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
mod tests;
