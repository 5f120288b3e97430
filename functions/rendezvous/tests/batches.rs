//! What becomes of a batch, and what it costs.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{sync::Arc, time::Duration};

use rendezvous::{Rendezvous, RendezvousReport};
use rendezvous_aws::batch::{Batch, Data, Record};
use rendezvous_core::{
    Configuration, Endpoint, Envelope, Provenance, Score, ScoreMessage,
    clock::{simulate, sleep_until},
    conformance::samples,
    memory::{MemoryEndpoints, MemoryLedger, MemoryTelemetry, Trouble},
    now,
    ports::{Consistency, EndpointTable, Ledger},
};
use serde_json::value::to_raw_value;
use tokio::time::Instant;

struct World {
    endpoint: Endpoint,
    endpoints: Arc<MemoryEndpoints>,
    ledger: Arc<MemoryLedger>,
    telemetry: Arc<MemoryTelemetry<RendezvousReport>>,
    rendezvous: Rendezvous<MemoryEndpoints, MemoryLedger, MemoryTelemetry<RendezvousReport>>,
}

async fn world() -> World {
    simulate(now());
    let (endpoints, endpoint) = (Arc::new(MemoryEndpoints::default()), samples::endpoint());
    let configuration = Configuration::parse(samples::CONFIGURATION).unwrap();
    let provenance = Provenance::new("test", "").unwrap();
    endpoints.publish(&endpoint.name, configuration, provenance, None).await.unwrap();
    let (ledger, telemetry) = (Arc::<MemoryLedger>::default(), Arc::default());
    let rendezvous = Rendezvous::new(endpoints.clone(), ledger.clone(), Arc::clone(&telemetry));
    World { endpoint, endpoints, ledger, telemetry, rendezvous }
}

fn message(envelope: &Envelope, score: &Score) -> Vec<u8> {
    ScoreMessage::write(&to_raw_value(envelope).unwrap(), score, None).unwrap().to_vec()
}

impl World {
    fn envelope(&self) -> Arc<Envelope> {
        samples::envelope(&self.endpoint)
    }

    /// Hands over a batch of these messages, which arrived a second ago; the first that is to come
    /// again, and the report.
    async fn handle(&self, messages: Vec<Vec<u8>>) -> (Option<String>, RendezvousReport) {
        let arrived = now() - Duration::from_secs(1);
        let record = |(i, bytes): (usize, Vec<u8>)| {
            let data = Data::new("k", bytes.into());
            Record::new("shardId-000000000000", i.to_string(), arrived, data)
        };
        let batch = Batch::new("scores", messages.into_iter().enumerate().map(record).collect());
        let mut response = self.rendezvous.handle(batch).await;
        let failure = response.batch_item_failures.pop();
        (failure.map(|failure| failure.item_identifier), self.telemetry.last().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_reported_and_the_scores_of_one_request_are_one_write() {
    let world = world().await;
    let (one, other) = (world.envelope(), world.envelope());
    let (again, report) = world
        .handle(vec![
            message(&one, &samples::score("b@1", "1")),
            b"{}".to_vec(),
            message(&other, &samples::score("b@1", "1")),
            message(&one, &samples::score("a@1", "2")),
        ])
        .await;
    assert_eq!((again, report.scores, report.unreadable), (None, 3, 1));
    assert_eq!((report.requests, report.settled, report.expired, report.again), (2, 1, 0, 0));
    assert_eq!(report.lag, Duration::from_secs(1));
    assert_eq!(world.ledger.calls(), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn later_scores_of_a_settled_request_and_those_of_unlisted_models_cost_no_call() {
    let world = world().await;
    let envelope = world.envelope();
    world.handle(vec![message(&envelope, &samples::score("a@1", "1"))]).await;
    let calls = world.ledger.calls();
    let later = message(&envelope, &samples::score("b@1", "2"));
    let open = world.envelope();
    let unlisted = || message(&open, &samples::score("x@1", "3"));
    let (again, report) = world.handle(vec![later, unlisted()]).await;
    assert_eq!((again, report.requests, report.settled), (None, 2, 0));
    assert_eq!(world.ledger.calls(), calls);
    sleep_until(open.deadline).await;
    assert_eq!(world.handle(vec![unlisted()]).await.1.settled, 0, "such a score decides nothing");
    assert_eq!(world.ledger.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn scores_are_filed_until_a_minute_after_the_deadline() {
    let world = world().await;
    let envelope = world.envelope();
    let late = || vec![message(&envelope, &samples::score("b@1", "1"))];
    sleep_until(envelope.deadline + Duration::from_mins(1)).await;
    let (_, report) = world.handle(late()).await;
    assert_eq!((report.expired, report.requests, report.settled), (0, 1, 1));
    sleep_until(envelope.deadline + Duration::from_mins(1) + Duration::from_millis(1)).await;
    let (_, report) = world.handle(late()).await;
    assert_eq!((report.expired, report.requests), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_no_further_request_is_begun() {
    let world = world().await;
    let scores = |count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|_| message(&world.envelope(), &samples::score("a@1", "1"))).collect()
    };
    world.ledger.outage.set(Trouble::Hanging);
    let begin = Instant::now();
    let (again, report) = world.handle(scores(64)).await;
    assert_eq!((again.as_deref(), report.again), (Some("0"), 64));
    assert_eq!(begin.elapsed().as_millis(), 1_000, "the ledger is waited for once");

    world.ledger.outage.set(Trouble::Slow(Duration::from_millis(900)));
    let begin = Instant::now();
    let (again, report) = world.handle(scores(33)).await;
    assert_eq!((again, report.settled), (None, 33));
    assert_eq!(begin.elapsed().as_millis(), 1_800, "32 requests at a time");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_cannot_be_read_is_waited_for_once_and_not_by_each_message() {
    let world = world().await;
    let endpoint = Endpoint { version: 2, ..world.endpoint.clone() };
    let known = message(&world.envelope(), &samples::score("a@1", "1"));
    world.handle(vec![known.clone()]).await;
    world.endpoints.outage.set(Trouble::Hanging);
    let unknown = |_| message(&samples::envelope(&endpoint), &samples::score("a@1", "1"));
    let messages = [known].into_iter().chain((0..64).map(unknown)).collect();
    let begin = Instant::now();
    let (again, report) = world.handle(messages).await;
    assert_eq!((again.as_deref(), report.again), (Some("1"), 64));
    assert_eq!(begin.elapsed().as_millis(), 4_000, "to hear the models, and to file");
}

#[tokio::test(start_paused = true)]
async fn the_score_of_a_replay_settles_nothing() {
    let world = world().await;
    let live = world.envelope();
    let replay = Envelope { replay: Some(live.id), ..(*world.envelope()).clone() };
    let messages = vec![message(&replay, &samples::score("a@1", "1"))];
    let (again, report) = world.handle(messages).await;
    assert_eq!((again, report.unreadable, report.scores, report.requests), (None, 1, 0, 0));
    for id in [replay.id, live.id] {
        let mailbox = world.ledger.read(id, Consistency::Strong).await.unwrap();
        assert!(mailbox.is_none(), "{mailbox:?}");
    }
}
