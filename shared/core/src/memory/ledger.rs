use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Change, MemoryStream, lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    mailbox::{Mailbox, Opening, Score},
    message::Envelope,
    names::RequestId,
    ports::{Consistency, Ledger, Proposal, Unavailable},
};

/// How many parts the table has, so that few calls wait for each other.
const PARTS: usize = 16;

/// How many more forgotten requests than mailboxes are known to have been here, at some 60 bytes
/// each.
const FORGOTTEN_FACTOR: usize = 8;

/// How long after its deadline somebody may still be waiting for an undecided request.
const GRACE: Duration = Duration::from_secs(1);

/// Mailboxes in memory, at most so many; the oldest go first.
///
/// A request that may still be waited for is never forgotten: when the table is full of such, new
/// ones are throttled. Of those forgotten the ids are kept for a while, so that a late score cannot
/// bring one back.
#[derive(Debug)]
pub struct MemoryLedger {
    pub outage: Outage,
    /// Tells each change in which a decision first appears.
    pub changes: MemoryStream<Change>,
    parts: [Mutex<Part>; PARTS],
    capacity_of_part: usize,
    reads: AtomicU64,
    writes: AtomicU64,
}

#[derive(Debug)]
struct Part {
    mailboxes: HashMap<RequestId, Mailbox>,
    /// The keys of `mailboxes`, oldest entry first.
    by_age: VecDeque<RequestId>,
    forgotten: HashSet<RequestId>,
    /// `forgotten`, oldest entry first, with when each was received.
    forgotten_by_age: VecDeque<(RequestId, Timestamp)>,
    /// What was received until then may have been forgotten so long ago that its id is, too.
    horizon: Timestamp,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            mailboxes: HashMap::new(),
            by_age: VecDeque::new(),
            forgotten: HashSet::new(),
            forgotten_by_age: VecDeque::new(),
            horizon: Timestamp::from_micros(i64::MIN),
        }
    }
}

impl Part {
    /// Makes room for one more, at the cost of the oldest that nobody can be waiting for.
    fn make_room(&mut self, capacity: usize) -> Result<(), Unavailable> {
        // Those that are waited for are few: they are looked at again another time.
        for _ in 0..self.by_age.len() {
            if self.mailboxes.len() < capacity {
                return Ok(());
            }
            let Some(id) = self.by_age.pop_front() else { break };
            match self.mailboxes.get(&id) {
                Some(mailbox) if is_waited_for(mailbox) => self.by_age.push_back(id),
                _ => self.forget(id, capacity),
            }
        }
        if self.mailboxes.len() < capacity {
            return Ok(());
        }
        Err(Unavailable::Throttled("ledger (full of open requests)".into()))
    }

    fn forget(&mut self, id: RequestId, capacity: usize) {
        let Some(mailbox) = self.mailboxes.remove(&id) else { return };
        self.forgotten.insert(id);
        self.forgotten_by_age.push_back((id, mailbox.envelope.received));
        if self.forgotten_by_age.len() > capacity * FORGOTTEN_FACTOR
            && let Some((oldest, received)) = self.forgotten_by_age.pop_front()
        {
            self.forgotten.remove(&oldest);
            self.horizon = self.horizon.max(received);
        }
    }

    /// Whether a request that has no mailbox may have had one.
    fn may_have_forgotten(&self, envelope: &Envelope) -> bool {
        self.forgotten.contains(&envelope.id) || envelope.received <= self.horizon
    }
}

fn is_waited_for(mailbox: &Mailbox) -> bool {
    mailbox.decision.is_none() && now() <= mailbox.envelope.deadline + GRACE
}

impl Default for MemoryLedger {
    /// Room for a million mailboxes.
    fn default() -> Self {
        Self::with_capacity(1_000_000)
    }
}

