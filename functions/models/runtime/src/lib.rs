//! The runtime around a model: a batch of requests in, their scores out.
//!
//! A model says how to score payloads, nothing else. The runtime reads the stream `input`, leaves
//! out what is not the model's or too late, runs the model, turns crashes and time-outs into
//! failures (messages like any other, so that nobody waits for a dead model), and sends every
//! score on as soon as it is there.

#[cfg(feature = "aws")]
pub mod aws;

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lambda_events::{event::streams::KinesisEventResponse, kinesis::KinesisEvent};
use futures_util::future::{join, join_all};
use rendezvous_aws::batch;
use rendezvous_core::{
    EndpointName, Failure, FailureKind, Json, ModelId, RequestMessage, Score, ScoreMessage,
    Timestamp, now,
    ports::{Record, Rejected, Stream},
    score::checked_score,
};
use tokio::time::timeout;

/// What the runtime must know about a model.
#[derive(Clone, Debug)]
pub struct Profile {
    pub id: ModelId,
    /// The endpoints whose requests it scores; it sees no others.
    pub endpoints: HashSet<EndpointName>,
    /// How long one call of the model may take. A hanging request then holds its shard's lane no
    /// longer than this.
    pub timeout: Duration,
    /// Score requests past their deadline too, e.g. a challenger that is only to be compared. By
    /// default they become `expired`, so that a model that is behind catches up.
    pub scores_expired: bool,
}

/// A model: loaded once, then asked for scores, many calls at a time.
pub trait Model: Send + Sync + 'static {
    fn profile(&self) -> &Profile;

    /// How many payloads one call may take. A model that scores a batch as one tensor takes many;
    /// one that scores one by one takes 1, and gets as many calls at a time as there are requests.
    fn largest_batch(&self) -> usize {
        1
    }

    /// One result for each payload, in order. A failure is a value; a panic is caught, and a call
    /// that takes longer than the profile's time-out is dropped at its next await.
    fn score(&self, payloads: &[Json]) -> impl Future<Output = Vec<Result<Json, Failure>>> + Send;
}

/// How long scores are tried to be sent before the batch is handed back to Lambda.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// What came of one batch, for whoever counts.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// Requests of the model's endpoints, and records that cannot be read.
    pub requests: usize,
    pub unreadable: usize,
    pub scored: usize,
    pub failed: usize,
    pub timed_out: usize,
    pub invalid: usize,
    pub expired: usize,
    /// Scores and failures that could not be sent; their requests come again.
    pub unsent: usize,
    /// How long each call of the model took, once for each request that it scored.
    pub times: Vec<Duration>,
    /// How far behind the stream the batch was.
    pub lag: Duration,
}

impl Scored {
    fn count(&mut self, result: &Result<Json, Failure>, time: Duration) {
        let counter = match result {
            Ok(_) => {
                self.times.push(time);
                &mut self.scored
            }
            Err(failure) => match failure.kind {
                FailureKind::Failed => &mut self.failed,
                FailureKind::TimedOut => &mut self.timed_out,
                FailureKind::Invalid => &mut self.invalid,
                FailureKind::Expired => &mut self.expired,
            },
        };
        *counter += 1;
    }
}

/// The Lambda function of one model.
#[derive(Debug)]
pub struct ModelFunction<M, S> {
    model: Arc<M>,
    scores: Arc<S>,
}

impl<M: Model, S: Stream> ModelFunction<M, S> {
    pub fn new(model: Arc<M>, scores: Arc<S>) -> Self {
        Self { model, scores }
    }

    /// Scores a batch of the stream `input`. What could not be sent comes again.
    pub async fn handle(&self, event: KinesisEvent) -> (KinesisEventResponse, Scored) {
        let profile = self.model.profile();
        let mut requests: Vec<Request> = batch::messages(&event, RequestMessage::parse);
        let unreadable = event.records.len() - requests.len();
        requests.retain(|(_, request)| profile.endpoints.contains(&request.envelope.endpoint));
        // Calls of the model run side by side, and each counts what it has done.
        let tally = Mutex::new(Scored {
            requests: requests.len(),
            unreadable,
            lag: batch::lag(&event),
            ..Scored::default()
        });
        let start = now();
        let too_late = |request: &RequestMessage| {
            !profile.scores_expired && request.envelope.deadline <= start
        };
        let (expired, live): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|(_, request)| too_late(request));

