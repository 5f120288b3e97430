//! A choice whose model is dead costs no waiting after a while.

use std::time::Duration;

use rendezvous_core::{
    ModelId,
    ports::{Consistency, EndpointTable, Ledger},
};
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Hang, Score},
    World,
};
use tokio::time::sleep;

use crate::world;

/// Asks so many times, a request every 100 ms, and returns the last reply.
async fn ask(world: &World, requests: usize) -> rendezvous_tests::Reply {
    let mut last = world.ask("{}").await;
    for _ in 1..requests {
        sleep(Duration::from_millis(100)).await;
        last = world.ask("{}").await;
    }
    last
}

#[tokio::test(start_paused = true)]
async fn a_dead_champion_costs_no_waiting_after_three_seconds_and_is_back_with_its_first_message() {
    let (world, [a, ..]) = world(Score(5), Score(20), Score(5), Score(1)).await;
    ask(&world, 20).await.is("a@1 preferred", 5.0..=6.0);
    a.faults.kill(true);
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(2_900) {
        world.ask("{}").await.is("b@1 opened", 100.0..=101.0);
    }
    sleep(Duration::from_millis(1_200)).await;
    let reply = world.ask("{}").await;
    reply.is("b@1 survivor", 20.0..=21.0);
    let read = world.read(reply.id()).await;
    assert_eq!(read.answer(), "b@1 survivor");

    a.faults.kill(false);
    // Lambda hands the requests of its absence over first.
    sleep(Duration::from_secs(2)).await;
    world.ask("{}").await.is("a@1 preferred", 5.0..=6.0);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_deployed_is_presumed_silent() {
    let world = World::new().await;
    world.model("b@1", Score(20));
    ask(&world, 40).await.is("b@1 survivor", 20.0..=21.0);
}

#[tokio::test(start_paused = true)]
async fn a_slower_champion_is_never_presumed_silent() {
    // It sends its score after every deadline.
    let configuration = CONFIGURATION.replace("1000", "300");
    let world = World::with(&configuration, rendezvous_sim::Size::default()).await;
    world.model("a@1", Score(800));
    world.model("b@1", Score(20));
    for _ in 0..60 {
        world.ask("{}").await.is("b@1 opened", 100.0..=101.0);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_can_switch_it_off() {
    let never = CONFIGURATION.replace("\"deadline_ms\"", "\"silent_after\": 0, \"deadline_ms\"");
    let (world, _) = world(Hang, Score(20), Score(5), Score(1)).await;
    world.publish(&never).await;
    sleep(Duration::from_secs(2)).await;
    for _ in 0..60 {
        world.ask("{}").await.is("b@1 opened", 100.0..=101.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_can_be_computed_again_from_what_it_records() {
    let world = World::new().await;
    world.model("b@1", Score(20));
    let reply = ask(&world, 40).await;
    let read = world.system.ledger.read(reply.id(), Consistency::Strong).await;
    let mailbox = read.unwrap().unwrap();
    let decision = mailbox.decision.clone().unwrap();
    let presumed: Vec<&str> = decision.presumed.iter().map(ModelId::as_str).collect();
    assert_eq!(presumed, ["a@1", "c@1"], "the choices that are not up");
    let endpoint = world.system.endpoints.version(&mailbox.envelope.endpoint, decision.config);
    let endpoint = endpoint.await.unwrap().unwrap();
    let schedule = endpoint.configuration.schedule(&decision.arm);
    let open = rendezvous_core::Mailbox { decision: None, ..mailbox.clone() };
    let (received, deadline) = (mailbox.envelope.received, mailbox.envelope.deadline);
    let decide = |presumed| schedule.decide(received, deadline, decision.decided, &open, presumed);
    let again = decide(&decision.presumed);
    let rendezvous_core::Verdict::Settle(settled) = again else { panic!("{again:?}") };
    assert_eq!((settled.kind, settled.reason), (decision.kind, decision.reason));
    assert!(matches!(decide(&[]), rendezvous_core::Verdict::WaitUntil(_)));
}