impl MemoryLedger {
    /// A ledger for about `mailboxes` requests. One takes some 800 bytes and its scores' JSON.
    pub fn with_capacity(mailboxes: usize) -> Self {
        Self {
            outage: Outage::default(),
            changes: MemoryStream::of_table("ledger"),
            parts: std::array::from_fn(|_| Mutex::default()),
            capacity_of_part: mailboxes.div_ceil(PARTS),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    /// Reads and writes since the start, for whoever counts the cost of a request.
    pub fn calls(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// Changes the mailbox of `envelope`, which is made where there is none, and returns it.
    fn update(
        &self,
        envelope: &Arc<Envelope>,
        may_be_forgotten: bool,
        change: impl FnOnce(&mut Mailbox),
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let part = &mut *lock(self.part(envelope.id));
        if !part.mailboxes.contains_key(&envelope.id) {
            if may_be_forgotten && part.may_have_forgotten(envelope) {
                return Ok(None);
            }
            part.make_room(self.capacity_of_part)?;
            part.by_age.push_back(envelope.id);
        }
        let made = || Mailbox::empty(envelope.clone());
        let mailbox = part.mailboxes.entry(envelope.id).or_insert_with(made);
        change(mailbox);
        Ok(Some(mailbox.clone()))
    }

    fn part(&self, id: RequestId) -> &Mutex<Part> {
        // The last byte of a UUID is random in versions 5 and 7.
        &self.parts[usize::from(id.as_bytes()[15]) % PARTS]
    }
}

impl Ledger for MemoryLedger {
    async fn read(&self, id: RequestId, _: Consistency) -> Result<Option<Mailbox>, Unavailable> {
        self.outage.check("ledger").await?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(lock(self.part(id)).mailboxes.get(&id).cloned())
    }

    async fn open(
        &self,
        envelope: &Arc<Envelope>,
        payload_sha256: [u8; 32],
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.outage.check("ledger").await?;
        let mut existing = None;
        self.update(envelope, false, |mailbox| {
            if mailbox.opening.is_some() {
                existing = Some(mailbox.clone());
            } else {
                mailbox.opening = Some(Opening { payload_sha256, accepted: false });
            }
        })?;
        Ok(existing)
    }

    async fn mark_accepted(&self, id: RequestId) -> Result<(), Unavailable> {
        self.outage.check("ledger").await?;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let part = &mut *lock(self.part(id));
        if let Some(opening) = part.mailboxes.get_mut(&id).and_then(|m| m.opening.as_mut()) {
            opening.accepted = true;
        }
        Ok(())
    }

    async fn file(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.outage.check("ledger").await?;
        self.update(envelope, true, |mailbox| mailbox.file(scores))
    }

    async fn settle(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
        proposal: Proposal,
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.outage.check("ledger").await?;
        self.changes.room()?;
        self.update(envelope, true, |mailbox| {
            let Proposal { decision, rivals } = proposal;
            let has_score = |rival| matches!(mailbox.result_of(rival), Some(Ok(_)));
            let overlooked = rivals.iter().any(has_score);
            let filed_before = decision.model.as_ref().is_some_and(|model| {
                scores.iter().any(|score| score.model == *model)
                    && mailbox.result_of(model).is_some()
            });
            if mailbox.decision.is_none() && !overlooked && !filed_before {
                mailbox.file(scores);
                let decision = Arc::new(decision);
                mailbox.decision = Some(decision.clone());
                let envelope = mailbox.envelope.clone();
                self.changes.tell(|| Change::Decided { envelope, decision });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contract::samples, memory::Position};

    fn held(ledger: &MemoryLedger) -> usize {
        ledger.parts.iter().map(|part| lock(part).mailboxes.len()).sum()
    }

    #[tokio::test]
    async fn a_full_ledger_forgets_the_oldest_and_lets_no_late_score_bring_it_back() {
        let ledger = MemoryLedger::with_capacity(PARTS);
        let endpoint = samples::endpoint();
        let mut all = Vec::new();
        for _ in 0..1_000 {
            let envelope = samples::envelope(&endpoint);
            let proposal = samples::fallback(&endpoint, &envelope);
            assert!(ledger.settle(&envelope, &[], proposal).await.unwrap().is_some());
            all.push(envelope);
        }
        assert!(held(&ledger) <= PARTS);
        let score = [samples::score("a@1", "1")];
        for old in &all[..900] {
            assert_eq!(ledger.file(old, &score).await.unwrap(), None);
            let proposal = samples::fallback(&endpoint, old);
            assert_eq!(ledger.settle(old, &[], proposal).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_request_whose_first_score_is_slow_is_not_taken_for_forgotten() {
        let ledger = MemoryLedger::with_capacity(PARTS * 100);
        let endpoint = samples::endpoint();
        let slow = samples::envelope(&endpoint);
        for _ in 0..PARTS * 200 {
            let envelope = samples::envelope(&endpoint);
            let proposal = samples::fallback(&endpoint, &envelope);
            ledger.settle(&envelope, &[], proposal).await.unwrap();
        }
        let filed = ledger.file(&slow, &[samples::score("a@1", "1")]).await.unwrap();
        assert_eq!(filed.unwrap().scores.len(), 1);
    }

    #[tokio::test]
    async fn a_ledger_full_of_open_requests_throttles_and_forgets_none() {
        let ledger = MemoryLedger::with_capacity(1);
        let endpoint = samples::endpoint();
        let mut throttled = 0;
        for _ in 0..100 {
            let envelope = samples::envelope(&endpoint);
            if let Err(Unavailable::Throttled(_)) = ledger.file(&envelope, &[]).await {
                throttled += 1;
            }
        }
        assert_eq!(throttled, 100 - held(&ledger));
    }

    #[tokio::test]
    async fn an_open_request_is_kept_and_holds_up_nobody() {
        let ledger = MemoryLedger::with_capacity(PARTS * 2);
        let endpoint = samples::endpoint();
        let open = samples::envelope(&endpoint);
        ledger.file(&open, &[]).await.unwrap();
        for _ in 0..1_000 {
            let envelope = samples::envelope(&endpoint);
            let proposal = samples::fallback(&endpoint, &envelope);
            ledger.settle(&envelope, &[], proposal).await.unwrap();
        }
        assert!(ledger.read(open.id, Consistency::Strong).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_decision_is_told_once_to_those_who_listen() {
        let ledger = MemoryLedger::default();
        let endpoint = samples::endpoint();
        let settle = async |envelope: &Arc<Envelope>| {
            let proposal = samples::fallback(&endpoint, envelope);
            ledger.settle(envelope, &[], proposal).await.unwrap().unwrap().decision.unwrap()
        };
        settle(&samples::envelope(&endpoint)).await;
        assert_eq!(ledger.changes.held(), 0, "nobody has listened");

        let lane = &ledger.changes.subscribe(Position::TrimHorizon, 1)[0];
        let envelope = samples::envelope(&endpoint);
        ledger.file(&envelope, &[samples::score("a@1", "1")]).await.unwrap();
        let decision = settle(&envelope).await;
        settle(&envelope).await;
        let told = lane.next(10, usize::MAX, Duration::ZERO).await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].data, Change::Decided { envelope, decision });
        drop(told);
        assert_eq!(ledger.changes.held(), 0);
    }

    #[tokio::test]
    async fn listeners_that_are_far_behind_throttle_the_ledger_and_lose_nothing() {
        let ledger =
            MemoryLedger { changes: MemoryStream::holding("ledger", 1, 10_000), ..<_>::default() };
        let endpoint = samples::endpoint();
        let lane = &ledger.changes.subscribe(Position::TrimHorizon, 1)[0];
        let mut decided = 0;
        loop {
            let envelope = samples::envelope(&endpoint);
            let proposal = samples::fallback(&endpoint, &envelope);
            match ledger.settle(&envelope, &[], proposal).await {
                Ok(_) => decided += 1,
                Err(error) => break assert!(matches!(error, Unavailable::Throttled(_))),
            }
            assert!(decided < 1_000, "it is never throttled");
        }
        assert_eq!(lane.next(1_000, usize::MAX, Duration::ZERO).await.len(), decided);
    }
}