        let expired = expired.into_iter().map(|(index, request)| {
            let failure = Failure::new(FailureKind::Expired, "its deadline had passed");
            (index, request, Err(failure))
        });
        let expired = self.send(expired.collect(), start, &tally);
        let calls = chunks(live, self.model.largest_batch());
        let calls = calls.map(|chunk| self.score(chunk, &tally));
        let (expired, scored) = join(expired, join_all(calls)).await;
        let unsent: Vec<usize> = expired.into_iter().chain(scored.into_iter().flatten()).collect();
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        let tally = Scored { unsent: unsent.len(), ..tally };
        (batch::response(&event, unsent.into_iter()), tally)
    }

    /// Scores the requests of one call and sends their scores; returns those that were not sent.
    async fn score(&self, requests: Vec<Request<'_>>, tally: &Mutex<Scored>) -> Vec<usize> {
        let start = now();
        let payloads = requests.iter().map(|(_, request)| Json::from(request.payload)).collect();
        let results = results(&self.model, payloads).await;
        let scored =
            requests.into_iter().zip(results).map(|((index, r), result)| (index, r, result));
        self.send(scored.collect(), start, tally).await
    }

    /// Sends scores that were begun at `started` and are ready now; returns those not sent.
    async fn send(
        &self,
        scored: Vec<Answer<'_>>,
        started: Timestamp,
        tally: &Mutex<Scored>,
    ) -> Vec<usize> {
        if scored.is_empty() {
            return Vec::new();
        }
        let model = &self.model.profile().id;
        let finished = now();
        {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, _, result) in &scored {
                tally.count(result, finished.since(started));
            }
        }
        let mut sent = Vec::with_capacity(scored.len());
        let mut records = Vec::with_capacity(scored.len());
        for (index, RequestMessage { envelope, raw_envelope, .. }, result) in scored {
            if let Err(Failure { kind, message }) = &result {
                tracing::debug!(request = %envelope.id, %model, ?kind, message, "no score");
            }
            let score = Score { model: model.clone(), started, finished, result };
            match ScoreMessage::write(raw_envelope, &score) {
                Ok(data) => {
                    records.push(Record { key: envelope.key, data });
                    sent.push(index);
                }
                Err(invalid) => {
                    tracing::error!(request = %envelope.id, %model, %invalid, "a score is lost");
                }
            }
        }
        match self.scores.put(records, finished + SEND_WITHIN).await {
            Ok(()) => Vec::new(),
            Err(Rejected { indexes, cause }) => {
                tracing::warn!(%model, count = indexes.len(), %cause, "scores were not sent");
                indexes.into_iter().filter_map(|i| sent.get(i).copied()).collect()
            }
        }
    }
}

/// Cuts `items` into parts of at most `size`.
fn chunks<T>(items: Vec<T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        items.peek()?;
        Some(items.by_ref().take(size.max(1)).collect())
    })
}

/// A request and its record's place in the batch.
type Request<'a> = (usize, RequestMessage<'a>);
type Answer<'a> = (usize, RequestMessage<'a>, Result<Json, Failure>);

/// Exactly one result for each payload, whatever the model does.
async fn results<M: Model>(model: &Arc<M>, payloads: Vec<Json>) -> Vec<Result<Json, Failure>> {
    let count = payloads.len();
    match call(model.clone(), payloads.clone()).await {
        Ok(results) => results,
        Err(failure) if count == 1 || failure.kind == FailureKind::TimedOut => {
            vec![Err(failure); count]
        }
        // One payload has crashed the call for all: find it, so that the others get their scores.
        Err(_) => {
            let alone = payloads
                .into_iter()
                .map(|payload| async { call(model.clone(), vec![payload]).await?.swap_remove(0) });
            join_all(alone).await
        }
    }
}

