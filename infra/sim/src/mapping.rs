//! An event source mapping: takes batches from a stream and invokes a function with them, as AWS
//! Lambda is documented to do for Kinesis and for the change streams of DynamoDB.
//!
//! Each lane (a shard, or with a parallelization factor a part of one; records of one key stay on
//! one lane) has one batch in flight at a time. A batch on which the function crashes is delivered
//! again, in halves where bisecting is on; where the function names a failed record, that record and
//! those after it are delivered again. Records that were tried too often or are too old go to the
//! on-failure destination, whole.
//!
//! A mapping may filter by endpoint, or changes by whether there is a decision. A record that does not satisfy the filter is discarded: the
//! function is not invoked for it, and it never goes to the on-failure destination. That includes
//! every record that is not JSON, as on AWS, so that only functions without a filter (rendezvous, the
//! decoy) see it. Unlike on AWS a batch is formed before it is filtered, so that it may be smaller
//! than it could be.

mod failed;

use std::{
    collections::BTreeSet,
    fmt::Display,
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use rendezvous_core::{
    EndpointName,
    memory::{MemoryStream, Position, StoredRecord, Subscription},
    now,
    ports::Archive,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use self::failed::Failed;
use crate::{
    Actor, Conditions,
    events::{Batch, Carried, Source},
    fault::Fault,
    step::Step,
    weather::{Occasion, pick},
};

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
    /// Invoke the function only for messages of these endpoints: the filter
    /// `{ "data": { "envelope": { "endpoint": [ … ] } } }`.
    pub filter_by_endpoint: Option<BTreeSet<EndpointName>>,
    /// Invoke the function only for changes of mailboxes with a decision: the filter
    /// `{ "dynamodb": { "NewImage": { "decision": { "S": [ { "exists": true } ] } } } }`.
    pub only_decided: bool,
    /// The function's own time-out: an invocation that takes longer has failed.
    pub function_timeout: Duration,
}

impl Default for Mapping {
    /// Lambda's defaults, except that bisecting is on and that retries and record age are limited. The age is less than that
    /// of the template: a stream in memory holds what its slowest reader has not read, and when it is full it takes nothing more.
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
            bisect_batch_on_function_error: true,
            maximum_retry_attempts: 100,
            maximum_record_age: Duration::from_mins(1),
            starting_position: Position::Latest,
            filter_by_endpoint: None,
            only_decided: false,
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
    /// The function, with the name that the on-failure destination shows.
    fn actor(&self) -> &Actor;

    /// Handles a batch. An error is a crash: the function did not respond.
    fn invoke<'a>(
        &'a self,
        event: T::Event<'a>,
    ) -> impl Future<Output = Result<T::Response, String>> + Send;
}

/// What a mapping runs in.
#[derive(Debug)]
pub struct Host<A> {
    /// The on-failure destination.
    pub failures: Arc<A>,
    /// A lane ends when this is true and its batch is done.
    pub stop: watch::Receiver<bool>,
    pub conditions: Conditions,
}

impl<A> Host<A> {
    /// A host in which nothing goes wrong by chance.
    pub fn new(failures: &Arc<A>, stop: &watch::Receiver<bool>) -> Self {
        let (failures, stop) = (failures.clone(), stop.clone());
        Self { failures, stop, conditions: Conditions::default() }
    }
}

impl<A> Clone for Host<A> {
    fn clone(&self) -> Self {
        let Self { failures, stop, conditions } = self;
        let (failures, stop) = (failures.clone(), stop.clone());
        Self { failures, stop, conditions: conditions.clone() }
    }
}

/// A mapping: one future for each lane.
pub fn lanes<T: Carried, F: Function<T>, A: Archive>(
    stream: &MemoryStream<T>,
    mapping: &Mapping,
    function: &Arc<F>,
    host: &Host<A>,
) -> Vec<impl Future<Output = ()> + Send + use<T, F, A>> {
    let lane = |subscription: Subscription<T>| {
        let lane = Lane {
            mapping: mapping.clone(),
            source: source(stream.name(), &subscription),
            subscription,
            function: function.clone(),
            host: host.clone(),
            follows: false,
        };
        lane.run()
    };
    let (position, factor) = (mapping.starting_position, mapping.parallelization_factor);
    stream.subscribe(position, factor).into_iter().map(lane).collect()
}

fn source<T>(name: &'static str, subscription: &Subscription<T>) -> Source {
    Source { name, shard: subscription.shard_name().to_owned() }
}

struct Lane<T, F, A> {
    mapping: Mapping,
    source: Source,
    subscription: Subscription<T>,
    function: Arc<F>,
    host: Host<A>,
    /// Its shard has come of a split or of a merger.
    follows: bool,
}

/// Records that are tried together, and how often that has failed.
struct Attempt<T> {
    records: Batch<T>,
    failed: u32,
}

