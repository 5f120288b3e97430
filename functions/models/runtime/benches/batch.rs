//! What the runtime adds to a model: `cargo bench -p rendezvous-model`. A batch of 100 requests of some 500
//! bytes is read in the form in which Lambda sends it, scored by a model that does nothing, and its
//! scores are given to a stream that keeps nothing; once with one call of the model for all, once with
//! a call for each.

#![expect(clippy::expect_used, reason = "a bench that cannot begin must not go on")]

use std::{collections::HashSet, hint::black_box, sync::Arc, time::Duration};

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use rendezvous_aws::batch::{Batch, Data, Event, Record};
use rendezvous_core::{
    Artifact, Failure, Json, RequestMessage, Timestamp,
    conformance::samples,
    memory::MemoryPayloads,
    now,
    ports::{self, NoTelemetry, Rejected},
};
use rendezvous_model::{Model, ModelFunction, Profile};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const REQUESTS: usize = 100;

struct NoModel {
    profile: Profile,
    artifact: Artifact,
    largest_batch: usize,
    score: Json,
}

impl Model for NoModel {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.largest_batch
    }

    fn artifact(&self) -> Option<Artifact> {
        Some(self.artifact.clone())
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        vec![Ok(self.score.clone()); payloads.len()]
    }
}

struct Sink;

impl ports::Stream for Sink {
    async fn put(&self, records: Vec<ports::Record>, _: Timestamp) -> Result<(), Rejected> {
        black_box(records);
        Ok(())
    }
}

/// A batch of requests of the sample endpoint, in the form in which Lambda sends it.
fn sent() -> String {
    let (endpoint, payload) =
        (samples::endpoint(), format!("{{\"text\":\"{}\"}}", "x".repeat(180)));
    let payload = Json::parse(&payload).expect("JSON");
    let record = |i: usize| {
        let bytes = RequestMessage::write(&samples::envelope(&endpoint), &payload);
        let content = Data::new("k".repeat(36), bytes.expect("a message"));
        Record::new("shardId-000000000003", format!("49545{i:051}"), now(), content)
    };
    let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/rendezvous-input";
    serde_json::to_string(&Batch::new(arn, (0..REQUESTS).map(record).collect())).expect("JSON")
}

#[divan::bench(args = [1, REQUESTS])]
fn batch_of_100_with_payloads_a_call(bencher: Bencher, largest_batch: usize) {
    let profile = Profile {
        id: "none@1".parse().expect("a model id"),
        endpoints: HashSet::from([samples::endpoint().name]),
        timeout: Duration::from_secs(5),
        // The batch is made once.
        scores_expired: true,
    };
    let artifact = format!("sha256:{}", "0a".repeat(32)).parse().expect("an artefact");
    let score = Json::parse("{\"probability\":0.1187}").expect("JSON");
    let model = NoModel { profile, artifact, largest_batch, score };
    let payloads = Arc::new(MemoryPayloads::default());
    let (model, scores) = (Arc::new(model), Arc::new(Sink));
    let function = ModelFunction::new(model, scores, payloads, Arc::new(NoTelemetry));
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let sent = sent();
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| {
        let event: Event = serde_json::from_str(black_box(&sent)).expect("an event");
        let response = runtime.block_on(function.handle(event.batch().expect("a batch")));
        assert!(response.batch_item_failures.is_empty());
    });
}
