//! The whole system in one process: ports in memory, the functions' own handlers, and mappings
//! that call them with the events that AWS would send.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    dynamodb,
    event::streams::{DynamoDbEventResponse, KinesisEventResponse},
    kinesis::KinesisEvent,
};
use rendezvous::Rendezvous;
use rendezvous_core::{
    ModelId,
    memory::{
        Change, MemoryEndpoints, MemoryLedger, MemoryOutcomes, MemorySecrets, MemoryStream,
        Position,
    },
    ports::{Archive, EndpointTable, Secrets},
};
use rendezvous_decoy::{Decoy, Stream, Table};
use rendezvous_ingress::{Dependencies, Ingress, Ports, Settings, http::HttpV1};
use rendezvous_model::{Model, ModelFunction};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Counters,
    faults::{Faults, Faulty},
    mapping::{self, Function, Mapping},
};

/// The size of a local system.
#[derive(Clone, Debug)]
pub struct Size {
    /// Shards of each stream.
    pub shards: usize,
    /// How many mailboxes the ledger keeps.
    pub mailboxes: usize,
    pub settings: Settings,
    /// How the decoy's batches are cut, which become the files of the archive.
    pub decoy: Mapping,
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
            // Large batches make few files and cost less a record; they are also what takes memory.
            decoy: Mapping {
                batch_size: 1_000,
                maximum_batching_window: Duration::from_secs(1),
                // As on AWS nothing is given up before the stream would forget it; this one waits.
                maximum_record_age: Duration::from_hours(23),
                maximum_retry_attempts: u32::MAX,
                starting_position: Position::TrimHorizon,
                ..Mapping::default()
            },
        }
    }
}

/// The ports that ingress has here.
struct Local<E, K>(PhantomData<(E, K)>);

impl<E: EndpointTable, K: Secrets> Ports for Local<E, K> {
    type Endpoints = E;
    type Input = MemoryStream;
    type Ledger = MemoryLedger;
    type Outcomes = MemoryOutcomes;
    type Secrets = K;
    type Telemetry = Counters;
}

/// A running system: streams, ledger and outcomes in memory; the archive `A`, the endpoints `E` and the
/// secret `K` where the caller wants them.
pub struct System<A, E: EndpointTable = MemoryEndpoints, K: Secrets = MemorySecrets> {
    pub endpoints: Arc<E>,
    pub input: Arc<MemoryStream>,
    pub scores: Arc<MemoryStream>,
    pub ledger: Arc<MemoryLedger>,
    pub outcomes: Arc<MemoryOutcomes>,
    pub archive: Arc<A>,
    pub counters: Arc<Counters>,
    ingress: HttpV1<Local<E, K>>,
    models: Mutex<BTreeMap<ModelId, Arc<Faults>>>,
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
        let counters = Arc::new(Counters::default());
        let input = Arc::new(MemoryStream::new("input", size.shards));
        let scores = Arc::new(MemoryStream::new("scores", size.shards));
        let ledger = Arc::new(MemoryLedger::with_capacity(size.mailboxes));
        let outcomes = Arc::new(MemoryOutcomes::default());
        let dependencies: Dependencies<Local<E, K>> = Dependencies {
            endpoints: endpoints.clone(),
            input: input.clone(),
            ledger: ledger.clone(),
            outcomes: outcomes.clone(),
            secrets,
            telemetry: counters.clone(),
        };
        let ingress = HttpV1::new(Ingress::new(dependencies, size.settings).into());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();

        let rendezvous = Rendezvous::new(endpoints.clone(), ledger.clone(), counters.clone());
        let rendezvous = Arc::new(RendezvousFunction(rendezvous));
        let mapping = Mapping { starting_position: Position::TrimHorizon, ..Mapping::default() };
        for lane in mapping::lanes(&scores, &mapping, &rendezvous, &archive, &stopped) {
            tasks.spawn(lane);
        }
        let decoy = Arc::new(Decoy::new(archive.clone(), endpoints.clone(), counters.clone()));
        for (stream, source) in [(&input, Stream::Input), (&scores, Stream::Scores)] {
            let function = Arc::new(DecoyOfStream { decoy: decoy.clone(), source });
            for lane in mapping::lanes(stream, &size.decoy, &function, &archive, &stopped) {
                tasks.spawn(lane);
            }
        }
        for (changes, source) in
            [(&ledger.changes, Table::Ledger), (&outcomes.changes, Table::Outcomes)]
        {
            let function = Arc::new(DecoyOfTable { decoy: decoy.clone(), source });
            for lane in mapping::lanes(changes, &size.decoy, &function, &archive, &stopped) {
                tasks.spawn(lane);
            }
        }

