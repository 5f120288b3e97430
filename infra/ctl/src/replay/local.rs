//! A replay on one machine: the model itself scores, and the decoy archives its scores.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rendezvous_archive::{
    ReplayRow,
    files::{Hour, Place, table_file},
};
use rendezvous_aws::batch::{Batch, Data, Record, StreamBatch};
use rendezvous_core::{
    Artifact, Invalid, Json, RequestMessage, ScoreMessage, Timestamp,
    memory::MemoryPayloads,
    now,
    ports::{self, Archive, ArchiveFiles, EndpointTable, NoTelemetry, Rejected, Stream, Telemetry},
    score,
};
use rendezvous_decoy::Decoy;
use rendezvous_model::{
    Model, ModelFunction, ModelReport, Profile,
    time::{DEFAULT_FUNCTION_TIMEOUT, longest_model_timeout},
};
use serde_json::value::to_raw_value;
use tokio::runtime::Handle;

use super::{Request, Sink};
use crate::failure::Failure;

/// How many scores are in a file of the archive: at most 10,000, and those of a minute where the rate is limited.
pub fn in_a_file(rate: Option<u32>) -> usize {
    const MOST: usize = 10_000;
    rate.map_or(MOST, |rate| MOST.min(rate as usize * 60))
}

/// The shard that the rows name.
const SHARD: &str = "replay";

/// The scores that a model has sent, and how many of its calls failed.
#[derive(Debug, Default)]
pub struct Sent {
    scores: Mutex<Vec<ports::Record>>,
    failed: Mutex<u64>,
}

/// Takes the scores of one call of the model, each with its share of the call's time: a call takes far more requests
/// than it does live, so that the time of the whole call would make a score late that is in time live.
impl Stream for Sent {
    async fn put(&self, records: Vec<ports::Record>, _: Timestamp) -> Result<(), Rejected> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX).max(1);
        let shared = records.into_iter().map(|ports::Record { key, data }| {
            // What cannot be read is not changed: the decoy puts it aside.
            let data = with_a_share(&data, count).unwrap_or(data);
            ports::Record { key, data }
        });
        let shared: Vec<ports::Record> = shared.collect();
        lock(&self.scores).extend(shared);
        Ok(())
    }
}

/// The message of a score that was made in a call of so many.
fn with_a_share(message: &[u8], count: u32) -> Result<Bytes, Invalid> {
    let ScoreMessage { envelope, mut score, artifact } = ScoreMessage::parse(message)?;
    score.finished = score.started + score.finished.since(score.started) / count;
    let envelope = to_raw_value(&*envelope).map_err(|error| Invalid::new(error.to_string()))?;
    ScoreMessage::write(&envelope, &score, artifact.as_ref())
}

impl Telemetry<ModelReport> for Sent {
    fn record(&self, report: &ModelReport) {
        let ModelReport { failed, timed_out, invalid, expired, .. } = report;
        let count = (failed + timed_out + invalid + expired) as u64;
        *lock(&self.failed) += count;
    }
}

/// A model for which nobody waits: its card's time-out, which is for clients, does not end a call, as long as the
/// function lives. So a busy machine makes no score a failure.
struct Patient<M> {
    model: M,
    profile: Profile,
}

impl<M: Model> Patient<M> {
    fn new(model: M) -> Self {
        let timeout = longest_model_timeout(DEFAULT_FUNCTION_TIMEOUT);
        let profile = model.profile().clone();
        let profile = Profile { timeout, scores_expired: true, ..profile };
        Self { model, profile }
    }
}

impl<M: Model> Model for Patient<M> {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.model.largest_batch()
    }

    fn until_deadline(&self) -> bool {
        self.model.until_deadline()
    }

    fn artifact(&self) -> Option<Artifact> {
        self.model.artifact()
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, score::Failure>> {
        self.model.score(payloads).await
    }
}

/// A model, and the decoy on an archive.
pub struct Local<M, A, E> {
    function: Arc<ModelFunction<Patient<M>, Sent, MemoryPayloads, Sent>>,
    sent: Arc<Sent>,
    decoy: Decoy<A, E, MemoryPayloads, NoTelemetry>,
    /// Threads on which the model is called; without any it is called on this one.
    threads: Vec<Handle>,
    /// How many requests a call of the model takes.
    batch: usize,
    in_a_file: usize,
    /// The scores of the next file.
    next: Option<StreamBatch<'static>>,
    /// The lowest sequence number that no score has. Names of files depend on it, so that none recurs.
    free: u128,
}

