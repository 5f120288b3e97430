mod keeper;
mod lane;
mod record;
mod reshard;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;

pub(super) use self::keeper::Keeper;
use self::{lane::Lane, record::event_id};
pub use self::{lane::Subscription, record::StoredRecord};
use super::{hold::Hold, lock, outage::Outage};
use crate::{
    clock::{Timestamp, now, with_clock_ahead},
    error::Unavailable,
    names::Key,
    ports::{Record, Rejected, Stream},
    read_once::ReadOnce,
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
    shards: RwLock<Shards<T>>,
    held: Arc<AtomicUsize>,
    max_held: usize,
    retained: AtomicUsize,
    keeper: Option<Keeper<T>>,
}

#[derive(Debug)]
struct Shards<T> {
    /// In the order of their numbers.
    all: Vec<Arc<Shard<T>>>,
    /// Those that take records, in the order of the hashes of their keys.
    open: Vec<Arc<Shard<T>>>,
}

/// A shard takes the records whose keys have these hashes, until it is split or merged.
#[derive(Debug)]
struct Shard<T> {
    number: usize,
    name: String,
    hashes: RangeInclusive<u64>,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    /// Sequence number of the next record. They begin with the time in microseconds, so that no two
    /// runs on one machine give a record the same one.
    next: u64,
    /// The latest records, for subscriptions at the trim horizon. Kept whole until the first one.
    log: VecDeque<Arc<StoredRecord<T>>>,
    /// The lanes of each subscription. A dropped lane gets no more records.
    subscriptions: Vec<Vec<Weak<Lane<T>>>>,
}

impl<T> Shard<T> {
    fn starting_now(number: usize, hashes: RangeInclusive<u64>) -> Arc<Self> {
        let next = u64::try_from(with_clock_ahead(0, now).as_micros()).unwrap_or(0);
        let state = State { next, log: VecDeque::new(), subscriptions: Vec::new() };
        let name = format!("shardId-{number:012}");
        Arc::new(Self { number, name, hashes, state: Mutex::new(state) })
    }
}

impl<T> State<T> {
    /// How many lanes the subscription has that this lane belongs to.
    fn lanes_of(&self, lane: &Arc<Lane<T>>) -> usize {
        let is_it = |lanes: &&Vec<Weak<Lane<T>>>| {
            lanes.iter().any(|weak| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(lane)))
        };
        self.subscriptions.iter().find(is_it).map_or(1, Vec::len)
    }

    fn trim(&mut self, retained: usize) {
        if !self.subscriptions.is_empty() {
            let excess = self.log.len().saturating_sub(retained);
            self.log.drain(..excess);
        }
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

    /// Delivers a record again that a former process has put, and that `kept` keeps.
    pub fn restore(&self, record: Record, arrived: Timestamp, kept: Hold) {
        let bytes = record.data.len();
        self.append_again(record.key, record.data, bytes, (arrived, kept));
    }

    /// Throttles puts while more than `bytes` are held.
    #[must_use]
    pub fn holding_at_most(self, bytes: usize) -> Self {
        Self { max_held: bytes, ..self }
    }

    /// Retains the latest `records` of each shard for later subscriptions.
    #[must_use]
    pub fn retaining(self, records: usize) -> Self {
        self.retain(records);
        self
    }
}

impl<T> MemoryStream<T> {
    pub(super) fn holding(name: &'static str, shards: usize, max_held: usize) -> Self {
        let count = shards.max(1);
        let width = u64::MAX / count as u64;
        let shard = |number: usize| {
            let start = if number == 0 { 0 } else { number as u64 * width + 1 };
            let end = if number + 1 == count { u64::MAX } else { (number as u64 + 1) * width };
            Shard::starting_now(number, start..=end)
        };
        let all: Vec<_> = (0..count).map(shard).collect();
        Self {
            outage: Outage::default(),
            name,
            shards: RwLock::new(Shards { open: all.clone(), all }),
            held: Arc::default(),
            max_held,
            retained: AtomicUsize::new(0),
            keeper: None,
        }
    }

