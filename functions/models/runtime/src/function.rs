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

/// The Lambda function of one model, or of a panel of models.
#[derive(Debug)]
pub struct ModelFunction<M, S, T> {
    models: Vec<Arc<M>>,
    scores: Arc<S>,
    telemetry: Arc<T>,
    timeout: Duration,
}

impl<M: Model, S: Stream, T: Telemetry<ModelReport>> ModelFunction<M, S, T> {
    /// The function of `model`, which sends to the stream `scores`. Its time-out is
    /// [`DEFAULT_FUNCTION_TIMEOUT`]; it ends calls of the model that would exceed it.
    pub fn new(model: Arc<M>, scores: Arc<S>, telemetry: Arc<T>) -> Self {
        Self::panel(vec![model], scores, telemetry)
    }

    /// The function of several models. A batch is one invocation and one call of the stream for all of
    /// them, so that their scores are sent when the slowest of them has ended: for models that no client
    /// waits for.
    pub fn panel(models: Vec<Arc<M>>, scores: Arc<S>, telemetry: Arc<T>) -> Self {
        Self { models, scores, telemetry, timeout: DEFAULT_FUNCTION_TIMEOUT }
    }

    /// The same function with another time-out. Fails when the time-out of one of its models does not
    /// fit, see [`crate::Profile::check_timeout`].
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Invalid> {
        self.models.iter().try_for_each(|model| model.profile().check_timeout(timeout))?;
        Ok(Self { timeout, ..self })
    }

    /// Scores a batch of the stream `input`. The response names the first request of which a score or
    /// failure was not sent, so that Lambda hands it and those after it over again.
    pub async fn handle(&self, batch: StreamBatch<'_>) -> Response {
        let messages = batch.messages(RequestMessage::parse);
        let report = |model: &M| ModelReport {
            unreadable: batch.records().len() - messages.len(),
            lag: batch.lag(),
            ..ModelReport::new(model.profile().id.clone())
        };
        let works =
            self.models.iter().map(|model| Work::new(self, model, &messages, report(model)));
        let works: Vec<Work<'_, M, S, T>> = works.collect();
        let unsent = match &works[..] {
            [work] => work.send_each().await,
            panel => self.send_together(panel).await,
        };
        for work in works {
            let report = work.report.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.telemetry.record(&report);
        }
        batch.response(unsent.into_iter())
    }

    /// Scores the requests of all models and sends the scores by one call; returns the positions of the
    /// requests of which a score was not sent.
    async fn send_together(&self, panel: &[Work<'_, M, S, T>]) -> Vec<usize> {
        let all = join_all(panel.iter().map(Work::score_all)).await;
        let (mut records, mut places) = (Vec::new(), Vec::new());
        for (work, messages) in panel.iter().zip(all) {
            places.extend(messages.positions.into_iter().map(|position| (work, position)));
            records.extend(messages.records);
        }
        let rejected = self.put(records).await;
        let unsent = rejected.into_iter().filter_map(|i| places.get(i));
        unsent.map(|(work, position)| work.count_unsent(*position)).collect()
    }

    /// Puts records on the stream `scores`; returns the positions of those that it did not take.
    async fn put(&self, records: Vec<Record>) -> Vec<usize> {
        match self.scores.put(records, now() + SEND_WITHIN).await {
            Ok(()) => Vec::new(),
            Err(_) if mutated(Mutation::ForgetUnsent) => Vec::new(),
            Err(Rejected { indexes, cause }) => {
                let model = self.models.first().map(|model| &model.profile().id);
                tracing::warn!(model = model.map(tracing::field::display), count = indexes.len(), %cause, "scores were not sent; their requests will be redelivered");
                indexes
            }
        }
    }
}

/// A request and its position in the batch.
type Request<'a> = (usize, &'a RequestMessage<'a>);
/// A request, its position in the batch, and what the model returned for it.
type Scored<'a> = (Request<'a>, Result<Json, Failure>);

/// Scores and failures that are to be sent, and the positions of their requests in the batch.
#[derive(Default)]
struct Messages {
    records: Vec<Record>,
    positions: Vec<usize>,
}

/// What one model has to do of a batch.
struct Work<'a, M, S, T> {
    function: &'a ModelFunction<M, S, T>,
    model: &'a Arc<M>,
    limits: Limits,
    /// When the invocation began.
    start: Timestamp,
    /// Requests whose deadline has passed, and the others.
    expired: Vec<Request<'a>>,
    live: Vec<Request<'a>>,
    /// Calls of the model run concurrently, and each counts its results.
    report: Mutex<ModelReport>,
}

