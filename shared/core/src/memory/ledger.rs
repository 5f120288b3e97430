use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use super::{lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    endpoint::MAX_DEADLINE,
    mailbox::{Mailbox, Opening, Score},
    message::Envelope,
    names::RequestId,
    ports::{Consistency, Ledger, Proposal, Unavailable},
};

/// How many parts the table has, so that few calls wait for each other.
const PARTS: usize = 16;

/// Mailboxes in memory, at most so many; the oldest go first.
///
/// A request that may still be waited for is never forgotten. When only such are left and the
/// table is full, new ones are throttled.
#[derive(Debug)]
pub struct MemoryLedger {
    pub outage: Outage,
    parts: [Mutex<Part>; PARTS],
    capacity_of_part: usize,
    /// The latest `received` of all that was forgotten.
    horizon: AtomicI64,
    reads: AtomicU64,
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Part {
    mailboxes: HashMap<RequestId, Mailbox>,
    /// The keys of `mailboxes`, oldest entry first.
    by_age: VecDeque<RequestId>,
}

impl Default for MemoryLedger {
    /// Room for a million mailboxes.
    fn default() -> Self {
        Self::with_capacity(1_000_000)
    }
}

impl MemoryLedger {
    /// A ledger for about `mailboxes` requests, of some 700 bytes each.
    pub fn with_capacity(mailboxes: usize) -> Self {
        Self {
            outage: Outage::default(),
            parts: std::array::from_fn(|_| Mutex::default()),
            capacity_of_part: mailboxes.div_ceil(PARTS),
            horizon: AtomicI64::new(i64::MIN),
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
        change: impl FnOnce(&mut Mailbox),
    ) -> Result<Mailbox, Unavailable> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let part = &mut *lock(self.part(envelope.id));
        if !part.mailboxes.contains_key(&envelope.id) {
            if part.mailboxes.len() >= self.capacity_of_part {
                self.forget_oldest(part)?;
            }
            part.mailboxes.insert(envelope.id, Mailbox::empty(envelope.clone()));
            part.by_age.push_back(envelope.id);
        }
        let Some(mailbox) = part.mailboxes.get_mut(&envelope.id) else {
            return Err(Unavailable::Down("ledger".into()));
        };
        change(mailbox);
        Ok(mailbox.clone())
    }

    fn forget_oldest(&self, part: &mut Part) -> Result<(), Unavailable> {
        let oldest = part.by_age.front().and_then(|id| part.mailboxes.get(id));
        if let Some(mailbox) = oldest {
            let waited_for = mailbox.decision.is_none()
                && now().since(mailbox.envelope.received) <= MAX_DEADLINE;
            if waited_for {
                return Err(Unavailable::Throttled("ledger (full of open requests)".into()));
            }
            self.horizon.fetch_max(mailbox.envelope.received.as_micros(), Ordering::Relaxed);
        }
        if let Some(id) = part.by_age.pop_front() {
            part.mailboxes.remove(&id);
        }
        Ok(())
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
        self.update(envelope, |mailbox| {
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
        let opening = |mailbox: &mut Mailbox| {
            if let Some(opening) = &mut mailbox.opening {
                opening.accepted = true;
            }
        };
        lock(self.part(id)).mailboxes.get_mut(&id).map(opening);
        Ok(())
    }

    async fn file(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
    ) -> Result<Mailbox, Unavailable> {
        self.outage.check("ledger").await?;
        self.update(envelope, |mailbox| mailbox.file(scores))
    }

    async fn settle(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
        proposal: Proposal,
    ) -> Result<Mailbox, Unavailable> {
        self.outage.check("ledger").await?;
        self.update(envelope, |mailbox| {
            let Proposal { decision, rivals } = proposal;
            let overlooked =
                rivals.iter().any(|rival| matches!(mailbox.result_of(rival), Some(Ok(_))));
            let filed_before = decision.model.as_ref().is_some_and(|model| {
                scores.iter().any(|score| score.model == *model)
                    && mailbox.result_of(model).is_some()
            });
            if mailbox.decision.is_none() && !overlooked && !filed_before {
                mailbox.file(scores);
                mailbox.decision = Some(Arc::new(decision));
            }
        })
    }

    fn horizon(&self) -> Timestamp {
        Timestamp::from_micros(self.horizon.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::samples;

    #[tokio::test]
    async fn a_full_ledger_forgets_the_oldest_settled_request_and_moves_its_horizon() {
        let ledger = MemoryLedger::with_capacity(PARTS);
        let endpoint = samples::endpoint();
        let mut first_received = Timestamp::default();
        for i in 0..1_000 {
            let envelope = samples::envelope(&endpoint);
            if i == 0 {
                first_received = envelope.received;
            }
            let proposal = samples::fallback(&endpoint, &envelope);
            ledger.settle(&envelope, &[], proposal).await.unwrap();
        }
        let held: usize = ledger.parts.iter().map(|part| lock(part).mailboxes.len()).sum();
        assert!(held <= PARTS);
        assert!(ledger.horizon() >= first_received);
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
        assert_eq!(throttled, 100 - PARTS);
        assert_eq!(ledger.horizon(), Timestamp::from_micros(i64::MIN));
    }
}
