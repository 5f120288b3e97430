//! Dependencies that fail.

use std::time::Duration;

use rendezvous_core::memory::Trouble;
use rendezvous_tests::{
    Does::{Hang, Score},
    MARGIN_MS,
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
        world.ask("{}").await.is("a@1 preferred", 10.0..=120.0);
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
