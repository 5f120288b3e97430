//! Requests that are sent again with their idempotency key.

use std::{sync::Arc, time::Duration};

use rendezvous_core::memory::{MemoryLedger, Trouble};
use rendezvous_sim::{
    Conditions, Size,
    fault::{Fault, Shares},
    weather::Weather,
};
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Hang, Panic, Score},
    World,
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{without_fallback, world};

#[tokio::test(start_paused = true)]
async fn two_settlers_race_and_both_return_the_same_decision() {
    let (world, models) = world(Hang, Score(20), Score(20), Score(1)).await;
    let key = [("Idempotency-Key", "race")];
    let (one, two) = tokio::join!(world.ask_with("{}", &key), world.ask_with("{}", &key));
    one.is("b@1 opened", 100.0..=101.0);
    assert_eq!(one.text, two.text);
    assert!((1..=2).contains(&models[1].asked().len()), "a repeat that finds no mark sends again");
    assert_eq!(world.read(one.id()).await.answer(), "b@1 opened");
}

#[tokio::test(start_paused = true)]
async fn the_same_idempotency_key_with_the_same_payload_gets_the_same_answer() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-7")];
    let first = world.ask_with("{\"n\": 1}", &key).await;
    first.is("a@1 preferred", 10.0..=15.0);
    sleep(Duration::from_secs(5)).await;
    models[0].to(Panic);
    let again = world.ask_with("{\"n\": 1}", &key).await;
    assert_eq!(again.text, first.text);
    assert!(again.took_ms < 1.0, "{again:?}");
    assert_eq!(models[0].asked().len(), 1, "it was sent once");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_answered_from_the_decision_although_the_ledger_fails_then() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-9")];
    let first = world.ask_with("{}", &key).await;
    world.system.input.outage.set(Trouble::Down);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(world.ask_with("{}", &key).await.text, first.text);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_was_accepted_but_not_confirmed_still_gets_its_models_answer() {
    let (world, _) = world(Hang, Score(20), Hang, Hang).await;
    let key = [("Idempotency-Key", "order-10")];
    let first = world.ask_with("{}", &key);
    // A repeat arrives while the stream is down and the mailbox is not marked yet.
    let repeat = async {
        sleep(Duration::from_millis(30)).await;
        world.system.input.outage.set(Trouble::Down);
        world.ask_with("{}", &key).await
    };
    let (first, repeat) = tokio::join!(first, repeat);
    first.is("b@1 opened", 100.0..=101.0);
    assert_eq!(repeat.text, first.text);
}