impl<M: Model, A: Archive + ArchiveFiles, E: EndpointTable> Local<M, A, E> {
    /// Replays through `model`, on these threads, into an archive, so many scores in a file.
    pub fn new(
        model: M,
        threads: Vec<Handle>,
        archive: Arc<A>,
        endpoints: Arc<E>,
        in_a_file: usize,
    ) -> Self {
        let (model, sent) = (Arc::new(Patient::new(model)), Arc::new(Sent::default()));
        let payloads = Arc::new(MemoryPayloads::default());
        let batch = model.largest_batch();
        let function = ModelFunction::new(model, sent.clone(), payloads.clone(), sent.clone());
        let telemetry = Arc::new(NoTelemetry);
        let decoy = Decoy::new(archive, endpoints, payloads, telemetry);
        let function = Arc::new(function);
        Self { function, sent, decoy, threads, batch, in_a_file, next: None, free: 0 }
    }

    /// The scores that were sent since the last call, as a batch of the stream of replays that has just arrived,
    /// and the name of its file.
    fn arrived(&mut self) -> (StreamBatch<'static>, String) {
        let scores = mem::take(&mut *lock(&self.sent.scores));
        let arrived = now();
        let begin = self.free.max(u128::from(arrived.as_micros().unsigned_abs()) * 1_000_000);
        self.free = begin + scores.len() as u128;
        let record = |(score, number): (ports::Record, u128)| {
            let ports::Record { key, data: bytes } = score;
            let data = Data::new(key.as_str().to_owned(), bytes);
            Record::new(SHARD, number.to_string(), arrived, data)
        };
        let records = scores.into_iter().zip(begin..).map(record).collect();
        let batch = Batch::new(SHARD, records);
        let places = (0..batch.records().len()).map(|number| batch.place(number));
        let places = places.map(|place| Place {
            shard: place.shard,
            sequence_number: place.sequence,
            event_id: place.event_id,
        });
        let file = table_file::<ReplayRow<'_>>(Hour::of(arrived), places);
        (batch, file)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The requests as a batch of the stream of replays' requests.
fn batch(requests: &[Request]) -> Result<StreamBatch<'static>, Invalid> {
    let arrived = now();
    let record = |(number, request): (usize, &Request)| {
        let Request { envelope, payload } = request;
        let payload = Json::parse(payload)?;
        let bytes = RequestMessage::write(envelope, &payload)?;
        let data = Data::new(envelope.key.as_str().to_owned(), bytes);
        Ok(Record::new(SHARD, number.to_string(), arrived, data))
    };
    let records: Result<Vec<_>, Invalid> = requests.iter().enumerate().map(record).collect();
    Ok(Batch::new(SHARD, records?))
}

impl<M: Model, A: Archive + ArchiveFiles, E: EndpointTable> Sink for Local<M, A, E> {
    fn at_a_time(&self) -> usize {
        // Enough for each thread that they seldom wait for each other.
        self.batch * self.threads.len().max(1) * 4
    }

    fn until_commit(&self) -> usize {
        self.in_a_file
    }

    /// Scores them. What is not committed is forgotten.
    async fn send(&mut self, requests: Vec<Request>) -> Result<(), Failure> {
        let before = lock(&self.sent.scores).len();
        let mut calls = Vec::new();
        let share = requests.len().div_ceil(self.threads.len().max(1)).max(self.batch);
        for (number, share) in requests.chunks(share).enumerate() {
            let batches: Result<Vec<_>, Invalid> = share.chunks(self.batch).map(batch).collect();
            let (function, batches) = (self.function.clone(), batches?);
            let call = async move {
                for batch in batches {
                    // Its response is empty: every score is taken.
                    function.handle(batch).await;
                }
            };
            calls.push(match self.threads.get(number) {
                Some(thread) => thread.spawn(call),
                None => tokio::spawn(call),
            });
        }
        for call in calls {
            call.await.map_err(|ended| Failure::Failed(format!("a call of the model: {ended}")))?;
        }
        let scored = lock(&self.sent.scores).len() - before;
        if scored != requests.len() {
            let asked = requests.len();
            return Err(Failure::Failed(format!(
                "{scored} scores and failures of {asked} requests"
            )));
        }
        Ok(())
    }

    fn file(&mut self) -> Option<String> {
        let (batch, file) = self.arrived();
        self.next = Some(batch);
        Some(file)
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let batch = self.next.take().unwrap_or_else(|| self.arrived().0);
        let response = self.decoy.handle_stream(rendezvous_decoy::Stream::Replays, batch).await;
        if response.batch_item_failures.is_empty() {
            return Ok(());
        }
        Err(Failure::Failed(
            "the archive did not take the scores: see the log, and run again".to_owned(),
        ))
    }

    fn failed(&self) -> Option<u64> {
        Some(*lock(&self.sent.failed))
    }
}
