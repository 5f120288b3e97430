//! What one model has to do of a batch.

use std::{
    iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rendezvous_core::{
    Failure, FailureKind, Json, RequestMessage, Score, ScoreMessage, Timestamp,
    mutation::{Mutation, mutated},
    now,
    payloads::FetchError,
    ports::Record,
};

use crate::{Model, ModelReport, call::results, time::Limits};

/// A request and its position in the batch.
pub(crate) type Request<'a> = (usize, &'a RequestMessage<'a>);
/// A request with its payload.
pub(crate) type Ready<'a> = (Request<'a>, Json);
/// A request, its position in the batch, and what the model returned for it.
type Scored<'a> = (Request<'a>, Result<Json, Failure>);

/// Requests with their payloads.
pub(crate) struct Fetched<'a> {
    /// When the reads began.
    pub(crate) start: Timestamp,
    /// When they had ended. What becomes of a request whose payload was not read is decided for this instant: a
    /// clock that jumps must not change it in between.
    pub(crate) end: Timestamp,
    pub(crate) payloads: Vec<(Request<'a>, Result<Json, FetchError>)>,
}

/// Scores and failures that are to be sent, and the positions of their requests in the batch.
#[derive(Default)]
pub(crate) struct Messages {
    pub(crate) records: Vec<Record>,
    pub(crate) positions: Vec<usize>,
}

/// What has come of some requests: messages that are still to be sent, and the positions of requests that
/// are to be handed over again.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) waiting: Messages,
    pub(crate) unsent: Vec<usize>,
}

/// What one model has to do of a batch.
pub(crate) struct Work<'a, M> {
    model: &'a Arc<M>,
    limits: Limits,
    /// When the invocation began.
    start: Timestamp,
    /// Requests whose deadline has passed, and the others, in order.
    expired: Vec<Request<'a>>,
    live: Vec<Request<'a>>,
    /// Calls of the model run concurrently, and each counts its results.
    pub(crate) report: Mutex<ModelReport>,
}

impl<'a, M: Model> Work<'a, M> {
    pub(crate) fn new(
        model: &'a Arc<M>,
        function_timeout: Duration,
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
        let limits = Limits::begin(profile.timeout, function_timeout);
        Self { model, limits, start, expired, live, report: Mutex::new(report) }
    }

    /// Whether the model scores this request, which it does past its deadline only if it is to.
    pub(crate) fn scores(&self, (position, request): Request<'_>, at: Timestamp) -> bool {
        self.has(position) && !self.is_late(request, at)
    }

    /// How long a read of this request's payload is of use to the model, from now on.
    pub(crate) fn patience(&self, request: &RequestMessage<'_>) -> Duration {
        let left = self.limits.left();
        if self.model.profile().scores_expired {
            left
        } else {
            left.min(request.envelope.deadline.since(now()))
        }
    }

    /// Whether the request is one of those that the model scores.
    pub(crate) fn has(&self, position: usize) -> bool {
        self.live.binary_search_by_key(&position, |(position, _)| *position).is_ok()
    }

    fn is_late(&self, request: &RequestMessage<'_>, at: Timestamp) -> bool {
        !self.model.profile().scores_expired && request.envelope.deadline <= at
    }

    /// The requests of each call of the model.
    pub(crate) fn calls(&self, fetched: &Fetched<'a>) -> Vec<Vec<Ready<'a>>> {
        let mut ready = fetched.payloads.iter().filter_map(|(request, payload)| {
            let payload = payload.as_ref().ok().filter(|_| self.scores(*request, fetched.start))?;
            Some((*request, payload.clone()))
        });
        let most = self.model.largest_batch().max(1);
        let call = || Some(ready.by_ref().take(most).collect::<Vec<_>>());
        iter::from_fn(call).take_while(|call| !call.is_empty()).collect()
    }

    /// The failures of the requests whose deadline had passed at the start.
    pub(crate) fn expired(&self) -> Messages {
        let failed = self.expired.iter().map(|request| (*request, Err(expired())));
        self.messages(failed.collect(), self.start)
    }

    /// The failures of requests whose payload was not read, for whatever reason.
    pub(crate) fn failed(&self, fetched: &Fetched<'a>) -> Messages {
        let failed = fetched.payloads.iter().filter_map(|(request, payload)| {
            let (position, message) = *request;
            if !self.has(position) {
                return None;
            }
            if self.is_late(message, fetched.start) {
                return Some((*request, Err(expired())));
            }
            let cause = payload
                .as_ref()
                .err()
                .filter(|cause| !self.is_tried_again(message, cause, fetched.end))?;
            let cause = match cause {
                FetchError::Invalid(invalid) => invalid.to_string(),
                FetchError::Unavailable(cause) => cause.summary(),
            };
            let what = format_args!("the payload was not read: {cause}");
            Some((*request, Err(Failure::new(FailureKind::Failed, what))))
        });
        self.messages(failed.collect(), fetched.start)
    }

    /// The positions of requests whose payload was not read and that are to be handed over again.
    pub(crate) fn unread(&self, fetched: &Fetched<'a>) -> Vec<usize> {
        let unread = fetched.payloads.iter().filter_map(|((position, message), payload)| {
            let cause = payload.as_ref().err().filter(|_| self.has(*position))?;
            self.is_tried_again(message, cause, fetched.end).then_some(*position)
        });
        unread.collect()
    }

    /// Whether a request comes again because its payload cannot be read now: only if nobody waits for its
    /// score any more. As long as somebody waits, a failure lets the next choice answer at once.
    fn is_tried_again(
        &self,
        message: &RequestMessage<'_>,
        cause: &FetchError,
        at: Timestamp,
    ) -> bool {
        matches!(cause, FetchError::Unavailable(_))
            && self.model.profile().scores_expired
            && message.envelope.deadline <= at
    }

    /// Scores the requests of one call.
    pub(crate) async fn score(&self, requests: &[Ready<'a>]) -> Messages {
        let started = now();
        let payloads: Vec<Json> = requests.iter().map(|(_, payload)| payload.clone()).collect();
        let latest = requests.iter().map(|((_, request), _)| request.envelope.deadline).max();
        let limits = match latest {
            Some(latest) if self.model.until_deadline() => {
                self.limits.at_most(latest.since(started))
            }
            _ => self.limits,
        };
        let results = results(&**self.model, &payloads, limits).await;
        let requests = requests.iter().map(|(request, _)| *request);
        self.messages(requests.zip(results).collect(), started)
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

    pub(crate) fn count_unsent(&self, position: usize) -> usize {
        self.report().unsent += 1;
        position
    }

    fn report(&self) -> MutexGuard<'_, ModelReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expired() -> Failure {
    Failure::new(FailureKind::Expired, "the request's deadline had passed")
}