/// Calls the model in a task of its own, which may crash or hang.
async fn call<M: Model>(
    model: Arc<M>,
    payloads: Vec<Json>,
) -> Result<Vec<Result<Json, Failure>>, Failure> {
    let count = payloads.len();
    let limit = model.profile().timeout;
    let mut task = tokio::spawn(async move { model.score(&payloads).await });
    match timeout(limit, &mut task).await {
        Ok(Ok(results)) if results.len() == count => {
            Ok(results.into_iter().map(|result| result.and_then(checked_score)).collect())
        }
        Ok(Ok(results)) => Err(Failure::new(
            FailureKind::Failed,
            format_args!("the model gave {} results for {count} payloads", results.len()),
        )),
        // The panic's own text may quote the payload; it is on standard error, not in a message.
        Ok(Err(_)) => Err(Failure::new(FailureKind::Failed, "the model panicked")),
        Err(_) => {
            task.abort();
            let what = format_args!("no score within {} ms", limit.as_millis());
            Err(Failure::new(FailureKind::TimedOut, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::kinesis::KinesisEventRecord;
    use rendezvous_core::{
        conformance::samples,
        memory::{MemoryStream, Position, Trouble},
    };

    use super::*;

    /// Scores whole batches, and does to each payload what it says.
    struct Batches(Profile);

    impl Model for Batches {
        fn profile(&self) -> &Profile {
            &self.0
        }

        fn largest_batch(&self) -> usize {
            100
        }

        async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
            assert!(payloads.iter().all(|payload| payload.as_str() != "\"panic\""));
            let mut results: Vec<_> = payloads.iter().cloned().map(Ok).collect();
            if payloads.iter().any(|payload| payload.as_str() == "\"lose one\"") {
                results.pop();
            }
            results
        }
    }

    fn event(payloads: &[&str]) -> KinesisEvent {
        let endpoint = samples::endpoint();
        let mut event = KinesisEvent::default();
        for (i, payload) in payloads.iter().enumerate() {
            let payload = Json::parse(payload).unwrap();
            let data = RequestMessage::write(&samples::envelope(&endpoint), &payload).unwrap();
            let mut record = KinesisEventRecord::default();
            record.kinesis.data.0 = data.to_vec();
            record.kinesis.sequence_number = i.to_string();
            event.records.push(record);
        }
        event
    }

    fn function(scores: &Arc<MemoryStream>) -> ModelFunction<Batches, MemoryStream> {
        let profile = Profile {
            id: "batches@1".parse().unwrap(),
            endpoints: HashSet::from([samples::endpoint().name]),
            timeout: Duration::from_secs(1),
            scores_expired: false,
        };
        ModelFunction::new(Arc::new(Batches(profile)), scores.clone())
    }

    /// What the model says to each payload, in any order.
    async fn answers(payloads: &[&str]) -> Vec<String> {
        let scores = Arc::new(MemoryStream::new("scores", 1));
        let lane = scores.subscribe(Position::Latest, 1).remove(0);
        let (response, tally) = function(&scores).handle(event(payloads)).await;
        assert_eq!(tally.requests, payloads.len());
        assert_eq!(tally.requests, tally.scored + tally.failed + tally.invalid);
        assert!(response.batch_item_failures.is_empty());
        let mut answers: Vec<String> = lane
            .next(100, usize::MAX, Duration::ZERO)
            .await
            .iter()
            .map(|record| match ScoreMessage::parse(&record.data).unwrap().score.result {
                Ok(score) => score.as_str().to_owned(),
                Err(failure) => failure.message,
            })
            .collect();
        answers.sort();
        answers
    }

    #[tokio::test]
    async fn one_payload_that_crashes_the_model_fails_alone() {
        let answers = answers(&["1", "\"panic\"", "2", "3"]).await;
        assert_eq!(answers, ["1", "2", "3", "the model panicked"]);
    }

    #[tokio::test]
    async fn one_payload_that_confuses_the_model_fails_alone() {
        let answers = answers(&["1", "\"lose one\"", "2"]).await;
        assert_eq!(answers, ["1", "2", "the model gave 0 results for 1 payloads"]);
    }

    #[tokio::test]
    async fn a_score_that_breaks_the_contract_is_a_failure() {
        let answers = answers(&["null", "7"]).await;
        assert_eq!(answers, ["7", "null is no score"]);
    }

    #[tokio::test]
    async fn scores_that_cannot_be_sent_are_asked_for_again() {
        let scores = Arc::new(MemoryStream::new("scores", 1));
        scores.outage.set(Trouble::Down);
        let (response, tally) = function(&scores).handle(event(&["1", "2"])).await;
        assert_eq!((tally.scored, tally.unsent), (2, 2));
        let failed = &response.batch_item_failures;
        assert_eq!(failed[0].item_identifier.as_deref(), Some("0"));
    }
}
