use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::future::{join, join_all};
use rendezvous_aws::batch::{Response, StreamBatch};
use rendezvous_core::{
    Invalid, RequestMessage,
    mutation::{Mutation, mutated},
    now,
    ports::{Payloads, Record, Rejected, Stream, Telemetry},
};

use crate::{
    Model, ModelReport,
    payloads::{fetched, portions},
    time::{DEFAULT_FUNCTION_TIMEOUT, SEND_WITHIN},
    work::{Done, Messages, Request, Work},
};

/// The Lambda function of one model, or of a panel of models.
#[derive(Debug)]
pub struct ModelFunction<M, S, P, T> {
    models: Vec<Arc<M>>,
    scores: Arc<S>,
    payloads: Arc<P>,
    telemetry: Arc<T>,
    timeout: Duration,
}

impl<M: Model, S: Stream, P: Payloads, T: Telemetry<ModelReport>> ModelFunction<M, S, P, T> {
    /// The function of `model`, which sends to the stream `scores` and reads large payloads from `payloads`. Its
    /// time-out is [`DEFAULT_FUNCTION_TIMEOUT`]; it ends calls of the model that would exceed it.
    pub fn new(model: Arc<M>, scores: Arc<S>, payloads: Arc<P>, telemetry: Arc<T>) -> Self {
        Self::panel(vec![model], scores, payloads, telemetry)
    }

    /// The function of several models. A batch is one invocation and one call of the stream for all of
    /// them, so that their scores are sent when the slowest of them has ended: for models that no client
    /// waits for.
    pub fn panel(models: Vec<Arc<M>>, scores: Arc<S>, payloads: Arc<P>, telemetry: Arc<T>) -> Self {
        Self { models, scores, payloads, telemetry, timeout: DEFAULT_FUNCTION_TIMEOUT }
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
        let messages = batch.requests();
        let report = |model: &M| ModelReport {
            unreadable: batch.records().len() - messages.len(),
            lag: batch.lag(),
            ..ModelReport::new(model.profile().id.clone())
        };
        let works = self
            .models
            .iter()
            .map(|model| Work::new(model, self.timeout, &messages, report(model)));
        let works: Vec<Work<'_, M>> = works.collect();
        let unsent = self.score(&works, &messages).await;
        for work in works {
            let report = work.report.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.telemetry.record(&report);
        }
        batch.response(unsent.into_iter())
    }

    /// Scores the requests of all models; returns the positions of the requests of which a score was not
    /// sent. Scores of a panel are sent by one call when all have ended.
    async fn score(
        &self,
        works: &[Work<'_, M>],
        messages: &[(usize, RequestMessage<'_>)],
    ) -> Vec<usize> {
        let (inline, stored) = portions(works, messages);
        let expired = join_all(works.iter().map(|work| self.send(work, works, work.expired())));
        let stored = async {
            let mut done = Vec::new();
            // One after the other: so many payloads are held at a time.
            for portion in &stored {
                done.extend(self.portion(works, portion).await);
            }
            done
        };
        let (expired, (inline, stored)) =
            join(expired, join(self.portion(works, &inline), stored)).await;
        let (mut unsent, mut records, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (work, done) in expired.into_iter().chain(inline).chain(stored) {
            unsent.extend(done.unsent);
            places.extend(done.waiting.positions.into_iter().map(|position| (work, position)));
            records.extend(done.waiting.records);
        }
        if !records.is_empty() {
            let rejected = self.put(records).await;
            let rejected = rejected.into_iter().filter_map(|i| places.get(i));
            unsent.extend(rejected.map(|(work, position)| work.count_unsent(*position)));
        }
        unsent
    }

    /// Reads the payloads of some requests, each once, and lets every model score them.
    async fn portion<'w, 'a>(
        &self,
        works: &'w [Work<'a, M>],
        portion: &[Request<'a>],
    ) -> Vec<(&'w Work<'a, M>, Done)> {
        if portion.is_empty() {
            return Vec::new();
        }
        let fetched = &fetched(&*self.payloads, works, portion).await;
        let of_work = |work: &'w Work<'a, M>| async move {
            let calls = work.calls(fetched);
            let calls = calls
                .iter()
                .map(|call| async move { self.send(work, works, work.score(call).await).await });
            let failed = self.send(work, works, work.failed(fetched));
            let (failed, mut done) = join(failed, join_all(calls)).await;
            done.push(failed);
            let again = work.unread(fetched).into_iter().map(|i| work.count_unsent(i)).collect();
            done.push((work, Done { unsent: again, ..Done::default() }));
            done
        };
        join_all(works.iter().map(of_work)).await.into_iter().flatten().collect()
    }

    /// Sends messages of a model that is alone; those of a panel wait for the others.
    async fn send<'w, 'a>(
        &self,
        work: &'w Work<'a, M>,
        works: &[Work<'a, M>],
        messages: Messages,
    ) -> (&'w Work<'a, M>, Done) {
        if works.len() > 1 || messages.records.is_empty() {
            return (work, Done { waiting: messages, ..Done::default() });
        }
        let Messages { records, positions } = messages;
        let rejected = self.put(records).await;
        let unsent = rejected.into_iter().filter_map(|i| positions.get(i));
        let unsent = unsent.map(|position| work.count_unsent(*position)).collect();
        (work, Done { unsent, ..Done::default() })
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
