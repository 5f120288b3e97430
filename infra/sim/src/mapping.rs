//! An event source mapping: takes batches from a stream and calls a function with them, as the one
//! of AWS Lambda is documented to do for Kinesis and for the change streams of DynamoDB.
//!
//! Each lane (a shard, or with a parallelization factor a part of one; records of one key keep to
//! one lane) has one batch in flight at a time. A function that crashes gets its batch again, in
//! halves where bisecting is on; one that names a failed record gets everything from that record
//! on. What has been tried too often or is too old goes to the on-failure destination, whole.

use std::{fmt::Display, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use rendezvous_core::{
    memory::{MemoryStream, Position, StoredRecord, Subscription},
    now,
    ports::Archive,
};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::events::{Batch, Carried, Source, sequence_number};

/// The settings of a mapping, named as AWS names them.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub batch_size: usize,
    pub maximum_batching_window: Duration,
    /// Lanes of each shard, 1 to 10.
    pub parallelization_factor: usize,
    pub bisect_batch_on_function_error: bool,
    /// How often a batch is tried again.
    pub maximum_retry_attempts: u32,
    pub maximum_record_age: Duration,
    pub starting_position: Position,
    /// The function's own time-out: a call that takes longer has failed.
    pub function_timeout: Duration,
}

impl Default for Mapping {
    /// Lambda's defaults, but that bisecting is on, and that retries and age have an end.
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
            bisect_batch_on_function_error: true,
            maximum_retry_attempts: 100,
            maximum_record_age: Duration::from_mins(1),
            starting_position: Position::Latest,
            function_timeout: Duration::from_secs(10),
        }
    }
}

/// The most bytes of data in one batch: 6 MB of payload less what base64 and the envelope add.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The pause before a batch is tried again; it doubles each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_millis(500);

/// A Lambda function as a mapping of a stream that carries `T` sees it.
pub trait Function<T: Carried = Bytes>: Send + Sync + 'static {
    /// What stands in the records of batches that failed for good.
    fn name(&self) -> &str;

    /// Handles a batch. An error is a crash: the function did not even answer.
    fn invoke(&self, event: T::Event) -> impl Future<Output = Result<T::Response, String>> + Send;
}

/// A mapping: one future a lane, each of which ends when `stop` is true and its batch is done.
pub fn lanes<T: Carried, F: Function<T>, A: Archive>(
    stream: &MemoryStream<T>,
    mapping: &Mapping,
    function: &Arc<F>,
    failures: &Arc<A>,
    stop: &watch::Receiver<bool>,
) -> Vec<impl Future<Output = ()> + Send + use<T, F, A>> {
    let lane = |subscription: Subscription<T>| {
        let lane = Lane {
            mapping: mapping.clone(),
            source: Source {
                name: stream.name(),
                shard: format!("shardId-{:012}", subscription.shard()),
            },
            subscription,
            function: function.clone(),
            failures: failures.clone(),
        };
        lane.run(stop.clone())
    };
    let (position, factor) = (mapping.starting_position, mapping.parallelization_factor);
    stream.subscribe(position, factor).into_iter().map(lane).collect()
}

struct Lane<T, F, A> {
    mapping: Mapping,
    source: Source,
    subscription: Subscription<T>,
    function: Arc<F>,
    failures: Arc<A>,
}

/// Records that are tried together, and how often that was in vain.
struct Attempt<T> {
    records: Batch<T>,
    failed: u32,
}

impl<T: Carried, F: Function<T>, A: Archive> Lane<T, F, A> {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let Mapping { batch_size, maximum_batching_window: window, .. } = self.mapping;
        loop {
            let batch = tokio::select! {
                biased;
                batch = self.subscription.next(batch_size, BATCH_BYTES, window) => batch,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            self.process(batch.into()).await;
        }
    }

