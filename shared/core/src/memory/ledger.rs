use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::{Change, Hold, Journal, MemoryStream, lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    error::{Unavailable, within},
    mailbox::Mailbox,
    message::Envelope,
    names::RequestId,
    ports::{Consistency, Ledger, Watch},
    write::{Write, Written},
};

/// The name of the dependency in errors.
const LEDGER: &str = "ledger";

/// How many parts the table has, so that few calls contend for one lock.
const PARTS: usize = 16;

/// How many ids of deleted mailboxes are kept for each mailbox that fits, at some 60 bytes each.
const FORGOTTEN_FACTOR: usize = 8;

/// How long after its deadline a client may still wait for an undecided request, and after its end
/// a watch for a read that hangs.
const GRACE: Duration = Duration::from_secs(1);

/// Mailboxes in memory, bounded by count; the oldest are deleted first. Every read is strong.
///
/// A request that a client may still wait for is never deleted: when the table is full of such,
/// writes that need a new mailbox are throttled. The ids of deleted mailboxes are kept for a while,
/// so that a late score cannot bring one back.
#[derive(Debug)]
pub struct MemoryLedger {
    pub outage: Outage,
    /// Each change in which a decision first appears, and each in which a mailbox is made, or opened
    /// again, without one.
    pub changes: MemoryStream<Change>,
    parts: [Mutex<Part>; PARTS],
    capacity_of_part: usize,
    retention: Duration,
    journal: Option<Arc<Journal>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// Ids are random, so that no client can choose which of them collide.
type Ids<V> = HashMap<RequestId, V, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Part {
    entries: Ids<Entry>,
    /// The keys of `entries`, oldest first.
    by_age: VecDeque<RequestId>,
    /// Who waits for a change of a mailbox. A watch adds and removes its own entry.
    watched: Ids<(Arc<Notify>, usize)>,
    forgotten: HashSet<RequestId, foldhash::fast::RandomState>,
    /// `forgotten`, oldest entry first, with when each was received.
    forgotten_by_age: VecDeque<(RequestId, Timestamp)>,
    /// The id of a request received until then may no longer be in `forgotten`.
    horizon: Timestamp,
}

#[derive(Debug)]
struct Entry {
    mailbox: Mailbox,
    /// How often it has been written.
    version: u64,
    /// Keeps it written.
    kept: Option<Hold>,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            entries: Ids::default(),
            by_age: VecDeque::new(),
            watched: Ids::default(),
            forgotten: HashSet::default(),
            forgotten_by_age: VecDeque::new(),
            horizon: Timestamp::from_micros(i64::MIN),
        }
    }
}

impl Part {
    /// Makes room for one more by deleting the oldest that no client can wait for.
    fn make_room(&mut self, capacity: usize) -> Result<(), Unavailable> {
        // Those that a client may wait for are few and move to the end of the queue.
        for _ in 0..self.by_age.len() {
            if self.entries.len() < capacity {
                return Ok(());
            }
            let Some(id) = self.by_age.pop_front() else { break };
            match self.entries.get(&id) {
                Some(entry) if may_be_waited_for(&entry.mailbox) => self.by_age.push_back(id),
                _ => self.forget(id, capacity),
            }
        }
        if self.entries.len() < capacity {
            return Ok(());
        }
        Err(Unavailable::throttled(LEDGER, "full of open requests"))
    }

    fn forget(&mut self, id: RequestId, capacity: usize) {
        let Some(Entry { mailbox, .. }) = self.entries.remove(&id) else { return };
        self.forgotten.insert(id);
        self.forgotten_by_age.push_back((id, mailbox.envelope.received));
        if self.forgotten_by_age.len() > capacity * FORGOTTEN_FACTOR
            && let Some((oldest, received)) = self.forgotten_by_age.pop_front()
        {
            self.forgotten.remove(&oldest);
            self.horizon = self.horizon.max(received);
        }
    }

