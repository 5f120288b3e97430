//! The rendezvous function: reads the stream `scores`, files each score in its request's mailbox,
//! and settles the request when the schedule says so. It reacts to scores; ingress reacts to time.

mod recent;
mod silence;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use rendezvous_aws::batch::{Response, StreamBatch};
use rendezvous_core::{
    Endpoint, EndpointCache, EndpointName, Envelope, ModelId, RequestId, Schedule, Score,
    ScoreMessage, Timestamp, Unavailable,
    mutation::{Mutation, mutated},
    now,
    ports::{EndpointTable, Ledger, Telemetry},
    settle::{RequestState, settle},
    within,
};

use crate::{recent::Recent, silence::Silence};

/// How many requests of a batch are processed at a time.
const CONCURRENCY: usize = 32;

/// How long the ledger may take for one request. The rest of the batch waits for it.
const LEDGER_LIMIT: Duration = Duration::from_secs(1);

/// A score whose request's deadline passed longer ago than this is not filed: no client waits for
/// it, and after a restart at the trim horizon it would delay the scores that clients do wait for.
const EXPIRED_AFTER: Duration = Duration::from_mins(1);

/// The Lambda function of the rendezvous.
pub struct Rendezvous<E, L, T> {
    endpoints: EndpointCache<E>,
    ledger: Arc<L>,
    telemetry: Arc<T>,
    /// The requests known to be settled, so that their later scores cost no write.
    settled: Mutex<Recent<(RequestId, Timestamp)>>,
    silence: Mutex<Silence>,
}

/// The report of one batch.
#[derive(Clone, Debug, Default)]
pub struct RendezvousReport {
    /// Scores and failures that could be read, and the requests that they are of.
    pub scores: usize,
    pub requests: usize,
    pub unreadable: usize,
    /// Scores that came more than a minute after the deadline and were not filed.
    pub expired: usize,
    /// Requests that are settled now, by this batch or by ingress meanwhile.
    pub settled: usize,
    /// Scores that could not be filed and are handed over again.
    pub again: usize,
    /// How far behind the stream the batch was.
    pub lag: Duration,
}

/// All scores of one request in a batch.
struct Arrivals {
    envelope: Arc<Envelope>,
    scores: Vec<Score>,
    /// The positions of its records in the batch.
    records: Vec<usize>,
}

impl<E: EndpointTable, L: Ledger, T: Telemetry<RendezvousReport>> Rendezvous<E, L, T> {
    pub fn new(endpoints: Arc<E>, ledger: Arc<L>, telemetry: Arc<T>) -> Self {
        let endpoints = EndpointCache::new(endpoints);
        let (settled, silence) = (Mutex::default(), Mutex::default());
        Self { endpoints, ledger, telemetry, settled, silence }
    }

