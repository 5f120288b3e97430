//! Who answers, why and when.

use std::time::Duration;

use rendezvous_core::memory::Trouble;
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Fail, Hang, Panic, Score},
    MARGIN_MS, World,
};
use tokio::time::sleep;

use crate::{without_fallback, world};

#[tokio::test(start_paused = true)]
async fn the_champion_wins_even_when_a_challenger_is_faster() {
    let (world, _) = world(Score(80), Score(5), Score(5), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("a@1 preferred", 80.0..=110.0);
    assert_eq!(reply.body["score"]["by"], "a@1");
    assert!(reply.text.contains(r#""score":{"by": "a@1", "p": 0.50}"#), "byte for byte");
    assert_eq!(reply.body["elapsed_ms"], 80.0, "decided when the score came");
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_answers_once_its_time_has_come() {
    let (world, _) = world(Hang, Score(20), Score(5), Score(1)).await;
    world.ask("{}").await.is("b@1 opened", 100.0..=101.0);
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_comes_after_its_time_answers_when_it_comes() {
    let (world, _) = world(Hang, Score(150), Hang, Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("b@1 opened", 150.0..=175.0);
    assert_eq!(reply.body["elapsed_ms"], 150.0);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_champion_costs_no_waiting() {
    let (world, _) = world(Panic, Score(10), Score(5), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("b@1 survivor", 10.0..=15.0);
    let read = world.read(reply.id()).await;
    let failure = read.body["scores"].as_array().unwrap().iter().find(|s| s["model"] == "a@1");
    assert_eq!(failure.unwrap()["failure"]["kind"], "failed");
}

#[tokio::test(start_paused = true)]
async fn everything_fails_and_the_fallback_is_the_answer_at_once() {
    let (world, _) = world(Panic, Fail(10), Fail(30), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("fallback exhausted", 30.0..=40.0);
    assert_eq!(reply.body["score"]["p"], 0.22);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_caller_is_shorter_than_the_schedules() {
    let (world, _) = world(Hang, Score(20), Hang, Score(1)).await;
    let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "60")]).await;
    reply.is("b@1 deadline", 60.0 - MARGIN_MS..=60.0);
    let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "10")]).await;
    reply.is("fallback deadline", 10.0 - MARGIN_MS..=10.0);
    let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "29000")]).await;
    reply.is("b@1 opened", 100.0..=101.0);
}

#[tokio::test(start_paused = true)]
async fn a_preference_to_wait_shortens_the_deadline_in_whole_seconds() {
    let configuration = CONFIGURATION.replace("\"deadline_ms\": 1000", "\"deadline_ms\": 5000");
    let world = World::with(&configuration, Size::default()).await;
    let reply = world.ask_with("{}", &[("Prefer", "wait=2")]).await;
    reply.is("fallback deadline", 2000.0 - MARGIN_MS..=2000.0);
    assert_eq!(reply.headers["preference-applied"], "wait=2");
}

#[tokio::test(start_paused = true)]
async fn no_model_is_up_and_the_fallback_comes_at_the_deadline() {
    let world = World::new().await;
    world.ask("{}").await.is("fallback deadline", 1000.0 - MARGIN_MS..=1000.0);
}

#[tokio::test(start_paused = true)]
async fn no_answer_and_no_fallback_is_a_504_in_time() {
    let without = without_fallback();
    let world = World::with(&without, Size::default()).await;
    let reply = world.ask("{}").await;
    assert_eq!(reply.status, 504, "{reply:?}");
    assert!((1000.0 - MARGIN_MS..=1000.0).contains(&reply.took_ms));
    assert_eq!(world.read(reply.id()).await.answer(), "none deadline");
}

#[tokio::test(start_paused = true)]
async fn ingress_and_rendezvous_race_at_the_deadline_and_agree() {
    // The champion's score arrives while ingress settles.
    for ms in [989, 990, 991, 993, 994, 995, 996, 997, 999] {
        let (world, _) = world(Score(ms), Hang, Hang, Hang).await;
        let reply = world.ask("{}").await;
        assert!(reply.took_ms <= 1000.0);
        world.drain().await;
        assert_eq!(world.read(reply.id()).await.answer(), reply.answer(), "at {ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_answer_is_what_every_later_read_returns_whatever_fails() {
    let (world, models) = world(Score(10), Score(20), Score(30), Score(5)).await;
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut settled = Vec::new();
    for _ in 0..300 {
        for told in &models {
            told.to(match random(8) {
                0 => Panic,
                1 => Fail(random(400)),
                2 => Hang,
                _ => Score(random(1_200)),
            });
            told.faults.kill(random(10) == 0);
        }
        let trouble = [Trouble::Throttled, Trouble::Down, Trouble::Hanging];
        if random(3) == 0 {
            world.system.ledger.outage.set(trouble[usize::try_from(random(3)).unwrap()]);
        }
        let relief = random(1_100);
        let (reply, ()) = tokio::join!(world.ask("{}"), async {
            sleep(Duration::from_millis(relief)).await;
            world.system.ledger.outage.set(Trouble::None);
        });
        assert_eq!(reply.status, 200);
        assert!(reply.took_ms <= 1000.0, "late: {reply:?}");
        if reply.body["settled"] == true {
            settled.push(reply);
        }
    }
    for told in &models {
        told.faults.kill(false);
    }
    world.drain().await;
    assert!(settled.len() > 200, "{} of 300 were settled", settled.len());
    for reply in settled {
        let read = world.read(reply.id()).await;
        for field in ["score", "model", "kind", "reason", "config", "elapsed_ms"] {
            assert_eq!(read.body[field], reply.body[field], "{field} of {reply:?}");
        }
    }
}