impl<'a, M: Model, S: Stream, T: Telemetry<ModelReport>> Work<'a, M, S, T> {
    fn new(
        function: &'a ModelFunction<M, S, T>,
        model: &'a Arc<M>,
        messages: &'a [(usize, RequestMessage<'a>)],
        report: ModelReport,
    ) -> Self {
        let (profile, start) = (model.profile(), now());
        let ours = messages.iter().map(|(position, request)| (*position, request));
        let mut requests: Vec<Request<'_>> = ours
            .filter(|(_, request)| profile.endpoints.contains(&request.envelope.endpoint))
            .collect();
        let all = requests.len();
        requests.retain(|(_, request)| {
            !request.envelope.skip.contains(&profile.id) || mutated(Mutation::ScoreSkipped)
        });
        let report =
            ModelReport { requests: requests.len(), skipped: all - requests.len(), ..report };
        let is_expired = |request: &RequestMessage<'_>| {
            !profile.scores_expired && request.envelope.deadline <= start
        };
        let (expired, live) = requests.into_iter().partition(|(_, request)| is_expired(request));
        let limits = Limits::begin(profile.timeout, function.timeout);
        Self { function, model, limits, start, expired, live, report: Mutex::new(report) }
    }

    /// Scores all requests and sends the scores of each call of the model when it has ended; returns the
    /// positions of those that were not sent.
    async fn send_each(&self) -> Vec<usize> {
        let expired = self.send(self.expired());
        let calls =
            join_all(self.calls().map(async |call| self.send(self.score(call).await).await));
        let (expired, scored) = join(expired, calls).await;
        expired.into_iter().chain(scored.into_iter().flatten()).collect()
    }

    /// Scores all requests.
    async fn score_all(&self) -> Messages {
        let mut all = self.expired();
        for Messages { records, positions } in
            join_all(self.calls().map(|call| self.score(call))).await
        {
            all.records.extend(records);
            all.positions.extend(positions);
        }
        all
    }

    /// The requests of each call of the model.
    fn calls(&self) -> impl Iterator<Item = &[Request<'a>]> {
        self.live.chunks(self.model.largest_batch().max(1))
    }

    fn expired(&self) -> Messages {
        let failure = || Failure::new(FailureKind::Expired, "the request's deadline had passed");
        let failed = self.expired.iter().map(|request| (*request, Err(failure())));
        self.messages(failed.collect(), self.start)
    }

    /// Scores the requests of one call.
    async fn score(&self, requests: &[Request<'a>]) -> Messages {
        let started = now();
        let payloads = requests.iter().map(|(_, request)| Json::from(request.payload)).collect();
        let latest = requests.iter().map(|(_, request)| request.envelope.deadline).max();
        let limits = match latest {
            Some(latest) if self.model.until_deadline() => {
                self.limits.at_most(latest.since(started))
            }
            _ => self.limits,
        };
        let results = results(self.model, payloads, limits).await;
        self.messages(requests.iter().copied().zip(results).collect(), started)
    }

    /// The messages of results that were started at `started` and are finished now.
    fn messages(&self, scored: Vec<Scored<'_>>, started: Timestamp) -> Messages {
        let (model, finished) = (&self.model.profile().id, now());
        let artifact = self.model.artifact();
        let mut messages = Messages::default();
        for ((position, request), result) in scored {
            let RequestMessage { envelope, raw_envelope, .. } = request;
            self.report().count(&result, finished.since(started));
            if let Err(Failure { kind, message }) = &result {
                tracing::debug!(request = %envelope.id, %model, ?kind, message, "the model failed");
            }
            if result.is_err() && mutated(Mutation::SkipFailure) {
                continue;
            }
            let score = Score { model: model.clone(), started, finished, result };
            match ScoreMessage::write(raw_envelope, &score, artifact.as_ref()) {
                Ok(data) => {
                    messages.records.push(Record { key: envelope.key.clone(), data });
                    messages.positions.push(position);
                }
                Err(invalid) => {
                    tracing::error!(request = %envelope.id, %model, %invalid, "a score cannot be written as a message and is not sent");
                }
            }
        }
        messages
    }

    /// Sends messages; returns the positions of those that were not sent.
    async fn send(&self, messages: Messages) -> Vec<usize> {
        let Messages { records, positions } = messages;
        if records.is_empty() {
            return Vec::new();
        }
        let rejected = self.function.put(records).await;
        let unsent = rejected.into_iter().filter_map(|i| positions.get(i));
        unsent.map(|position| self.count_unsent(*position)).collect()
    }

    fn count_unsent(&self, position: usize) -> usize {
        self.report().unsent += 1;
        position
    }

    fn report(&self) -> MutexGuard<'_, ModelReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
