//! Dependencies that fail.

use std::time::Duration;

use http::Method;
use rendezvous_core::memory::Trouble;
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
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
async fn a_secret_that_is_slow_is_waited_for_within_the_deadline() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.system.secrets.outage.set(Trouble::Slow(Duration::from_millis(200)));
    world.ask_with("{}", &[("Idempotency-Key", "k")]).await.is("a@1 preferred", 210.0..=220.0);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_down_for_a_moment_is_watched_again() {
    let (world, _) = world(Score(10), Score(500), Score(500), Score(500)).await;
    world.system.ledger.outage.set(Trouble::Down);
    let relief = async {
        sleep(Duration::from_millis(50)).await;
        world.system.ledger.outage.set(Trouble::None);
    };
    let (reply, ()) = tokio::join!(world.ask("{}"), relief);
    // The score is delivered again after 100 ms.
    reply.is("a@1 preferred", 100.0..=150.0);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_cannot_be_committed_is_answered_after_four_margins() {
    let world = World::new().await;
    world.system.input.outage.set(Trouble::Down);
    world.system.ledger.outage.set(Trouble::Hanging);
    let reply = world.ask("{}").await;
    reply.is("fallback unavailable unsettled", 4.0 * MARGIN_MS..=4.0 * MARGIN_MS + 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_read_and_a_report_wait_five_seconds_for_a_table() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let id = world.ask("{}").await.id();
    let outcome = format!("/v1/endpoints/e/requests/{id}/outcome");
    world.system.outcomes.outage.set(Trouble::Hanging);
    let reported = world.call(Method::PUT, &outcome, &[], "1").await;
    assert_eq!((reported.status, reported.took_ms), (503, 5_000.0));
    world.system.ledger.outage.set(Trouble::Hanging);
    let read = world.read(id).await;
    assert_eq!((read.status, read.took_ms), (503, 5_000.0));
}

#[tokio::test(start_paused = true)]
async fn without_a_mailbox_nothing_is_promised_that_cannot_be_read_or_answered() {
    let world = World::new().await;
    let keyed = ("Idempotency-Key", "k");
    world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "10")]).await;
    world.system.ledger.outage.set(Trouble::Down);
    // The endpoint has a fallback, but an asynchronous caller reads the ledger later.
    let reply = world.ask_with("{}", &[keyed, ("Prefer", "respond-async")]).await;
    refused_by("ledger", &reply, 1.0);
    world.publish(&without_fallback()).await;
    sleep(Duration::from_secs(1)).await;
    refused_by("ledger", &world.ask_with("{}", &[keyed]).await, 1.0);
}

#[tokio::test(start_paused = true)]
async fn only_an_asynchronous_request_is_sent_within_five_seconds_or_not_at_all() {
    let longer = CONFIGURATION.replace("\"deadline_ms\": 1000", "\"deadline_ms\": 10000");
    let world = World::with(&longer, Size::default()).await;
    world.model("a@1", Score(10));
    world.system.input.outage.set(Trouble::Slow(Duration::from_secs(6)));
    world.ask("{}").await.is("a@1 preferred", 6_010.0..=6_020.0);
    let headers = [("Prefer", "respond-async")];
    world.system.input.outage.set(Trouble::Slow(Duration::from_secs(4)));
    let accepted = world.ask_with("{}", &headers).await;
    sleep(Duration::from_millis(50)).await;
    world.read(accepted.id()).await.is("a@1 preferred", 0.0..=1.0);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_read_just_at_the_deadline_is_used() {
    let world = World::new().await;
    // The pointer and the version.
    world.system.endpoints.outage.set(Trouble::Slow(Duration::from_millis(500)));
    let reply = world.ask("{}").await;
    reply.is("fallback deadline", 1_000.0..=1_000.0);
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