    /// Tries a batch until each of its records is done with, one way or the other.
    async fn process(&self, records: Batch<T>) {
        let mut pending = vec![Attempt { records, failed: 0 }];
        let mut backoff = FIRST_BACKOFF;
        while let Some(mut attempt) = pending.pop() {
            self.discard_old(&mut attempt).await;
            if attempt.records.is_empty() {
                continue;
            }
            match self.invoke(&attempt.records).await {
                Outcome::Done => {
                    backoff = FIRST_BACKOFF;
                    continue;
                }
                // Lambda "bisects at the returned sequence number and retries only the remaining
                // records".
                Outcome::FailedFrom(index) if index > 0 => {
                    drop(attempt.records.drain(..index));
                    backoff = FIRST_BACKOFF;
                    attempt.failed += 1;
                }
                // "Splitting a batch does not count towards the retry quota."
                Outcome::Crashed
                    if self.mapping.bisect_batch_on_function_error && attempt.records.len() > 1 =>
                {
                    let half = attempt.records.len() / 2;
                    let records = attempt.records.split_off(half);
                    pending.push(Attempt { records, failed: attempt.failed });
                }
                Outcome::FailedFrom(_) | Outcome::Crashed => attempt.failed += 1,
            }
            if attempt.failed > self.mapping.maximum_retry_attempts {
                self.give_up(attempt.records, attempt.failed, "RetryAttemptsExhausted").await;
            } else {
                pending.push(attempt);
                sleep(backoff).await;
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }

    async fn invoke(&self, records: &Batch<T>) -> Outcome {
        let event = T::event(&self.source, records);
        let call = AssertUnwindSafe(self.function.invoke(event)).catch_unwind();
        let panicked = |_| Err("it panicked".to_owned());
        let call =
            timeout(self.mapping.function_timeout, call.map(|end| end.unwrap_or_else(panicked)));
        let response = match call.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(function = self.function.name(), error, "the function has crashed");
                return Outcome::Crashed;
            }
            Err(_) => {
                tracing::warn!(function = self.function.name(), "the function has timed out");
                return Outcome::Crashed;
            }
        };
        let place = |id: &str| records.iter().position(|record| sequence_number(record) == id);
        let mut lowest = None;
        for failed in T::failed(&response) {
            // "Lambda treats a batch as a complete failure if you return an empty or bad item
            // identifier."
            let index = failed.and_then(place).unwrap_or(0);
            lowest = Some(lowest.map_or(index, |lowest: usize| lowest.min(index)));
        }
        lowest.map_or(Outcome::Done, Outcome::FailedFrom)
    }

    async fn discard_old(&self, attempt: &mut Attempt<T>) {
        let now = now();
        let old = |record: &Arc<StoredRecord<T>>| {
            now.since(record.arrived) > self.mapping.maximum_record_age
        };
        let count = attempt.records.iter().take_while(|record| old(record)).count();
        if count > 0 {
            let records = attempt.records.drain(..count).collect();
            self.give_up(records, attempt.failed, "RecordAgeExceeded").await;
        }
    }

    /// Sends records to the on-failure destination, whole, as one file.
    async fn give_up(&self, records: Batch<T>, tried: u32, condition: &str) {
        let (Some(first), Some(last)) = (records.front(), records.back()) else { return };
        let (start, end) = (sequence_number(first), sequence_number(last));
        let (function, Source { name: stream, shard }) = (self.function.name(), &self.source);
        tracing::error!(function, stream, shard, start, end, condition, "records have failed");
        let failed = FailedBatch {
            function,
            condition,
            approximate_invoke_count: tried,
            stream,
            shard,
            start_sequence_number: &start,
            end_sequence_number: &end,
            payload: T::event(&self.source, &records),
        };
        let name = format!("failed/{function}/{stream}-{shard}-{start}-{end}.json");
        let body = match serde_json::to_vec(&failed) {
            Ok(body) => body.into(),
            Err(error) => return self.lost(&name, &error),
        };
        if let Err(error) = self.failures.put(&name, body).await {
            self.lost(&name, &error);
        }
    }

    fn lost(&self, name: &str, error: &dyn Display) {
        tracing::error!(function = self.function.name(), name, %error, "failed records are lost");
    }
}

/// How an invocation ended.
enum Outcome {
    Done,
    /// From this record on everything is to be tried again.
    FailedFrom(usize),
    Crashed,
}

#[derive(Serialize)]
struct FailedBatch<'a, E> {
    function: &'a str,
    condition: &'a str,
    approximate_invoke_count: u32,
    stream: &'a str,
    shard: &'a str,
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    /// The event that the function could not handle.
    payload: E,
}
