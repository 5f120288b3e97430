//! Dependencies that fail.

use std::time::Duration;

use rendezvous_core::memory::Trouble;
use rendezvous_tests::{
    Does::{Hang, Score},
    MARGIN_MS, Reply, World,
};
use tokio::time::sleep;

use crate::{without_fallback, world};

#[tokio::test(start_paused = true)]
async fn scores_that_could_not_be_filed_come_again() {
    let (world, _) = world(Score(10), Score(500), Score(500), Score(500)).await;
    let ask = world.ask("{}");
    let trouble = async {
        sleep(Duration::from_millis(5)).await;
        world.system.ledger.outage.set(Trouble::Throttled);
        sleep(Duration::from_millis(200)).await;
        world.system.ledger.outage.set(Trouble::None);
    };
    let (reply, ()) = tokio::join!(ask, trouble);
    // The batch is delivered again after 100 ms, then after 200 ms.
    reply.is("a@1 preferred", 300.0..=340.0);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_is_down_and_the_caller_still_gets_the_fallback_in_time() {
    for trouble in [Trouble::Down, Trouble::Throttled, Trouble::Hanging] {
        let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
        world.system.ledger.outage.set(trouble);
        let reply = world.ask("{}").await;
        reply.is("fallback unavailable unsettled", 1000.0 - MARGIN_MS..=1000.0);
        assert_eq!(reply.status, 200);
        let keyed = world.ask_with("{}", &[("Idempotency-Key", "k")]).await;
        keyed.is("fallback unavailable unsettled", 0.0..=1000.0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_table_is_down_and_requests_are_answered_as_before() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    for trouble in [Trouble::Down, Trouble::Throttled, Trouble::Hanging] {
        world.system.endpoints.outage.set(trouble);
        sleep(Duration::from_secs(5)).await;
        // A table that hangs is waited for, once a second, for a quarter of the deadline.
        world.ask("{}").await.is("a@1 preferred", 10.0..=265.0);
        world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_score_that_was_seen_is_answered_although_it_cannot_be_committed() {
    let (world, _) = world(Hang, Score(20), Hang, Hang).await;
    let trouble = async {
        sleep(Duration::from_millis(90)).await;
        world.system.ledger.outage.set(Trouble::Down);
    };
    let (reply, ()) = tokio::join!(world.ask("{}"), trouble);
    reply.is("b@1 opened unsettled", 1000.0 - MARGIN_MS..=1000.0);
}

#[tokio::test(start_paused = true)]
async fn the_input_stream_refuses_and_the_fallback_is_committed_at_once() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.system.input.outage.set(Trouble::Down);
    let reply = world.ask("{}").await;
    reply.is("fallback unavailable", 0.0..=1.0);
    assert_eq!(world.read(reply.id()).await.answer(), "fallback unavailable");

    world.system.input.outage.set(Trouble::Throttled);
    world.ask("{}").await.is("fallback unavailable", 900.0..=1000.0);
    world.system.input.outage.set(Trouble::Hanging);
    world.ask("{}").await.is("fallback unavailable", 900.0..=1000.0);
    assert!(models[0].asked().is_empty());

    let without = without_fallback();
    world.publish(&without).await;
    sleep(Duration::from_secs(1)).await;
    world.system.input.outage.set(Trouble::Down);
    let reply = world.ask("{}").await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()));
    world.system.input.outage.set(Trouble::Throttled);
    assert_eq!(world.ask("{}").await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_stream_is_tried_again_within_the_deadline() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.system.input.outage.set(Trouble::Throttled);
    let relief = async {
        sleep(Duration::from_millis(45)).await;
        world.system.input.outage.set(Trouble::None);
    };
    let (reply, ()) = tokio::join!(world.ask("{}"), relief);
    reply.is("a@1 preferred", 60.0..=80.0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_configuration_or_secret_makes_no_answer_late() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    // Nothing is known of the endpoint yet but the deadline that the client asks for.
    world.system.endpoints.outage.set(Trouble::Hanging);
    let deadline = [("Rendezvous-Deadline-Ms", "300")];
    refused_by("endpoints table", &world.ask_with("{}", &deadline).await, 300.0);
    world.system.endpoints.outage.set(Trouble::None);

    world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    world.system.secrets.outage.set(Trouble::Hanging);
    let keyed = [("Idempotency-Key", "k")];
    refused_by("secrets", &world.ask_with("{}", &keyed).await, 1000.0);
    world.system.secrets.outage.set(Trouble::None);
    world.ask_with("{}", &keyed).await.is("a@1 preferred", 10.0..=15.0);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_read_after_the_deadline_is_there_for_the_next_request() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.system.endpoints.outage.set(Trouble::Slow(Duration::from_millis(600)));
    // The pointer and the version: 1,200 ms, and the schedule allows 1,000.
    refused_by("endpoints table", &world.ask("{}").await, 1200.0);
    // Ingress knows it now. Rendezvous reads the version for the first time.
    world.ask("{}").await.is("a@1 preferred", 600.0..=620.0);
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_request_that_cannot_be_sent_is_refused_long_before_its_deadline() {
    let world = World::new().await;
    world.system.input.outage.set(Trouble::Hanging);
    let headers = [("Prefer", "respond-async"), ("Rendezvous-Deadline-Ms", "600000")];
    let reply = world.ask_with("{}", &headers).await;
    assert_eq!(reply.status, 202, "the fallback is committed: {reply:?}");
    assert!(reply.took_ms <= 5_000.0, "{reply:?}");
}

/// Asserts that the call was refused because of `dependency`, that it may be tried again, and that
/// the refusal came within these milliseconds.
#[track_caller]
fn refused_by(dependency: &str, reply: &Reply, within_ms: f64) {
    assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(reply.text.contains(dependency), "{reply:?}");
    assert!(reply.took_ms <= within_ms, "{reply:?}");
}