impl<T: Carried, F: Function<T>, A: Archive> Lane<T, F, A> {
    async fn run(self) {
        let Mapping { batch_size, maximum_batching_window: window, .. } = self.mapping;
        let mut stop = self.host.stop.clone();
        loop {
            let mut batch = tokio::select! {
                biased;
                batch = self.subscription.next(batch_size, BATCH_BYTES, window) => batch,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if batch.is_empty() {
                // The shard is closed and read to its end.
                return self.follow().await;
            }
            self.meets_of_shard(&batch);
            if let Some(endpoints) = &self.mapping.filter_by_endpoint {
                let satisfies = |name: &EndpointName| endpoints.contains(name);
                batch.retain(|record| record.endpoint(T::endpoint).is_some_and(satisfies));
            }
            if self.mapping.only_decided {
                batch.retain(|record| record.data.is_decided());
            }
            self.process(batch.into()).await;
        }
    }

    /// Reads the shards that this one was split into or merged into.
    ///
    /// A future that contains itself needs a place of its own.
    fn follow(self) -> BoxFuture<'static, ()> {
        let follow = |subscription| {
            let next = Self {
                mapping: self.mapping.clone(),
                source: source(self.source.name, &subscription),
                subscription,
                function: self.function.clone(),
                host: self.host.clone(),
                follows: true,
            };
            next.run()
        };
        let all: Vec<_> = self.subscription.successors().into_iter().map(follow).collect();
        Box::pin(async move { drop(join_all(all).await) })
    }

    /// By chance the mapping starts over at the trim horizon.
    fn meets_of_shard(&self, batch: &[Arc<StoredRecord<T>>]) {
        let Some(first) = batch.first() else { return };
        let Some(now) = self.occasion(first.sequence) else { return };
        if self.follows {
            now.weather.tally().met(Fault::Reshard, now.step);
        }
        if now.meets(Fault::Horizon) {
            self.trace(|| "! horizon");
            self.subscription.start_over();
        }
    }

    /// Tries a batch until each of its records is handled or given up.
    async fn process(&self, records: Batch<T>) {
        let mut pending = vec![Attempt { records, failed: 0 }];
        let mut backoff = FIRST_BACKOFF;
        while let Some(mut attempt) = pending.pop() {
            self.discard_old(&mut attempt).await;
            let Some(first) = attempt.records.front() else { continue };
            let part = self.cut(attempt.records.len(), first.sequence);
            if part < attempt.records.len() {
                let records = attempt.records.split_off(part);
                pending.push(Attempt { records, failed: attempt.failed });
            }
            match self.invoke(&attempt).await {
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

    /// Invokes the function with a batch. By chance its response is lost.
    async fn invoke(&self, attempt: &Attempt<T>) -> Outcome {
        let Attempt { records, failed } = attempt;
        let (Some(first), Some(last)) = (records.front(), records.back()) else {
            return Outcome::Done;
        };
        let invocation = || {
            let Source { name, shard } = &self.source;
            let (first, last, function) = (first.sequence, last.sequence, self.name());
            format!("{function} {name} {shard} {first} to {last}, attempt {}", failed + 1)
        };
        self.trace(|| format!("is invoked: {}", invocation()));
        let outcome = self.call(records).await;
        let again = self.occasion(first.sequence).is_some_and(|now| now.meets(Fault::Redelivery));
        let outcome = if again { Outcome::Crashed } else { outcome };
        self.trace(|| format!("{outcome:?}: {}", invocation()));
        outcome
    }

    /// A moment at which things go wrong by chance.
    fn occasion(&self, about: u64) -> Option<Occasion<'_>> {
        let weather = self.host.conditions.weather.as_ref()?;
        let step = Step::batch(self.function.actor().role())?;
        let mut hasher = DefaultHasher::new();
        (self.name(), self.source.name, &self.source.shard, about).hash(&mut hasher);
        Some(weather.occasion(step, hasher.finish()))
    }

    /// How many of so many records are delivered together: by chance fewer.
    fn cut(&self, records: usize, about: u64) -> usize {
        match self.occasion(about) {
            Some(now) if records > 1 && now.meets(Fault::Recut) => {
                let part = pick(now.draw(Fault::Recut, 1), records);
                part.max(1)
            }
            _ => records,
        }
    }

    fn name(&self) -> &str {
        self.function.actor().name()
    }

    fn trace<D: Display>(&self, what: impl FnOnce() -> D) {
        self.host.conditions.trace(self.function.actor(), what);
    }

    async fn call(&self, records: &Batch<T>) -> Outcome {
        let event = T::event(&self.source, records);
        let invocation = self.function.invoke(event);
        let call = AssertUnwindSafe(invocation).catch_unwind();
        let panicked = |_| Err("it panicked".to_owned());
        let call =
            timeout(self.mapping.function_timeout, call.map(|end| end.unwrap_or_else(panicked)));
        let response = match call.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(function = self.name(), error, "a function has crashed");
                return Outcome::Crashed;
            }
            Err(_) => {
                tracing::warn!(function = self.name(), "a function has timed out");
                return Outcome::Crashed;
            }
        };
        let place = |id: &str| records.iter().position(|record| record.sequence_number() == id);
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

    async fn give_up(&self, records: Batch<T>, tried: u32, condition: &str) {
        let failed = Failed { function: self.name(), condition, tried, source: &self.source };
        failed.store(&*self.host.failures, &records).await;
    }
}

/// How an invocation ended.
#[derive(Debug)]
enum Outcome {
    Done,
    /// This record and those after it are to be tried again.
    FailedFrom(usize),
    Crashed,
}
