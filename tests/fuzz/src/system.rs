//! What targets share that run a part of the system: virtual time, seeded randomness, and ingress over ports in
//! memory.

use std::{cell::OnceCell, future::Future, sync::Arc, time::Duration};

use rendezvous_core::{
    Configuration, Provenance, RequestMessage, Score, Timestamp, Write, clock,
    limits::MAX_PAYLOAD_BYTES,
    memory::{MemoryEndpoints, MemoryLedger, MemoryOutcomes, MemoryPayloads, MemorySecrets},
    now,
    ports::{EndpointTable, Ledger, NoTelemetry, Record, Rejected, Stream},
    random,
    score::checked_score,
};
use rendezvous_ingress::{Dependencies, Ingress, Ports, Settings, http::Http};
use tokio::runtime::{Builder, Runtime};

/// When every input begins.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_763_794_344_123_456);

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    static ENDPOINTS: OnceCell<Arc<MemoryEndpoints>> = const { OnceCell::new() };
}

/// Runs to its end what an input asks for, in virtual time.
pub(crate) fn run<F: Future>(work: F) -> F::Output {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let _seeded = random::seed(1);
            clock::simulate(START);
            work.await
        })
    })
}

/// `e`: one model. `t`: tensors, whose outputs are what a score that is its payload holds.
const CONFIGURATIONS: [(&str, &str); 2] = [
    (
        "e",
        r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100,"fallback":{"p":0.22}},"value":"/p"}"#,
    ),
    (
        "t",
        r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100},
            "tensors":{
                "inputs":[
                    {"name":"x","datatype":"FP64","shape":[-1,1],"field":"/x"},
                    {"name":"s","datatype":"BYTES","shape":[-1,1],"field":"/in/s"},
                    {"name":"w","datatype":"INT16","shape":[-1,2,2],"field":"/w"},
                    {"name":"c","datatype":"BOOL","shape":[-1,2],"fields":["/c/0","/c/1"]}],
                "outputs":[
                    {"name":"x","datatype":"FP64","shape":[-1,1],"field":"/x"},
                    {"name":"s","datatype":"BYTES","shape":[-1,1],"field":"/in/s"},
                    {"name":"w","datatype":"INT16","shape":[-1,2,2],"field":"/w"}]}}"#,
    ),
];

/// The endpoints, which no input changes.
pub(crate) async fn endpoints() -> Arc<MemoryEndpoints> {
    if let Some(endpoints) = ENDPOINTS.with(|cell| cell.get().cloned()) {
        return endpoints;
    }
    let endpoints = Arc::new(MemoryEndpoints::default());
    for (name, text) in CONFIGURATIONS {
        let configuration = Configuration::parse(text).unwrap();
        let provenance = Provenance::new("a person", "").unwrap();
        endpoints.publish(&name.parse().unwrap(), configuration, provenance, None).await.unwrap();
    }
    ENDPOINTS.with(|cell| cell.get_or_init(|| endpoints).clone())
}

/// A stream with a model at its end, whose score is the payload.
pub(crate) struct Echo(Arc<MemoryLedger>);

impl Stream for Echo {
    async fn put(&self, records: Vec<Record>, _: Timestamp) -> Result<(), Rejected> {
        for record in records {
            let RequestMessage { envelope, payload, .. } =
                RequestMessage::parse(&record.data).unwrap();
            let rendezvous_core::Payload::Inline(json) = payload else { continue };
            let result = checked_score(json.into());
            let (started, finished) = (now(), now());
            let score = Score { model: "a@1".parse().unwrap(), started, finished, result };
            self.0.write(&Write::file(&envelope, &[score])).await.unwrap();
        }
        Ok(())
    }
}

pub(crate) struct Memory;

impl Ports for Memory {
    type Endpoints = MemoryEndpoints;
    type Input = Echo;
    type Ledger = MemoryLedger;
    type Outcomes = MemoryOutcomes;
    type Payloads = MemoryPayloads;
    type Secrets = MemorySecrets;
    type Telemetry = NoTelemetry;
}

/// A new ingress.
pub(crate) async fn ingress() -> Http<Memory> {
    let ledger = Arc::new(MemoryLedger::with_capacity(64));
    let dependencies: Dependencies<Memory> = Dependencies {
        endpoints: endpoints().await,
        input: Arc::new(Echo(ledger.clone())),
        ledger,
        outcomes: Arc::default(),
        payloads: Arc::default(),
        secrets: Arc::new(MemorySecrets::new(&[7; 32], Timestamp::from_micros(0)).unwrap()),
        telemetry: Arc::new(NoTelemetry),
    };
    let settings = Settings {
        margin: Duration::from_millis(5),
        max_payload_bytes: MAX_PAYLOAD_BYTES,
        inline_payload_bytes: 512,
        ledger_retention: MemoryLedger::RETENTION,
        in_flight: 100,
    };
    Http::new(Arc::new(Ingress::new(dependencies, settings)))
}