    /// Lets `keeper` keep every record that is put.
    pub(super) fn kept_by(self, keeper: Keeper<T>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes of data that are retained or that some subscription has not dropped.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// From now on the latest `records` of each shard are retained.
    pub fn retain(&self, records: usize) {
        self.retained.store(records, Ordering::Relaxed);
        for shard in &self.shards().all {
            lock(&shard.state).trim(records);
        }
    }

    /// Subscribes to every open shard, `lanes` lanes each: records of one key keep to one lane.
    pub fn subscribe(&self, position: Position, lanes: usize) -> Vec<Subscription<T>> {
        let lanes = lanes.max(1);
        let subscribe = |shard: &Arc<Shard<T>>| {
            let state = &mut *lock(&shard.state);
            let queues: Vec<Arc<Lane<T>>> = (0..lanes).map(|_| Arc::default()).collect();
            for record in &state.log {
                let wanted = match position {
                    Position::TrimHorizon => true,
                    Position::Latest => false,
                    Position::At(instant) => record.arrived >= instant,
                };
                if wanted {
                    queues[record.lane(lanes)].push(record);
                }
            }
            state.subscriptions.push(queues.iter().map(Arc::downgrade).collect());
            state.trim(self.retained.load(Ordering::Relaxed));
            let lanes = queues.into_iter().enumerate();
            lanes.map(|(place, lane)| Subscription::new(shard, place, lane)).collect::<Vec<_>>()
        };
        self.shards().open.iter().flat_map(subscribe).collect()
    }

    /// Whether anybody has ever subscribed.
    pub(super) fn has_subscribers(&self) -> bool {
        let shards = self.shards();
        shards.all.iter().any(|shard| !lock(&shard.state).subscriptions.is_empty())
    }

    /// The numbers of the shards that take records, in the order of the hashes of their keys.
    pub fn open_shards(&self) -> Vec<usize> {
        self.shards().open.iter().map(|shard| shard.number).collect()
    }

    /// Appends a record; returns what its keeper returns.
    pub(super) fn append(&self, key: Key, data: T, bytes: usize) -> Option<Hold> {
        // The time of the stream, not of the producer.
        let arrived = with_clock_ahead(0, now);
        self.store(key, data, bytes, arrived, |record| match &self.keeper {
            None => (Arc::new(record), None),
            Some(keeper) => keeper.keep(record),
        })
    }

    /// Appends a record that a former process has appended, and that is kept by `kept`.
    pub(super) fn append_again(
        &self,
        key: Key,
        data: T,
        bytes: usize,
        (arrived, kept): (Timestamp, Hold),
    ) {
        self.store(key, data, bytes, arrived, |mut record| {
            record.kept = Some(kept);
            (Arc::new(record), None)
        });
    }

    fn store(
        &self,
        key: Key,
        data: T,
        bytes: usize,
        arrived: Timestamp,
        keep: impl FnOnce(StoredRecord<T>) -> (Arc<StoredRecord<T>>, Option<Hold>),
    ) -> Option<Hold> {
        let shards = self.shards();
        let hash = hash(&key);
        let place = shards.open.partition_point(|shard| *shard.hashes.end() < hash);
        let shard = &shards.open[place.min(shards.open.len() - 1)];
        let state = &mut *lock(&shard.state);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let (stored, kept) = keep(StoredRecord {
            shard: shard.number,
            sequence: state.next,
            event_id: event_id(&shard.name, state.next),
            hash,
            key,
            data,
            arrived,
            endpoint: OnceLock::new(),
            read: ReadOnce::default(),
            bytes,
            held: self.held.clone(),
            kept: None,
        });
        state.next += 1;
        for lanes in &state.subscriptions {
            if let Some(lane) = lanes[stored.lane(lanes.len())].upgrade() {
                lane.push(&stored);
            }
        }
        state.log.push_back(stored);
        state.trim(self.retained.load(Ordering::Relaxed));
        kept
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

    fn shards(&self) -> RwLockReadGuard<'_, Shards<T>> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shards_mut(&self) -> RwLockWriteGuard<'_, Shards<T>> {
        self.shards.write().unwrap_or_else(PoisonError::into_inner)
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