    /// Files the scores of a batch of the stream `scores`. Scores that could not be filed are named
    /// in the response, so that Lambda hands them over again.
    pub async fn handle(&self, batch: StreamBatch<'_>) -> Response {
        let messages = batch.live_scores();
        let mut report = RendezvousReport {
            scores: messages.len(),
            unreadable: batch.records().len() - messages.len(),
            lag: batch.lag(),
            ..RendezvousReport::default()
        };
        self.hear(&messages).await;
        let (arrivals, expired) = by_request(messages);
        report.requests = arrivals.len();
        report.expired = expired;
        let mut again: Vec<usize> = Vec::new();
        // Fail fast: after the first failure no request is begun; Lambda redelivers the rest.
        let failing = AtomicBool::new(false);
        let failing = &failing;
        let mut results = stream::iter(arrivals)
            .map(|Arrivals { envelope, scores, records }| async move {
                if failing.load(Ordering::Relaxed) {
                    return (None, records);
                }
                let result = self.file(&envelope, scores).await;
                if let Err(cause) = &result {
                    tracing::warn!(request = %envelope.id, %cause, "scores are not filed and will be redelivered");
                    failing.store(true, Ordering::Relaxed);
                }
                (result.ok(), records)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((settled, records)) = results.next().await {
            match settled {
                Some(settled) => report.settled += usize::from(settled),
                None => again.extend(records),
            }
        }
        report.again = again.len();
        self.telemetry.record(&report);
        batch.response(again.into_iter())
    }

    /// Files scores of one request; returns whether it is known to be settled now, and was not before.
    async fn file(
        &self,
        envelope: &Arc<Envelope>,
        scores: Vec<Score>,
    ) -> Result<bool, Unavailable> {
        if self.settled().contains(&identity(envelope)) {
            return Ok(false);
        }
        let mut envelope = envelope.clone();
        // A request that was opened again has other times and perhaps another configuration.
        loop {
            let Some(endpoint) = self.endpoint(&envelope).await? else { return Ok(false) };
            let schedule = endpoint.configuration.schedule(&envelope.arm);
            let listed = listed(schedule, &scores);
            if listed.is_empty() {
                return Ok(false);
            }
            let presumed = self.presumed(&endpoint, &envelope);
            let settled =
                settle(&*self.ledger, &endpoint, &envelope, None, &listed, &presumed, now());
            match within("ledger", LEDGER_LIMIT, settled).await? {
                RequestState::Open(_) => {
                    if mutated(Mutation::RememberOpen) {
                        self.settled().insert(identity(&envelope));
                    }
                    return Ok(false);
                }
                RequestState::Reopened(newer) => envelope = newer,
                RequestState::Forgotten => {
                    self.settled().insert(identity(&envelope));
                    return Ok(false);
                }
                RequestState::Settled(_) => {
                    self.settled().insert(identity(&envelope));
                    return Ok(true);
                }
            }
        }
    }

    /// Takes note that the models of these messages are not silent, late messages included, and
    /// counts their requests. Without the endpoint's configuration a request is not counted; filing
    /// its scores says why. Each version is asked for once, and none after the first that cannot be read: the scores
    /// of a batch wait for this.
    async fn hear(&self, messages: &[(usize, ScoreMessage)]) {
        let mut versions: HashMap<(&EndpointName, u64), Option<Arc<Endpoint>>> = HashMap::new();
        let mut failing = false;
        for (_, ScoreMessage { envelope, score, .. }) in messages {
            self.silence().hear(&score.model, now());
            let endpoint = match versions.entry((&envelope.endpoint, envelope.config)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(_) if failing => continue,
                Entry::Vacant(place) => {
                    let (name, version) = *place.key();
                    let read = self.endpoints.version(name, version).await;
                    failing |= read.is_err();
                    place.insert(read.unwrap_or_default())
                }
            };
            if let Some(endpoint) = endpoint {
                let schedule = endpoint.configuration.schedule(&envelope.arm);
                self.silence().count(&score.model, envelope, schedule, now());
            }
        }
    }

    /// The choices for this request that are presumed silent.
    fn presumed(&self, endpoint: &Endpoint, envelope: &Envelope) -> Vec<ModelId> {
        let schedule = endpoint.configuration.schedule(&envelope.arm);
        self.silence().presumed(schedule, now())
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn endpoint(&self, envelope: &Envelope) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let Envelope { id, endpoint: name, config, .. } = envelope;
        let endpoint = if mutated(Mutation::CurrentConfiguration) {
            self.endpoints.current(name).await?
        } else {
            self.endpoints.version(name, *config).await?
        };
        if endpoint.is_none() {
            tracing::warn!(request = %id, endpoint = %name, config, "scores are not filed: there is no such version of the endpoint");
        }
        Ok(endpoint)
    }

    fn settled(&self) -> MutexGuard<'_, Recent<(RequestId, Timestamp)>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells a request from every other. An idempotency key that is used again after the ledger has
/// forgotten it gives a new request of the same id, so that the time of receipt belongs to it.
fn identity(envelope: &Envelope) -> (RequestId, Timestamp) {
    if mutated(Mutation::RememberIdOnly) {
        (envelope.id, Timestamp::default())
    } else {
        (envelope.id, envelope.received)
    }
}

/// The scores of the schedule's models. Those of observers can change no decision: they are only
/// archived, cost no write, and keep mailboxes small. So does using the schedule's own copy of a model's id.
fn listed(schedule: &Schedule, scores: &[Score]) -> Vec<Score> {
    let listed = |score: &Score| {
        let choice = schedule.choices().iter().find(|choice| choice.model == score.model)?;
        Some(Score { model: choice.model.clone(), ..score.clone() })
    };
    scores.iter().filter_map(listed).collect()
}

/// Groups the scores of a batch by request, keeping their order, and counts those that are left out
/// because they came too late.
fn by_request(messages: Vec<(usize, ScoreMessage)>) -> (Vec<Arrivals>, usize) {
    let mut positions: HashMap<RequestId, usize, foldhash::fast::RandomState> =
        HashMap::with_capacity_and_hasher(messages.len(), foldhash::fast::RandomState::default());
    let mut arrivals: Vec<Arrivals> = Vec::with_capacity(messages.len());
    let (start, mut expired) = (now(), 0);
    for (record, ScoreMessage { envelope, score, .. }) in messages {
        let is_expired = start.since(envelope.deadline) > EXPIRED_AFTER;
        if is_expired || mutated(Mutation::ExpireLive) {
            expired += 1;
            continue;
        }
        let position = *positions.entry(envelope.id).or_insert(arrivals.len());
        if position == arrivals.len() {
            arrivals.push(Arrivals { envelope, scores: Vec::new(), records: Vec::new() });
        }
        arrivals[position].scores.push(score);
        arrivals[position].records.push(record);
    }
    (arrivals, expired)
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{
        Configuration, Provenance,
        clock::simulate,
        conformance::samples,
        memory::{MemoryEndpoints, MemoryLedger, MemoryTelemetry, Trouble},
    };
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_model_is_heard_although_the_configuration_of_its_request_cannot_be_read() {
        simulate(now());
        let (endpoints, endpoint) = (Arc::new(MemoryEndpoints::default()), samples::endpoint());
        let configuration = Configuration::parse(samples::CONFIGURATION).unwrap();
        let provenance = Provenance::new("test", "").unwrap();
        endpoints.publish(&endpoint.name, configuration, provenance, None).await.unwrap();
        let telemetry = Arc::<MemoryTelemetry<RendezvousReport>>::default();
        let rendezvous =
            Rendezvous::new(endpoints.clone(), Arc::<MemoryLedger>::default(), telemetry);
        let message = |model: &str, config: u64| {
            let envelope = Arc::unwrap_or_clone(samples::envelope(&endpoint));
            let envelope = Arc::new(Envelope { config, ..envelope });
            let score = samples::score(model, "1");
            [(0, ScoreMessage { envelope, score, artifact: None })]
        };
        for _ in 0..20 {
            rendezvous.hear(&message("b@1", 1)).await;
        }
        sleep(Duration::from_secs(4)).await;
        let presumed = || {
            let presumed = rendezvous.presumed(&endpoint, &samples::envelope(&endpoint));
            presumed.iter().any(|model| model.as_str() == "a@1")
        };
        assert!(presumed());
        endpoints.outage.set(Trouble::Down);
        rendezvous.hear(&message("a@1", 2)).await;
        assert!(!presumed());
    }
}
