use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{join, join_all};
use rendezvous_aws::batch::{Response, StreamBatch};
use rendezvous_core::{
    Failure, FailureKind, Invalid, Json, RequestMessage, Score, ScoreMessage, Timestamp,
    mutation::{Mutation, mutated},
    now,
    ports::{Record, Rejected, Stream, Telemetry},
};

use crate::{
    Model, ModelReport,
    call::results,
    time::{DEFAULT_FUNCTION_TIMEOUT, Limits, SEND_WITHIN},
};

/// The Lambda function of one model.
#[derive(Debug)]
pub struct ModelFunction<M, S, T> {
    model: Arc<M>,
    scores: Arc<S>,
    telemetry: Arc<T>,
    timeout: Duration,
}

impl<M: Model, S: Stream, T: Telemetry<ModelReport>> ModelFunction<M, S, T> {
    /// The function of `model`, which sends to the stream `scores`. Its time-out is
    /// [`DEFAULT_FUNCTION_TIMEOUT`]; it ends calls of the model that would exceed it.
    pub fn new(model: Arc<M>, scores: Arc<S>, telemetry: Arc<T>) -> Self {
        Self { model, scores, telemetry, timeout: DEFAULT_FUNCTION_TIMEOUT }
    }

    /// The same function with another time-out. Fails when the model's own time-out does not fit,
    /// see [`crate::Profile::check_timeout`].
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Invalid> {
        self.model.profile().check_timeout(timeout)?;
        Ok(Self { timeout, ..self })
    }

    /// Scores a batch of the stream `input`. The response names the first request whose score or
    /// failure was not sent, so that Lambda hands it and those after it over again.
    pub async fn handle(&self, batch: StreamBatch<'_>) -> Response {
        let profile = self.model.profile();
        let limits = Limits::begin(profile.timeout, self.timeout);
        let mut requests: Vec<Request> = batch.messages(RequestMessage::parse);
        let unreadable = batch.records().len() - requests.len();
        requests.retain(|(_, request)| profile.endpoints.contains(&request.envelope.endpoint));
        let all = requests.len();
        requests.retain(|(_, request)| {
            !request.envelope.skip.contains(&profile.id) || mutated(Mutation::ScoreSkipped)
        });
        let work = Work {
            function: self,
            limits,
            // Calls of the model run concurrently, and each counts its results.
            report: Mutex::new(ModelReport {
                requests: requests.len(),
                skipped: all - requests.len(),
                unreadable,
                lag: batch.lag(),
                ..ModelReport::new(profile.id.clone())
            }),
        };
        let start = now();
        let is_expired = |request: &RequestMessage| {
            !profile.scores_expired && request.envelope.deadline <= start
        };
        let (expired, live): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|(_, request)| is_expired(request));

        let expired = expired.into_iter().map(|(index, request)| {
            let failure = Failure::new(FailureKind::Expired, "the request's deadline had passed");
            (index, request, Err(failure))
        });
        let expired = work.send(expired.collect(), start);
        let calls = chunks(live, self.model.largest_batch());
        let calls = calls.map(|chunk| work.score(chunk));
        let (expired, scored) = join(expired, join_all(calls)).await;
        let unsent: Vec<usize> = expired.into_iter().chain(scored.into_iter().flatten()).collect();
        let report = work.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.telemetry.record(&ModelReport { unsent: unsent.len(), ..report });
        batch.response(unsent.into_iter())
    }
}

/// A request and its position in the batch.
type Request<'a> = (usize, RequestMessage<'a>);
/// A request, its position in the batch, and what the model returned for it.
type Scored<'a> = (usize, RequestMessage<'a>, Result<Json, Failure>);

/// One batch that is being scored.
struct Work<'a, M, S, T> {
    function: &'a ModelFunction<M, S, T>,
    limits: Limits,
    report: Mutex<ModelReport>,
}

impl<M: Model, S: Stream, T> Work<'_, M, S, T> {
    /// Scores the requests of one call and sends their scores; returns the positions of those that
    /// were not sent.
    async fn score(&self, requests: Vec<Request<'_>>) -> Vec<usize> {
        let start = now();
        let payloads = requests.iter().map(|(_, request)| Json::from(request.payload)).collect();
        let results = results(&self.function.model, payloads, self.limits).await;
        let scored =
            requests.into_iter().zip(results).map(|((index, r), result)| (index, r, result));
        self.send(scored.collect(), start).await
    }

    /// Sends scores that were started at `started` and are finished now; returns the positions of
    /// those that were not sent.
    async fn send(&self, scored: Vec<Scored<'_>>, started: Timestamp) -> Vec<usize> {
        if scored.is_empty() {
            return Vec::new();
        }
        let model = &self.function.model.profile().id;
        let finished = now();
        self.count(&scored, finished.since(started));
        let mut sent = Vec::with_capacity(scored.len());
        let mut records = Vec::with_capacity(scored.len());
        for (index, RequestMessage { envelope, raw_envelope, .. }, result) in scored {
            if let Err(Failure { kind, message }) = &result {
                tracing::debug!(request = %envelope.id, %model, ?kind, message, "the model failed");
            }
            if result.is_err() && mutated(Mutation::SkipFailure) {
                continue;
            }
            let score = Score { model: model.clone(), started, finished, result };
            match ScoreMessage::write(raw_envelope, &score) {
                Ok(data) => {
                    records.push(Record { key: envelope.key, data });
                    sent.push(index);
                }
                Err(invalid) => {
                    tracing::error!(request = %envelope.id, %model, %invalid, "a score cannot be written as a message and is not sent");
                }
            }
        }
        match self.function.scores.put(records, finished + SEND_WITHIN).await {
            Ok(()) => Vec::new(),
            Err(_) if mutated(Mutation::ForgetUnsent) => Vec::new(),
            Err(Rejected { indexes, cause }) => {
                tracing::warn!(%model, count = indexes.len(), %cause, "scores were not sent; their requests will be redelivered");
                indexes.into_iter().filter_map(|i| sent.get(i).copied()).collect()
            }
        }
    }

    fn count(&self, scored: &[Scored<'_>], time: Duration) {
        let mut report: MutexGuard<'_, ModelReport> =
            self.report.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, _, result) in scored {
            report.count(result, time);
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