#[tokio::test(start_paused = true)]
async fn the_same_idempotency_key_with_another_payload_is_refused() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-7")];
    let first = world.ask_with("{\"n\": 1}", &key).await;
    let (reads, writes) = world.system.ledger.calls();
    assert_eq!(world.ask_with("{\"n\": 1}", &key).await.text, first.text);
    assert_eq!(world.system.ledger.calls(), (reads, writes + 1), "a repeat costs one write");
    assert_eq!(world.system.counters.totals().ingress.repeats, 1);
    let other = world.ask_with("{\"n\":1}", &key).await;
    assert_eq!(other.status, 409, "{other:?}");
    assert_eq!(other.id(), first.id());
    assert_eq!(models[0].asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_sends_again_what_the_stream_had_not_accepted() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let without = without_fallback();
    world.publish(&without).await;
    sleep(Duration::from_secs(1)).await;
    let key = [("Idempotency-Key", "order-8")];
    world.system.input.outage.set(Trouble::Down);
    assert_eq!(world.ask_with("{}", &key).await.status, 503);
    world.system.input.outage.set(Trouble::None);
    world.ask_with("{}", &key).await.is("a@1 preferred", 10.0..=15.0);
    assert_eq!(models[0].asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_cannot_reach_the_ledger_decides_nothing_for_the_first() {
    let (world, _) = world(Score(500), Hang, Hang, Hang).await;
    let key = ("Idempotency-Key", "order-11");
    let first = [key];
    let first = world.ask_with("{}", &first);
    let hurried = [key, ("Rendezvous-Deadline-Ms", "60")];
    let repeat = async {
        sleep(Duration::from_millis(30)).await;
        world.system.ledger.outage.set(Trouble::Hanging);
        world.ask_with("{}", &hurried).await
    };
    let relief = async {
        sleep(Duration::from_millis(50)).await;
        world.system.ledger.outage.set(Trouble::None);
    };
    let (first, repeat, ()) = tokio::join!(first, repeat, relief);
    repeat.is("fallback unavailable unsettled", 55.0..=60.0);
    first.is("a@1 preferred", 500.0..=1000.0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_a_503_asked_for_succeeds_also_after_the_first_deadline() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.publish(&without_fallback()).await;
    sleep(Duration::from_secs(1)).await;
    let key = [("Idempotency-Key", "order-12")];
    world.system.input.outage.set(Trouble::Down);
    let refused = world.ask_with("{}", &key).await;
    assert_eq!((refused.status, &refused.headers["retry-after"]), (503, &"1".parse().unwrap()));
    world.system.input.outage.set(Trouble::None);
    for pause in [Duration::from_secs(1), Duration::from_hours(24)] {
        sleep(pause).await;
        let reply = world.ask_with("{}", &key).await;
        reply.is("a@1 preferred", 0.0..=15.0);
        assert_eq!(reply.id(), refused.id());
        assert_eq!(reply.body["elapsed_ms"], 10.0, "from the receipt of the retry");
    }
    assert_eq!(models[0].asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_an_asynchronous_request_has_fresh_times_too() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.publish(&without_fallback()).await;
    sleep(Duration::from_secs(1)).await;
    let headers = [("Idempotency-Key", "order-13"), ("Prefer", "respond-async")];
    world.system.input.outage.set(Trouble::Down);
    assert_eq!(world.ask_with("{}", &headers).await.status, 503);
    world.system.input.outage.set(Trouble::None);
    sleep(Duration::from_secs(5)).await;
    let accepted = world.ask_with("{}", &headers).await;
    assert_eq!(accepted.status, 202);
    sleep(Duration::from_millis(20)).await;
    world.read(accepted.id()).await.is("a@1 preferred", 0.0..=1.0);
}

/// Ingress ends after it has opened the mailbox and before the stream has accepted the request.
async fn die_between_open_and_send(world: &World, key: &[(&str, &str)]) {
    world.system.input.outage.set(Trouble::Hanging);
    let died = timeout(Duration::from_millis(20), world.ask_with("{}", key)).await;
    assert!(died.is_err());
    world.system.input.outage.set(Trouble::None);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_sends_what_ingress_had_opened_when_it_died() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-14")];
    die_between_open_and_send(&world, &key).await;
    // The first deadline has not passed: it counts.
    let reply = world.ask_with("{}", &key).await;
    reply.is("a@1 preferred", 10.0..=15.0);
    let elapsed = reply.body["elapsed_ms"].as_f64().unwrap();
    assert!((30.0..=35.0).contains(&elapsed), "{elapsed} ms from the receipt of the first call");
    assert_eq!(models[0].asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_ingress_had_opened_long_ago_gets_fresh_times_and_the_current_configuration() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-15")];
    die_between_open_and_send(&world, &key).await;
    let promoted = CONFIGURATION.replace("a@1", "x@1").replace("b@1", "a@1").replace("x@1", "b@1");
    world.publish(&promoted).await;
    sleep(Duration::from_secs(5)).await;
    let (one, two) = tokio::join!(world.ask_with("{}", &key), world.ask_with("{}", &key));
    one.is("b@1 preferred", 10.0..=15.0);
    assert_eq!((one.text.as_str(), &one.body["config"]), (two.text.as_str(), &json!(2)));
    assert!((1..=2).contains(&models[0].asked().len()), "a repeat that finds no mark sends again");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_ledger_has_forgotten_gives_a_new_request() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-16")];
    let first = world.ask_with("{}", &key).await;
    sleep(MemoryLedger::RETENTION).await;
    let again = world.ask_with("{}", &key).await;
    again.is("a@1 preferred", 10.0..=15.0);
    assert_eq!(again.id(), first.id());
    assert_eq!(models[0].asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_was_lost_is_no_repeat() {
    let weather = Arc::new(Weather::new(Shares::default().with(Fault::SentAgain, 1.0)));
    let conditions = Conditions { weather: Some(weather), ..Conditions::default() };
    let world = World::with(CONFIGURATION, Size { conditions, ..Size::default() }).await;
    world.model("a@1", Score(10));
    for headers in [&[("Idempotency-Key", "order-17")][..], &[("Prefer", "respond-async")]] {
        let reply = world.ask_with("{}", headers).await;
        sleep(Duration::from_millis(20)).await;
        world.read(reply.id()).await.is("a@1 preferred", 0.0..=1.0);
    }
    let answered = world.system.counters.totals().ingress;
    assert_eq!((answered.repeats, answered.answers["champion"]), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_within_the_same_millisecond_is_not_sent_again() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let headers = [("Idempotency-Key", "order-18"), ("Prefer", "respond-async")];
    let first = world.ask_with("{}", &headers).await;
    let again = world.ask_with("{}", &headers).await;
    assert_eq!((again.status, &again.text), (202, &first.text));
    assert!(first.took_ms + again.took_ms < 1.0, "{first:?} {again:?}");
    sleep(Duration::from_millis(20)).await;
    world.read(first.id()).await.is("a@1 preferred", 0.0..=1.0);
    assert_eq!(models[0].asked().len(), 1, "the mailbox was marked as accepted");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_an_asynchronous_request_that_is_decided_is_not_sent() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let headers = [("Idempotency-Key", "order-19"), ("Prefer", "respond-async")];
    world.system.input.outage.set(Trouble::Down);
    assert_eq!(world.ask_with("{}", &headers).await.status, 202, "the fallback is committed");
    world.system.input.outage.set(Trouble::None);
    let again = world.ask_with("{}", &headers).await;
    assert_eq!(again.status, 202);
    sleep(Duration::from_millis(20)).await;
    world.read(again.id()).await.is("fallback unavailable", 0.0..=1.0);
    assert!(models[0].asked().is_empty(), "its decision stands");
}
