//! How subscribers read a shard: lane by lane, each in order.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{Shard, StoredRecord};
use crate::memory::lock;

#[derive(Debug)]
pub(super) struct Lane<T> {
    queue: Mutex<Queue<T>>,
    /// Notified when the queue has as much as the subscriber waits for, and when the shard closes.
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
    /// Once the shard is closed: what is read after this lane.
    successors: Option<Vec<Arc<Successor<T>>>>,
}

/// A lane of a shard that others were split into or merged into.
#[derive(Debug)]
pub(super) struct Successor<T> {
    /// How many lanes must be read to their end before it.
    waiting: AtomicUsize,
    subscription: Mutex<Option<Subscription<T>>>,
}

impl<T> Successor<T> {
    /// It is read after so many lanes.
    pub(super) fn after(lanes: usize, subscription: Subscription<T>) -> Arc<Self> {
        let (waiting, subscription) = (AtomicUsize::new(lanes), Mutex::new(Some(subscription)));
        Arc::new(Self { waiting, subscription })
    }
}

impl<T> Queue<T> {
    fn has(&self, (records, bytes): (usize, usize)) -> bool {
        self.records.len() >= records || self.bytes >= bytes || self.successors.is_some()
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        let queue = Queue { records: VecDeque::new(), bytes: 0, wanted: ANY, successors: None };
        Self { queue: Mutex::new(queue), enough: Notify::new() }
    }
}

impl<T> Lane<T> {
    pub(super) fn push(&self, record: &Arc<StoredRecord<T>>) {
        let queue = &mut *lock(&self.queue);
        queue.records.push_back(record.clone());
        queue.bytes += record.bytes;
        if queue.has(queue.wanted) {
            self.enough.notify_one();
        }
    }

    /// No more records come.
    pub(super) fn close(&self, successors: Vec<Arc<Successor<T>>>) {
        lock(&self.queue).successors = Some(successors);
        self.enough.notify_one();
    }
}

/// Wait for any record.
const ANY: (usize, usize) = (1, usize::MAX);

/// One lane of one shard, as one subscriber sees it. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription<T = Bytes> {
    shard: Arc<Shard<T>>,
    /// Of the lanes of the shard the how many-th.
    place: usize,
    lane: Arc<Lane<T>>,
}

impl<T> Subscription<T> {
    pub(super) fn new(shard: &Arc<Shard<T>>, place: usize, lane: Arc<Lane<T>>) -> Self {
        Self { shard: shard.clone(), place, lane }
    }

    pub fn shard(&self) -> usize {
        self.shard.number
    }

    /// The shard as Kinesis would name it.
    pub fn shard_name(&self) -> &str {
        &self.shard.name
    }

    /// Takes the next records, at most `max_records` and, unless a single one is larger,
    /// `max_bytes`. Waits for the first; then for more until either limit or until `window` has
    /// passed. Dropping the future takes nothing.
    ///
    /// Takes none when the shard is closed and read to its end: [`Self::successors`] follow.
    pub async fn next(
        &self,
        max_records: usize,
        max_bytes: usize,
        window: Duration,
    ) -> Vec<Arc<StoredRecord<T>>> {
        if self.wait_for(ANY).await {
            // Whoever is ready to put, too, does so first: what comes together is taken together.
            yield_now().await;
        }
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

    /// Waits until so much is in the queue; returns whether it was not there at once.
    async fn wait_for(&self, wanted: (usize, usize)) -> bool {
        let mut slept = false;
        loop {
            {
                let queue = &mut *lock(&self.lane.queue);
                queue.wanted = wanted;
                if queue.has(wanted) {
                    return slept;
                }
            }
            self.lane.enough.notified().await;
            slept = true;
        }
    }

    /// Those that are read from now on, when this one is read to its end: after a split the same lane
    /// of either part, after a merger that of the whole, once all before it are read.
    pub fn successors(&self) -> Vec<Self> {
        let successors = lock(&self.lane.queue).successors.replace(Vec::new()).unwrap_or_default();
        let ready = successors.into_iter().filter_map(|successor| {
            let last = successor.waiting.fetch_sub(1, Ordering::AcqRel) == 1;
            if last { lock(&successor.subscription).take() } else { None }
        });
        ready.collect()
    }

    /// Begins again with the oldest record of the shard that is retained; one that was not taken yet always is.
    pub fn start_over(&self) {
        let state = lock(&self.shard.state);
        let lanes = state.lanes_of(&self.lane);
        let queue = &mut *lock(&self.lane.queue);
        let is_mine = |record: &&Arc<StoredRecord<T>>| record.lane(lanes) == self.place;
        let oldest = state.log.front().map_or(u64::MAX, |record| record.sequence);
        queue.records.retain(|record| record.sequence < oldest);
        queue.records.extend(state.log.iter().filter(is_mine).cloned());
        queue.bytes = queue.records.iter().map(|record| record.bytes).sum();
        self.lane.enough.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.lane.queue).records.is_empty()
    }
}
