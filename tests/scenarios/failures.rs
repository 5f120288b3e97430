//! Answers that no model gave say why.

use rendezvous_core::memory::Trouble;
use rendezvous_sim::Size;
use rendezvous_tests::{
    Does::{Fail, Hang, Panic, Score},
    World,
};
use serde_json::json;

use crate::{without_fallback, world};

#[tokio::test(start_paused = true)]
async fn a_fallback_says_how_each_choice_failed() {
    let (world, _) = world(Panic, Fail(10), Fail(30), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("fallback exhausted", 30.0..=40.0);
    let expected = json!([
        { "model": "a@1", "kind": "failed", "message": "the model panicked" },
        { "model": "b@1", "kind": "failed", "message": "as told" },
        { "model": "c@1", "kind": "failed", "message": "as told" },
    ]);
    assert_eq!(reply.body["failures"], expected);
    assert_eq!(world.read(reply.id()).await.body["failures"], expected);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_at_the_deadline_names_the_silent_ones() {
    let (world, _) = world(Hang, Fail(10), Hang, Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("fallback deadline", 990.0..=1000.0);
    let expected = json!([
        { "model": "a@1", "kind": "silent" },
        { "model": "b@1", "kind": "failed", "message": "as told" },
        { "model": "c@1", "kind": "silent" },
    ]);
    assert_eq!(reply.body["failures"], expected);
    assert_eq!(world.read(reply.id()).await.body["failures"], expected);
}

#[tokio::test(start_paused = true)]
async fn a_504_says_how_each_choice_failed() {
    let world = World::with(&without_fallback(), Size::default()).await;
    world.model("a@1", Fail(10));
    let reply = world.ask("{}").await;
    assert_eq!(reply.status, 504);
    let expected = json!([
        { "model": "a@1", "kind": "failed", "message": "as told" },
        { "model": "b@1", "kind": "silent" },
        { "model": "c@1", "kind": "silent" },
    ]);
    assert_eq!(reply.body["failures"], expected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_model_or_without_the_models_has_no_failures() {
    let (world, _) = world(Panic, Score(10), Score(10), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("b@1 survivor", 10.0..=15.0);
    assert!(reply.body.get("failures").is_none());
    // No model was asked, so none has failed.
    world.system.input.outage.set(Trouble::Down);
    let reply = world.ask("{}").await;
    reply.is("fallback unavailable", 0.0..=1.0);
    assert!(reply.body.get("failures").is_none());
}