        Self {
            endpoints,
            input,
            scores,
            ledger,
            outcomes,
            archive,
            counters,
            ingress,
            models: Mutex::default(),
            tasks: Mutex::new(tasks),
            stop,
        }
    }

    /// Brings a model up beside the others: it scores what arrives from now on.
    pub fn add_model<M: Model>(&self, model: M) -> Arc<Faults> {
        self.add_model_with(model, &Mapping::default())
    }

    /// The same, with a mapping of its own.
    pub fn add_model_with<M: Model>(&self, model: M, mapping: &Mapping) -> Arc<Faults> {
        let id = model.profile().id.clone();
        let faults = Arc::new(Faults::default());
        let model = Arc::new(Faulty { model, faults: faults.clone() });
        let function = Arc::new(ModelHandler {
            name: id.to_string(),
            function: ModelFunction::new(model, self.scores.clone(), self.counters.clone()),
            faults: faults.clone(),
        });
        let stop = self.stop.subscribe();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in mapping::lanes(&self.input, mapping, &function, &self.archive, &stop) {
            tasks.spawn(lane);
        }
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.insert(id, faults.clone());
        faults
    }

    /// The models that are up.
    pub fn models(&self) -> Vec<ModelId> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The switch for the faults of a model, if it is up.
    pub fn faults(&self, model: &ModelId) -> Option<Arc<Faults>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }

    /// Answers one HTTP request, as API Gateway would hand it over.
    pub async fn call(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        self.ingress.handle(event).await
    }

    /// Waits until every record and every change has been dealt with, at most `patience`; says
    /// whether that was long enough.
    pub async fn drain(&self, patience: Duration) -> bool {
        let start = Instant::now();
        let drained = async {
            while self.held() > 0 {
                // Looks less and less often: a window of the archive's may be long.
                sleep((start.elapsed() / 10).max(Duration::from_millis(5))).await;
            }
        };
        tokio::time::timeout(patience, drained).await.is_ok()
    }

    /// Bytes that somebody has still to deal with.
    fn held(&self) -> usize {
        let changes = self.ledger.changes.held() + self.outcomes.changes.held();
        self.input.held() + self.scores.held() + changes
    }

    /// Ends every mapping, when the batch it is at is done, and waits for that.
    pub async fn stop(&self) {
        // Nobody listening means that all have ended.
        let _ = self.stop.send(true);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a mapping has crashed");
            }
        }
    }
}

struct ModelHandler<M> {
    name: String,
    function: ModelFunction<M, MemoryStream, Counters>,
    faults: Arc<Faults>,
}

impl<M: Model> Function for ModelHandler<M> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn invoke(&self, event: KinesisEvent) -> Result<KinesisEventResponse, String> {
        if self.faults.is_killed() {
            return Err("killed".to_owned());
        }
        Ok(self.function.handle(event).await)
    }
}

struct RendezvousFunction<E>(Rendezvous<E, MemoryLedger, Counters>);

impl<E: EndpointTable> Function for RendezvousFunction<E> {
    fn name(&self) -> &'static str {
        "rendezvous"
    }

    async fn invoke(&self, event: KinesisEvent) -> Result<KinesisEventResponse, String> {
        Ok(self.0.handle(event).await)
    }
}

/// The decoy as the function of one of its mappings.
struct DecoyOfStream<A, E> {
    decoy: Arc<Decoy<A, E, Counters>>,
    source: Stream,
}

impl<A: Archive, E: EndpointTable> Function for DecoyOfStream<A, E> {
    fn name(&self) -> &'static str {
        "decoy"
    }

    async fn invoke(&self, event: KinesisEvent) -> Result<KinesisEventResponse, String> {
        Ok(self.decoy.handle_stream(self.source, event).await)
    }
}

struct DecoyOfTable<A, E> {
    decoy: Arc<Decoy<A, E, Counters>>,
    source: Table,
}

impl<A: Archive, E: EndpointTable> Function<Change> for DecoyOfTable<A, E> {
    fn name(&self) -> &'static str {
        "decoy"
    }

    async fn invoke(&self, event: dynamodb::Event) -> Result<DynamoDbEventResponse, String> {
        Ok(self.decoy.handle_changes(self.source, event).await)
    }
}
