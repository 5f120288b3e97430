//! The whole system in one process: ports in memory, the functions' own handlers, and mappings
//! that invoke them with the events that AWS would send.

mod functions;
mod size;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use rendezvous_core::{
    EndpointName, ModelId,
    memory::{
        Journal, MemoryEndpoints, MemoryLedger, MemoryOutcomes, MemoryPayloads, MemorySecrets,
        MemoryStream, MemoryWindows,
    },
    ports::{Archive, ArchiveFiles, EndpointTable, Payloads, Secrets, WindowTable},
};
use rendezvous_ingress::http::Http;
use rendezvous_model::{Model, ModelFunction, Profile, time::DEFAULT_FUNCTION_TIMEOUT};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

pub use self::size::Size;
use crate::{
    Actor, Conditions, Counters, Link,
    actor::Role,
    events::Carried,
    faults::{Faults, Faulty},
    fleet::{Fleet, Instance},
    functions::ModelHandler,
    ingress::{Event, GATEWAY_TIMEOUT, Inside, Local, bad_gateway, step},
    link::Past,
    mapping::{self, Function, Host, Mapping},
};

/// A running system: streams, ledger and outcomes are in memory; the caller chooses the archive `A`,
/// the table of endpoints `E`, the secret `K`, the table of windows `W` and the store of large payloads `L`.
pub struct System<A, E = MemoryEndpoints, K = MemorySecrets, W = MemoryWindows, L = MemoryPayloads>
where
    E: EndpointTable,
    K: Secrets,
    L: Payloads,
{
    pub endpoints: Arc<E>,
    pub input: Arc<MemoryStream>,
    pub scores: Arc<MemoryStream>,
    pub ledger: Arc<MemoryLedger>,
    pub outcomes: Arc<MemoryOutcomes>,
    pub payloads: Arc<L>,
    pub secrets: Arc<K>,
    pub windows: Arc<W>,
    pub archive: Arc<A>,
    pub counters: Arc<Counters>,
    pub journal: Option<Arc<Journal>>,
    ingress: Fleet<Http<Local<E, K, L>>>,
    /// The functions, by name: the instance that each begins with.
    functions: Mutex<BTreeMap<String, Arc<Actor>>>,
    past: Arc<Past>,
    models: Mutex<BTreeMap<ModelId, Arc<Faults>>>,
    host: Host<Link<A>>,
    compute: Vec<Handle>,
    /// How many lanes run on these.
    placed: AtomicUsize,
    tasks: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl<A: Archive + ArchiveFiles> System<A> {
    /// Starts a system without models whose endpoints are in memory.
    pub fn start(archive: Arc<A>, size: &Size) -> Self {
        let (endpoints, secrets) = (Arc::default(), Arc::new(MemorySecrets::random()));
        Self::start_on(archive, endpoints, secrets, Arc::default(), Arc::default(), size)
    }
}

impl<A, E, K, W, L> System<A, E, K, W, L>
where
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
{
    /// Starts a system without models on these ports.
    pub fn start_on(
        archive: Arc<A>,
        endpoints: Arc<E>,
        secrets: Arc<K>,
        windows: Arc<W>,
        payloads: Arc<L>,
        size: &Size,
    ) -> Self {
        let conditions = size.conditions.clone();
        let (stop, stopped) = watch::channel(false);
        let lambda = Arc::new(Actor::new(Role::Other, "lambda"));
        let failures = Link::new(archive.clone(), &lambda, &conditions);
        let host = Host { failures, stop: stopped, conditions };
        let journal = size.journal.clone();
        let ledger = MemoryLedger::with_capacity(size.mailboxes)
            .with_retention(size.settings.ledger_retention)
            .kept_in(journal.clone());
        let stream = |name| Arc::new(MemoryStream::new(name, size.shards).kept_in(journal.clone()));
        let ports = Inside {
            input: stream("input"),
            ledger: Arc::new(ledger),
            outcomes: Arc::new(MemoryOutcomes::kept_in(journal.clone())),
            counters: Arc::default(),
            past: Arc::default(),
            endpoints,
            payloads,
            secrets,
        };
        let ingress = ports.clone().ingress(host.conditions.clone(), size.settings);
        let Inside { input, ledger, outcomes, counters, past, endpoints, payloads, secrets } =
            ports;
        let system = Self {
            scores: stream("scores"),
            functions: Mutex::new(BTreeMap::from([("ingress".to_owned(), ingress.actor.clone())])),
            models: Mutex::default(),
            compute: size.compute.clone(),
            placed: AtomicUsize::new(0),
            tasks: Mutex::default(),
            endpoints,
            input,
            ledger,
            outcomes,
            payloads,
            secrets,
            windows,
            archive,
            counters,
            journal,
            past,
            ingress,
            host,
            stop,
        };
        system.start_rendezvous();
        let _entered = size.archiving.as_ref().map(Handle::enter);
        system.start_monitor(size);
        system.start_decoy(&size.decoy);
        system
    }

    /// The instances of a function.
    fn fleet<F: Send + Sync + 'static>(
        &self,
        role: Role,
        name: &str,
        make: impl Fn(&Arc<Actor>) -> F + Send + Sync + 'static,
    ) -> Fleet<F> {
        let fleet = Fleet::new(role, name, &self.host.conditions, make);
        lock(&self.functions).insert(name.to_owned(), fleet.actor.clone());
        fleet
    }

    /// Starts a mapping, with a runtime for each lane; without one, on that of the caller.
    fn map<T: Carried>(
        &self,
        stream: &MemoryStream<T>,
        mapping: &Mapping,
        function: impl Function<T>,
        runtime: impl Fn() -> Option<Handle>,
    ) {
        let tasks = &mut *lock(&self.tasks);
        for lane in mapping::lanes(stream, mapping, &Arc::new(function), &self.host) {
            match runtime() {
                Some(runtime) => tasks.spawn_on(lane, &runtime),
                None => tasks.spawn(lane),
            };
        }
    }

    /// The runtime of the next lane.
    fn runtime_in_turn(&self) -> Option<Handle> {
        let place = self.placed.fetch_add(1, Ordering::Relaxed);
        self.compute.get(place.checked_rem(self.compute.len())?).cloned()
    }

    /// Brings a model up beside the others: it scores what arrives from now on.
    pub fn add_model<M: Model>(&self, model: M) -> Arc<Faults> {
        self.add_model_with(model, &Mapping::default())
    }

    /// The same, with a mapping of its own. A mapping without a filter gets one for the endpoints of
    /// the model's profile. The function's time-out is [`DEFAULT_FUNCTION_TIMEOUT`] in any case.
    pub fn add_model_with<M: Model>(&self, model: M, mapping: &Mapping) -> Arc<Faults> {
        self.add_model_on(model, mapping, || self.runtime_in_turn())
    }

    /// The same for a model that waits for a network: its batches are handled on the runtime of the caller.
    pub fn add_waiting_model<M: Model>(&self, model: M, mapping: &Mapping) -> Arc<Faults> {
        self.add_model_on(model, mapping, || None)
    }

    /// The same on a runtime for each lane; without one, on that of the caller.
    fn add_model_on<M: Model>(
        &self,
        model: M,
        mapping: &Mapping,
        runtime: impl Fn() -> Option<Handle>,
    ) -> Arc<Faults> {
        let Profile { id, endpoints, .. } = model.profile();
        let (id, endpoints) = (id.clone(), endpoints.iter().cloned().collect());
        let filter = mapping.filter_by_endpoint.clone().unwrap_or(endpoints);
        let mapping = Mapping {
            filter_by_endpoint: Some(filter),
            function_timeout: DEFAULT_FUNCTION_TIMEOUT,
            ..mapping.clone()
        };
        let (model, faults) = (Arc::new(model), Arc::new(Faults::default()));
        let (scores, counters) = (self.scores.clone(), self.counters.clone());
        let (conditions, switch) = (self.host.conditions.clone(), faults.clone());
        let payloads = self.payloads.clone();
        let fleet = self.fleet(Role::Model, id.as_str(), move |actor| {
            let model = Link::new(model.clone(), actor, &conditions);
            let model = Arc::new(Faulty { model, faults: switch.clone() });
            let scores = Link::new(scores.clone(), actor, &conditions);
            let payloads = Link::new(payloads.clone(), actor, &conditions);
            ModelFunction::new(model, scores, payloads, counters.clone())
        });
        let handler = ModelHandler {
            fleet,
            faults: faults.clone(),
            conditions: self.host.conditions.clone(),
        };
        self.map(&self.input, &mapping, handler, runtime);
        lock(&self.models).insert(id, faults.clone());
        faults
    }

    /// Brings up a model that is a function of its own, and not one of this process: it gets the requests
    /// of `endpoints` that arrive from now on. Its batches are handled on the runtime of the caller.
    pub fn add_function<F: Function>(
        &self,
        id: &ModelId,
        endpoints: BTreeSet<EndpointName>,
        mapping: &Mapping,
        make: impl FnOnce(Arc<Actor>, Arc<Faults>) -> F,
    ) {
        let (actor, faults) =
            (Arc::new(Actor::new(Role::Model, id.as_str())), Arc::new(Faults::default()));
        lock(&self.functions).insert(id.to_string(), actor.clone());
        lock(&self.models).insert(id.clone(), faults.clone());
        let mapping = Mapping { filter_by_endpoint: Some(endpoints), ..mapping.clone() };
        self.map(&self.input, &mapping, make(actor, faults), || None);
    }

    /// The models that are up.
    pub fn models(&self) -> Vec<ModelId> {
        lock(&self.models).keys().cloned().collect()
    }

    /// The switch for the faults of a model, if it is up.
    pub fn faults(&self, model: &ModelId) -> Option<Arc<Faults>> {
        lock(&self.models).get(model).cloned()
    }

    /// The first instance of a function: `ingress`, `rendezvous`, `decoy`, or a model's id. Without
    /// weather it is the only one.
    pub fn actor(&self, name: &str) -> Option<Arc<Actor>> {
        lock(&self.functions).get(name).cloned()
    }

    /// Answers one HTTP request, which comes as the event that API Gateway sends.
    pub async fn call(&self, event: impl Into<Event>) -> ApiGatewayV2httpResponse {
        let event = event.into();
        let request = event.request_context.request_id.clone().unwrap_or_default();
        let step = step(&event);
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        let Conditions { witness, weather, .. } = self.host.conditions.clone();
        let handle = |instance: Arc<Instance<Http<Local<E, K, L>>>>| async move {
            let Some(witness) = witness else { return instance.function.handle(event).await };
            witness.begins(&instance.actor, &event);
            let response = instance.function.handle(event).await;
            witness.ends(&instance.actor, step, &response);
            response
        };
        let call = Box::pin(self.ingress.invoke(step, hasher.finish(), handle));
        let response = if weather.is_some() {
            tokio::time::timeout(GATEWAY_TIMEOUT, call).await.unwrap_or(Err("it took too long"))
        } else {
            call.await
        };
        let response = response.unwrap_or_else(|_| bad_gateway());
        self.host.conditions.trace(&self.ingress.actor, || {
            let ApiGatewayV2httpResponse { status_code, body, .. } = &response;
            format!("answers {request}: {status_code} {body:?}")
        });
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

/// A poisoned lock is used all the same: every section under these locks is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
