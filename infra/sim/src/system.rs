//! The whole system in one process: ports in memory, the functions' own handlers, and mappings
//! that invoke them with the events that AWS would send.

use std::{
    collections::BTreeMap,
    iter::Cycle,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
    vec,
};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use rendezvous::Rendezvous;
use rendezvous_core::{
    ModelId,
    memory::{
        MemoryEndpoints, MemoryLedger, MemoryOutcomes, MemorySecrets, MemoryStream, Position,
    },
    ports::{Archive, EndpointTable, Secrets},
};
use rendezvous_decoy::{Decoy, Stream, Table};
use rendezvous_ingress::{Dependencies, Ingress, Ports, Settings, http::HttpV1};
use rendezvous_model::{Model, ModelFunction, Profile, time::DEFAULT_FUNCTION_TIMEOUT};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Actor, Chances, Counters, Link, Trace,
    events::Carried,
    faults::{Faults, Faulty},
    functions::{DecoyOfStream, DecoyOfTable, ModelHandler, RendezvousHandler},
    mapping::{self, Function, Host, Mapping},
};

/// The size of a system, and what is to happen in it.
#[derive(Clone, Debug)]
pub struct Size {
    /// Shards of each stream.
    pub shards: usize,
    /// How many mailboxes the ledger keeps.
    pub mailboxes: usize,
    pub settings: Settings,
    /// The decoy's mappings. Their batches become the files of the archive.
    pub decoy: Mapping,
    /// The runtimes on which the models' functions run, in turns; without any, that of the caller.
    pub compute: Vec<Handle>,
    /// The runtime on which the decoy runs; without one, that of the caller.
    pub archiving: Option<Handle>,
    /// What goes wrong by chance.
    pub chances: Chances,
    /// Where every call of a port, every invocation and every answer is recorded.
    pub trace: Option<Arc<Trace>>,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            shards: 2,
            mailboxes: 4_096,
            settings: Settings {
                margin: Duration::from_millis(5),
                max_payload_bytes: 256 * 1024,
                ledger_retention: MemoryLedger::RETENTION,
            },
            // Large batches make few files and take less time for each record. They take most of the
            // memory, too.
            decoy: Mapping {
                batch_size: 1_000,
                maximum_batching_window: Duration::from_secs(1),
                // As on AWS, nearly as long as a stream retains its records.
                maximum_record_age: Duration::from_hours(23),
                maximum_retry_attempts: u32::MAX,
                starting_position: Position::TrimHorizon,
                ..Mapping::default()
            },
            compute: Vec::new(),
            archiving: None,
            chances: Chances::default(),
            trace: None,
        }
    }
}

/// The ports of ingress in this system.
struct Local<E, K>(PhantomData<(E, K)>);

impl<E: EndpointTable, K: Secrets> Ports for Local<E, K> {
    type Endpoints = Link<E>;
    type Input = Link<MemoryStream>;
    type Ledger = Link<MemoryLedger>;
    type Outcomes = Link<MemoryOutcomes>;
    type Secrets = Link<K>;
    type Telemetry = Counters;
}

