use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};

use super::{lock, outage::Outage};
use crate::{
    clock::{Timestamp, now, with_clock_ahead},
    error::Unavailable,
    names::Key,
    ports::{Record, Rejected, Stream},
};

/// How long a throttled put pauses before it tries again.
const BACKOFF: Duration = Duration::from_millis(10);

/// A sharded stream in memory that pushes each record to every subscription.
///
/// A record is held until the last subscription has dropped it. When more than the limit is held,
/// because a subscription has fallen behind, puts are throttled: nothing is lost silently and
/// memory stays bounded.
///
/// A record carries bytes, as on a Kinesis stream, or a change of a table.
#[derive(Debug)]
pub struct MemoryStream<T = Bytes> {
    pub outage: Outage,
    name: &'static str,
    shards: Vec<Mutex<Shard<T>>>,
    held: Arc<AtomicUsize>,
    max_held: usize,
    retained: usize,
}

#[derive(Debug)]
struct Shard<T> {
    /// Sequence number of the next record. They begin with the time in microseconds, so that no two
    /// runs on one machine give a record the same one.
    next: u64,
    /// The latest records, for subscriptions at the trim horizon. Kept whole until the first one.
    log: VecDeque<Arc<StoredRecord<T>>>,
    /// The lanes of each subscription. A dropped lane gets no more records.
    subscriptions: Vec<Vec<Weak<Lane<T>>>>,
}

impl<T> Shard<T> {
    fn starting_now() -> Self {
        let next = u64::try_from(now().as_micros()).unwrap_or(0);
        Self { next, log: VecDeque::new(), subscriptions: Vec::new() }
    }
}

#[derive(Debug)]
struct Lane<T> {
    queue: Mutex<Queue<T>>,
    /// Notified when the queue has as much as the subscriber waits for.
    enough: Notify,
}

#[derive(Debug)]
struct Queue<T> {
    records: VecDeque<Arc<StoredRecord<T>>>,
    /// What the records take.
    bytes: usize,
    /// The subscriber waits for so many records or so many bytes: it is not woken by each record of
    /// a large batch.
    wanted: (usize, usize),
}

impl<T> Queue<T> {
    fn has(&self, (records, bytes): (usize, usize)) -> bool {
        self.records.len() >= records || self.bytes >= bytes
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        let queue = Queue { records: VecDeque::new(), bytes: 0, wanted: ANY };
        Self { queue: Mutex::new(queue), enough: Notify::new() }
    }
}

/// Wait for any record.
const ANY: (usize, usize) = (1, usize::MAX);

/// A record as the stream keeps it.
#[derive(Debug)]
pub struct StoredRecord<T = Bytes> {
    pub shard: usize,
    pub sequence: u64,
    pub key: Key,
    pub data: T,
    pub arrived: Timestamp,
    /// What `data` takes.
    bytes: usize,
    held: Arc<AtomicUsize>,
}

impl<T> Drop for StoredRecord<T> {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// With the oldest record that is retained.
    TrimHorizon,
    /// With the next record to arrive.
    Latest,
    /// With the first retained record that arrived at this time or later.
    At(Timestamp),
}

impl MemoryStream {
    /// A stream that holds at most 64 MiB.
    pub fn new(name: &'static str, shards: usize) -> Self {
        Self::holding(name, shards, 64 * 1024 * 1024)
    }

    /// Throttles puts while more than `bytes` are held.
    #[must_use]
    pub fn holding_at_most(self, bytes: usize) -> Self {
        Self { max_held: bytes, ..self }
    }

    /// Retains the latest `records` of each shard for later subscriptions.
    #[must_use]
    pub fn retaining(self, records: usize) -> Self {
        Self { retained: records, ..self }
    }
}