    /// Whether a request that has no mailbox may have had one. One that somebody waits for had none: a wait ends with the
    /// decision, and a mailbox is forgotten long after it.
    fn may_have_forgotten(&self, envelope: &Envelope) -> bool {
        let is_old = envelope.received <= self.horizon && !self.watched.contains_key(&envelope.id);
        is_old || self.forgotten.contains(&envelope.id)
    }
}

fn may_be_waited_for(mailbox: &Mailbox) -> bool {
    mailbox.decision.is_none() && now() <= mailbox.envelope.deadline + GRACE
}

impl Default for MemoryLedger {
    /// Room for a million mailboxes.
    fn default() -> Self {
        Self::with_capacity(1_000_000)
    }
}

impl MemoryLedger {
    /// How long a mailbox is kept after its request was received, as on AWS by default.
    pub const RETENTION: Duration = Duration::from_hours(72);

    /// A ledger for about `mailboxes` requests. One takes some 800 bytes and its scores' JSON.
    pub fn with_capacity(mailboxes: usize) -> Self {
        Self {
            outage: Outage::default(),
            changes: MemoryStream::of_table("ledger"),
            parts: std::array::from_fn(|_| Mutex::default()),
            capacity_of_part: mailboxes.div_ceil(PARTS),
            retention: Self::RETENTION,
            journal: None,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    /// Mailboxes are kept for so long.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// Hands every change, and every mailbox of which a client may be told, to `journal`, too.
    #[must_use]
    pub fn kept_in(self, journal: Option<Arc<Journal>>) -> Self {
        Self { changes: self.changes.kept_in(journal.clone()), journal, ..self }
    }

    /// Reads and writes since the start.
    pub fn calls(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    fn part(&self, id: RequestId) -> &Mutex<Part> {
        // The last byte of an id is random.
        &self.parts[usize::from(id.as_bytes()[15]) % PARTS]
    }

    fn is_past_retention(&self, envelope: &Envelope) -> bool {
        now() >= envelope.received + self.retention
    }

    /// The mailbox of `id` and how often it has been written.
    fn look(&self, id: RequestId) -> Option<(Mailbox, u64)> {
        let part = lock(self.part(id));
        let Entry { mailbox, version, .. } = part.entries.get(&id)?;
        let retained = !self.is_past_retention(&mailbox.envelope);
        retained.then(|| (mailbox.clone(), *version))
    }

    fn apply(&self, write: &Write) -> Result<Written, Unavailable> {
        let id = write.envelope.id;
        let part = &mut *lock(self.part(id));
        let entry = part.entries.get(&id);
        let former = entry.map(|entry| &entry.mailbox);
        let former = former.filter(|mailbox| !self.is_past_retention(&mailbox.envelope));
        if former.is_none() && !write.opens() {
            let expired = self.is_past_retention(&write.envelope);
            if expired || part.may_have_forgotten(&write.envelope) {
                return Ok(Written::Forgotten);
            }
        }
        let mailbox = match write.apply(former) {
            Written::Applied(mailbox) => mailbox,
            unchanged => return Ok(unchanged),
        };
        let is_new = |former: &Mailbox| {
            let (decided, was_decided) = (mailbox.decision.is_some(), former.decision.is_some());
            decided != was_decided || former.envelope.received != mailbox.envelope.received
        };
        let is_told = former.is_none_or(is_new);
        let is_opened = mailbox.opening != former.and_then(|former| former.opening);
        let former = former.filter(|_| is_told).cloned();
        let (version, mut kept) =
            entry.map_or((0, None), |entry| (entry.version, entry.kept.clone()));
        if entry.is_none() {
            part.make_room(self.capacity_of_part)?;
            part.by_age.push_back(id);
        }
        if is_told {
            let change = || Change::Mailbox { old: former, new: mailbox.clone() };
            kept = self.changes.tell(change).or(kept);
        } else if let Some(journal) = self.journal.as_ref().filter(|_| is_opened) {
            kept = Some(journal.mailbox(mailbox.clone()));
        }
        part.entries.insert(id, Entry { mailbox: mailbox.clone(), version: version + 1, kept });
        if let Some((notify, _)) = part.watched.get(&id) {
            notify.notify_waiters();
        }
        Ok(Written::Applied(mailbox))
    }
}

/// What outlives the process.
impl MemoryLedger {
    /// Puts a mailbox back as a former process has written it, unless it is past its retention.
    pub fn restore(&self, mailbox: Mailbox, kept: Hold) {
        if self.is_past_retention(&mailbox.envelope) {
            return;
        }
        let id = mailbox.envelope.id;
        let part = &mut *lock(self.part(id));
        if !part.entries.contains_key(&id) {
            if part.make_room(self.capacity_of_part).is_err() {
                // All of them may be waited for: this one, too, must not be decided twice.
                part.forgotten.insert(id);
                return;
            }
            part.by_age.push_back(id);
        }
        part.entries.insert(id, Entry { mailbox, version: 1, kept: Some(kept) });
    }

    /// From now on a request that was received before now and has no mailbox gets none: it may have had
    /// one in a former process.
    pub fn restored(&self) {
        let now = now();
        for part in &self.parts {
            lock(part).horizon = now;
        }
    }

    /// Hands the mailboxes over once more that a segment of the journal keeps, so that it is released.
    pub fn keep_again(&self, segment: u64) {
        let Some(journal) = &self.journal else { return };
        for part in &self.parts {
            for entry in lock(part).entries.values_mut() {
                if entry.kept.as_ref().is_some_and(|kept| kept.segment() == segment) {
                    entry.kept = Some(journal.mailbox(entry.mailbox.clone()));
                }
            }
        }
    }
}

impl Ledger for MemoryLedger {
    async fn read(&self, id: RequestId, _: Consistency) -> Result<Option<Mailbox>, Unavailable> {
        self.outage.check(LEDGER).await?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.look(id).map(|(mailbox, _)| mailbox))
    }

    async fn write(&self, write: &Write) -> Result<Written, Unavailable> {
        self.outage.check(LEDGER).await?;
        self.changes.room()?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.apply(write)
    }

    fn watch(&self, envelope: &Arc<Envelope>) -> impl Watch + '_ {
        let id = envelope.id;
        let part = &mut *lock(self.part(id));
        let (notify, watchers) = part.watched.entry(id).or_default();
        *watchers += 1;
        MemoryWatch { ledger: self, id, notify: notify.clone(), seen: 0 }
    }
}

/// A watch that the ledger notifies of each write.
struct MemoryWatch<'a> {
    ledger: &'a MemoryLedger,
    id: RequestId,
    notify: Arc<Notify>,
    /// The version that was last returned.
    seen: u64,
}

impl MemoryWatch<'_> {
    async fn next(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        loop {
            // Created before the look, so that no write in between is missed.
            let notified = self.notify.notified();
            self.ledger.outage.check(LEDGER).await?;
            self.ledger.reads.fetch_add(1, Ordering::Relaxed);
            let found = self.ledger.look(self.id);
            match found {
                Some((mailbox, version)) if version > self.seen => {
                    self.seen = version;
                    return Ok(Some(mailbox));
                }
                found if now() >= until => return Ok(found.map(|(mailbox, _)| mailbox)),
                _ => {}
            }
            // Whether it is notified or the time has come, it looks again.
            let _ = timeout(until.since(now()), notified).await;
        }
    }
}

impl Watch for MemoryWatch<'_> {
    async fn changed(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        let limit = until.since(now()) + GRACE;
        within(LEDGER, limit, self.next(until)).await
    }
}

impl Drop for MemoryWatch<'_> {
    fn drop(&mut self) {
        let part = &mut *lock(self.ledger.part(self.id));
        if let Some((_, watchers)) = part.watched.get_mut(&self.id) {
            *watchers -= 1;
            if *watchers == 0 {
                part.watched.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