/// A running system: streams, ledger and outcomes are in memory; the caller chooses the archive `A`,
/// the table of endpoints `E` and the secret `K`.
pub struct System<A, E: EndpointTable = MemoryEndpoints, K: Secrets = MemorySecrets> {
    pub endpoints: Arc<E>,
    pub input: Arc<MemoryStream>,
    pub scores: Arc<MemoryStream>,
    pub ledger: Arc<MemoryLedger>,
    pub outcomes: Arc<MemoryOutcomes>,
    pub secrets: Arc<K>,
    pub archive: Arc<A>,
    pub counters: Arc<Counters>,
    ingress: (HttpV1<Local<E, K>>, Arc<Actor>),
    /// The functions, by name.
    actors: Mutex<BTreeMap<String, Arc<Actor>>>,
    models: Mutex<BTreeMap<ModelId, Arc<Faults>>>,
    host: Host<Link<A>>,
    compute: Mutex<Cycle<vec::IntoIter<Handle>>>,
    tasks: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl<A: Archive> System<A> {
    /// Starts a system without models whose endpoints are in memory.
    pub fn start(archive: Arc<A>, size: &Size) -> Self {
        Self::start_on(archive, Arc::default(), Arc::new(MemorySecrets::random()), size)
    }
}

impl<A: Archive, E: EndpointTable, K: Secrets> System<A, E, K> {
    /// Starts a system without models on these ports.
    pub fn start_on(archive: Arc<A>, endpoints: Arc<E>, secrets: Arc<K>, size: &Size) -> Self {
        let (chances, trace) = (size.chances, size.trace.clone());
        let (stop, stopped) = watch::channel(false);
        let lambda = Arc::new(Actor::new("lambda"));
        let failures = Link::new(archive.clone(), &lambda, trace.as_ref(), Chances::default());
        let host = Host { failures, stop: stopped, chances, trace };

        let counters = Arc::new(Counters::default());
        let input = Arc::new(MemoryStream::new("input", size.shards));
        let scores = Arc::new(MemoryStream::new("scores", size.shards));
        let ledger = Arc::new(MemoryLedger::with_capacity(size.mailboxes));
        let outcomes = Arc::new(MemoryOutcomes::default());
        let actor = Arc::new(Actor::new("ingress"));
        let dependencies: Dependencies<Local<E, K>> = Dependencies {
            endpoints: host.link(endpoints.clone(), &actor),
            input: host.link(input.clone(), &actor),
            ledger: host.link(ledger.clone(), &actor),
            outcomes: host.link(outcomes.clone(), &actor),
            secrets: host.link(secrets.clone(), &actor),
            telemetry: counters.clone(),
        };
        let ingress = HttpV1::new(Ingress::new(dependencies, size.settings).into());
        let system = Self {
            endpoints,
            input,
            scores,
            ledger,
            outcomes,
            secrets,
            archive,
            counters,
            actors: Mutex::new(BTreeMap::from([(actor.name().to_owned(), actor.clone())])),
            ingress: (ingress, actor),
            models: Mutex::default(),
            host,
            compute: Mutex::new(size.compute.clone().into_iter().cycle()),
            tasks: Mutex::default(),
            stop,
        };
        system.start_rendezvous();
        let _entered = size.archiving.as_ref().map(Handle::enter);
        system.start_decoy(&size.decoy);
        system
    }

    fn start_rendezvous(&self) {
        let actor = self.new_actor("rendezvous");
        let function = Rendezvous::new(
            self.host.link(self.endpoints.clone(), &actor),
            self.host.link(self.ledger.clone(), &actor),
            self.counters.clone(),
        );
        let mapping = Mapping { starting_position: Position::TrimHorizon, ..Mapping::default() };
        self.map(&self.scores, &mapping, RendezvousHandler { function, actor });
    }

    fn start_decoy(&self, mapping: &Mapping) {
        let actor = self.new_actor("decoy");
        let decoy = Arc::new(Decoy::new(
            self.host.link(self.archive.clone(), &actor),
            self.host.link(self.endpoints.clone(), &actor),
            self.counters.clone(),
        ));
        for (stream, source) in [(&self.input, Stream::Input), (&self.scores, Stream::Scores)] {
            let (decoy, actor) = (decoy.clone(), actor.clone());
            self.map(stream, mapping, DecoyOfStream { decoy, actor, source });
        }
        let (ledger, outcomes) = (&self.ledger.changes, &self.outcomes.changes);
        for (changes, source) in [(ledger, Table::Ledger), (outcomes, Table::Outcomes)] {
            let (decoy, actor) = (decoy.clone(), actor.clone());
            self.map(changes, mapping, DecoyOfTable { decoy, actor, source });
        }
    }

    fn new_actor(&self, name: &str) -> Arc<Actor> {
        let actor = Arc::new(Actor::new(name));
        lock(&self.actors).insert(name.to_owned(), actor.clone());
        actor
    }

    /// Starts a mapping.
    fn map<T: Carried>(
        &self,
        stream: &MemoryStream<T>,
        mapping: &Mapping,
        function: impl Function<T>,
    ) {
        let tasks = &mut *lock(&self.tasks);
        for lane in mapping::lanes(stream, mapping, &Arc::new(function), &self.host) {
            tasks.spawn(lane);
        }
    }

