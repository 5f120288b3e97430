use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use bytes::Bytes;

use super::{ledger::MemoryLedger, lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    error::Unavailable,
    payload::Sha256Digest,
    payloads::PAYLOAD_STORE,
    ports::{Erase, Payloads},
};

/// Payloads in memory, for as long as the ledger keeps a mailbox.
#[derive(Debug)]
pub struct MemoryPayloads {
    pub outage: Outage,
    retention: Duration,
    stored: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: BTreeMap<String, (Bytes, Timestamp)>,
    /// The keys in the order in which they were put.
    order: VecDeque<(Timestamp, String)>,
}

impl Default for MemoryPayloads {
    fn default() -> Self {
        Self::with_retention(MemoryLedger::RETENTION)
    }
}

impl MemoryPayloads {
    pub fn with_retention(retention: Duration) -> Self {
        Self { outage: Outage::default(), retention, stored: Mutex::default() }
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        let mut objects = lock(&self.stored);
        objects.expire(now() - self.retention);
        objects.by_key.keys().cloned().collect()
    }

    /// Deletes an object.
    pub fn delete(&self, key: &str) {
        lock(&self.stored).by_key.remove(key);
    }
}

impl Objects {
    /// Deletes what was put before `end`.
    fn expire(&mut self, end: Timestamp) {
        while self.order.front().is_some_and(|(put, _)| *put < end) {
            let Some((_, key)) = self.order.pop_front() else { return };
            if self.by_key.get(&key).is_some_and(|(_, put)| *put < end) {
                self.by_key.remove(&key);
            }
        }
    }
}

impl Payloads for MemoryPayloads {
    fn url(&self) -> &'static str {
        "memory:"
    }

    async fn put(&self, key: &str, body: Bytes, _: Sha256Digest) -> Result<(), Unavailable> {
        self.outage.check(PAYLOAD_STORE).await?;
        let (mut objects, put) = (lock(&self.stored), now());
        objects.expire(put - self.retention);
        objects.by_key.insert(key.to_owned(), (body, put));
        objects.order.push_back((put, key.to_owned()));
        Ok(())
    }

    async fn get(&self, key: &str, at_most: u64) -> Result<Option<Bytes>, Unavailable> {
        self.outage.check(PAYLOAD_STORE).await?;
        let mut objects = lock(&self.stored);
        objects.expire(now() - self.retention);
        let end =
            |body: &Bytes| usize::try_from(at_most).map_or(body.len(), |end| end.min(body.len()));
        Ok(objects.by_key.get(key).map(|(body, _)| body.slice(..end(body))))
    }
}

impl Erase for MemoryPayloads {
    async fn erase(&self, key: &str) -> Result<u64, Unavailable> {
        self.outage.check(PAYLOAD_STORE).await?;
        Ok(u64::from(lock(&self.stored).by_key.remove(key).is_some()))
    }
}