impl<T> MemoryStream<T> {
    pub(super) fn holding(name: &'static str, shards: usize, max_held: usize) -> Self {
        Self {
            outage: Outage::default(),
            name,
            shards: (0..shards.max(1)).map(|_| Mutex::new(Shard::starting_now())).collect(),
            held: Arc::default(),
            max_held,
            retained: 0,
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes of data that are retained or that some subscription has not dropped.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Subscribes to every shard, `lanes` lanes each: records of one key keep to one lane.
    pub fn subscribe(&self, position: Position, lanes: usize) -> Vec<Subscription<T>> {
        let lanes = lanes.max(1);
        let subscribe = |(shard, state): (usize, &Mutex<Shard<T>>)| {
            let queues: Vec<Arc<Lane<T>>> = (0..lanes).map(|_| Arc::default()).collect();
            let weak: Vec<Weak<Lane<T>>> = queues.iter().map(Arc::downgrade).collect();
            let state = &mut *lock(state);
            for record in &state.log {
                let wanted = match position {
                    Position::TrimHorizon => true,
                    Position::Latest => false,
                    Position::At(instant) => record.arrived >= instant,
                };
                if wanted {
                    self.push(&weak, record);
                }
            }
            state.subscriptions.push(weak);
            self.trim(state);
            queues.into_iter().map(move |lane| Subscription { shard, lane })
        };
        self.shards.iter().enumerate().flat_map(subscribe).collect()
    }

    /// Whether anybody has ever subscribed.
    pub(super) fn has_subscribers(&self) -> bool {
        self.shards.iter().any(|shard| !lock(shard).subscriptions.is_empty())
    }

    pub(super) fn append(&self, key: Key, data: T, bytes: usize) {
        let hash = hash(&key);
        let shard = usize::try_from(hash % self.shards.len() as u64).unwrap_or(0);
        let state = &mut *lock(&self.shards[shard]);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let stored = Arc::new(StoredRecord {
            shard,
            sequence: state.next,
            key,
            data,
            // The time of the stream, not of the producer.
            arrived: with_clock_ahead(0, now),
            bytes,
            held: self.held.clone(),
        });
        state.next += 1;
        for lanes in &state.subscriptions {
            self.push(lanes, &stored);
        }
        if self.retained > 0 || state.subscriptions.is_empty() {
            state.log.push_back(stored);
            self.trim(state);
        }
    }

    fn push(&self, lanes: &[Weak<Lane<T>>], record: &Arc<StoredRecord<T>>) {
        let hash = hash(&record.key) / self.shards.len() as u64;
        let lane = &lanes[usize::try_from(hash % lanes.len() as u64).unwrap_or(0)];
        if let Some(lane) = lane.upgrade() {
            let queue = &mut *lock(&lane.queue);
            queue.records.push_back(record.clone());
            queue.bytes += record.bytes;
            if queue.has(queue.wanted) {
                lane.enough.notify_one();
            }
        }
    }

    fn trim(&self, shard: &mut Shard<T>) {
        if !shard.subscriptions.is_empty() {
            let excess = shard.log.len().saturating_sub(self.retained);
            shard.log.drain(..excess);
        }
    }

    async fn admit(&self) -> Result<(), Unavailable> {
        self.outage.check(self.name).await?;
        self.room()
    }

    /// Throttles while too much is held.
    pub(super) fn room(&self) -> Result<(), Unavailable> {
        if self.held() > self.max_held {
            return Err(Unavailable::throttled(self.name, "readers are too far behind"));
        }
        Ok(())
    }
}

impl Stream for MemoryStream {
    async fn put(&self, records: Vec<Record>, until: Timestamp) -> Result<(), Rejected> {
        loop {
            match self.admit().await {
                Ok(()) => {
                    for Record { key, data } in records {
                        let bytes = data.len();
                        self.append(key, data, bytes);
                    }
                    return Ok(());
                }
                Err(cause) if cause.is_throttled() && now() + BACKOFF < until => {
                    sleep(BACKOFF).await;
                }
                Err(cause) => {
                    return Err(Rejected { indexes: (0..records.len()).collect(), cause });
                }
            }
        }
    }
}

fn hash(key: &Key) -> u64 {
    // SipHash with fixed keys: a key keeps to its shard and lane in every run.
    let mut hasher = DefaultHasher::new();
    key.as_str().hash(&mut hasher);
    hasher.finish()
}

/// One lane of one shard, as one subscriber sees it. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription<T = Bytes> {
    shard: usize,
    lane: Arc<Lane<T>>,
}

impl<T> Subscription<T> {
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Takes the next records, at most `max_records` and, unless a single one is larger,
    /// `max_bytes`. Waits for the first; then for more until either limit or until `window` has
    /// passed. Dropping the future takes nothing.
    pub async fn next(
        &self,
        max_records: usize,
        max_bytes: usize,
        window: Duration,
    ) -> Vec<Arc<StoredRecord<T>>> {
        self.wait_for(ANY).await;
        if !window.is_zero() {
            let close = Instant::now() + window;
            // Whether it is full or its window has passed, it is a batch.
            let _ = timeout_at(close, self.wait_for((max_records, max_bytes))).await;
        }
        let queue = &mut *lock(&self.lane.queue);
        let mut bytes = 0;
        let fits = |record: &&Arc<StoredRecord<T>>| {
            let first = bytes == 0;
            bytes += record.bytes;
            first || bytes <= max_bytes
        };
        let count = queue.records.iter().take(max_records).take_while(fits).count();
        let batch: Vec<_> = queue.records.drain(..count).collect();
        queue.bytes -= batch.iter().map(|record| record.bytes).sum::<usize>();
        batch
    }

    /// Waits until so much is in the queue.
    async fn wait_for(&self, wanted: (usize, usize)) {
        loop {
            {
                let queue = &mut *lock(&self.lane.queue);
                queue.wanted = wanted;
                if queue.has(wanted) {
                    return;
                }
            }
            self.lane.enough.notified().await;
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        lock(&self.lane.queue).records.is_empty()
    }
}

#[cfg(test)]
mod tests;