    /// Brings a model up beside the others: it scores what arrives from now on.
    pub fn add_model<M: Model>(&self, model: M) -> Arc<Faults> {
        self.add_model_with(model, &Mapping::default())
    }

    /// The same, with a mapping of its own. A mapping without a filter gets one for the endpoints of
    /// the model's profile. The function's time-out is [`DEFAULT_FUNCTION_TIMEOUT`] in any case.
    pub fn add_model_with<M: Model>(&self, model: M, mapping: &Mapping) -> Arc<Faults> {
        let Profile { id, endpoints, .. } = model.profile();
        let (id, endpoints) = (id.clone(), endpoints.iter().cloned().collect());
        let filter = mapping.filter_by_endpoint.clone().unwrap_or(endpoints);
        let mapping = Mapping {
            filter_by_endpoint: Some(filter),
            function_timeout: DEFAULT_FUNCTION_TIMEOUT,
            ..mapping.clone()
        };
        let actor = self.new_actor(id.as_str());
        let faults = Arc::new(Faults::default());
        let model = Faulty { model, faults: faults.clone(), actor: actor.clone() };
        let scores = self.host.link(self.scores.clone(), &actor);
        let function = ModelFunction::new(Arc::new(model), scores, self.counters.clone());
        let handler = ModelHandler { function, faults: faults.clone(), actor };
        let (tasks, compute) = (&mut *lock(&self.tasks), &mut *lock(&self.compute));
        for lane in mapping::lanes(&self.input, &mapping, &Arc::new(handler), &self.host) {
            match compute.next() {
                Some(runtime) => tasks.spawn_on(lane, &runtime),
                None => tasks.spawn(lane),
            };
        }
        lock(&self.models).insert(id, faults.clone());
        faults
    }

    /// The models that are up.
    pub fn models(&self) -> Vec<ModelId> {
        lock(&self.models).keys().cloned().collect()
    }

    /// The switch for the faults of a model, if it is up.
    pub fn faults(&self, model: &ModelId) -> Option<Arc<Faults>> {
        lock(&self.models).get(model).cloned()
    }

    /// A function: `ingress`, `rendezvous`, `decoy`, or a model's id.
    pub fn actor(&self, name: &str) -> Option<Arc<Actor>> {
        lock(&self.actors).get(name).cloned()
    }

    /// Answers one HTTP request, which comes as the event that API Gateway sends.
    pub async fn call(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let (ingress, actor) = &self.ingress;
        let request = event.request_context.request_id.clone();
        let response = Box::pin(actor.run(ingress.handle(event))).await;
        if let Some(trace) = &self.host.trace {
            let ApiGatewayV2httpResponse { status_code, body, .. } = &response;
            let request = request.unwrap_or_default();
            trace.add(actor, format_args!("answers {request}: {status_code} {body:?}"));
        }
        response
    }

    /// Waits until every record and every change is handled, at most `patience`; returns whether
    /// that was long enough.
    pub async fn drain(&self, patience: Duration) -> bool {
        let start = Instant::now();
        let drained = async {
            while self.held() > 0 {
                // Looks less and less often: the decoy's batching window may be long.
                sleep((start.elapsed() / 10).max(Duration::from_millis(5))).await;
            }
        };
        tokio::time::timeout(patience, drained).await.is_ok()
    }

    /// Bytes of records and changes that are not handled yet.
    fn held(&self) -> usize {
        let changes = self.ledger.changes.held() + self.outcomes.changes.held();
        self.input.held() + self.scores.held() + changes
    }

    /// Ends every mapping as soon as the batch that it is handling is done, and waits for that.
    pub async fn stop(&self) {
        // Without a receiver all have ended.
        let _ = self.stop.send(true);
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a mapping has crashed");
            }
        }
    }
}

impl<A> Host<Link<A>> {
    /// A function's link to a port.
    fn link<P>(&self, port: Arc<P>, actor: &Arc<Actor>) -> Arc<Link<P>> {
        Link::new(port, actor, self.trace.as_ref(), self.chances)
    }
}

/// A poisoned lock is used all the same: every section under these locks is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
