//! Requests whose client does not wait (`respond-async`).

use std::time::Duration;

use rendezvous_tests::{
    Does::{Hang, Score},
    World,
};
use tokio::time::sleep;

use crate::world;

#[tokio::test(start_paused = true)]
async fn the_answer_to_an_asynchronous_request_is_read_later() {
    let (world, _) = world(Score(50), Score(10), Score(10), Score(10)).await;
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    assert_eq!(reply.status, 202);
    assert!(reply.took_ms < 1.0);
    let path = reply.headers["location"].to_str().unwrap().to_owned();
    let open = world.get(&path).await;
    assert_eq!((open.status, open.body["scores"].as_array().unwrap().len()), (202, 0));
    sleep(Duration::from_millis(20)).await;
    // Those of the other two choices; the observer's is only archived.
    assert_eq!(world.get(&path).await.body["scores"].as_array().unwrap().len(), 2);
    sleep(Duration::from_millis(31)).await;
    world.get(&path).await.is("a@1 preferred", 0.0..=1.0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_is_decided_by_the_first_read_after_its_time() {
    let (world, _) = world(Hang, Score(10), Hang, Hang).await;
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    sleep(Duration::from_secs(3)).await;
    let read = world.read(reply.id()).await;
    read.is("b@1 opened", 0.0..=1.0);
    assert_eq!(world.read(reply.id()).await.text, read.text);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_so_the_deadline_may_be_longer_than_the_schedules() {
    let world = World::new().await;
    world.model_with("a@1", Score(20_000), |profile| profile.timeout = Duration::from_secs(24));
    let ten_minutes = [("Prefer", "respond-async"), ("Rendezvous-Deadline-Ms", "600000")];
    let reply = world.ask_with("{}", &ten_minutes).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.headers["rendezvous-deadline-ms"], "600000");
    sleep(Duration::from_secs(19)).await;
    assert_eq!(world.read(reply.id()).await.status, 202, "the schedule's deadline is 1 s");
    sleep(Duration::from_secs(2)).await;
    let read = world.read(reply.id()).await;
    read.is("a@1 preferred", 0.0..=1.0);
    assert_eq!(read.body["elapsed_ms"], 20_000.0);
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_request_without_an_answer_ends_at_its_own_deadline() {
    let world = World::new().await;
    let ten_minutes = [("Prefer", "respond-async"), ("Rendezvous-Deadline-Ms", "600000")];
    let reply = world.ask_with("{}", &ten_minutes).await;
    sleep(Duration::from_millis(599_999)).await;
    assert_eq!(world.read(reply.id()).await.status, 202);
    sleep(Duration::from_millis(1)).await;
    let read = world.read(reply.id()).await;
    read.is("fallback deadline", 0.0..=1.0);
    assert_eq!(read.body["elapsed_ms"], 600_000.0);
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_of_its_own_an_asynchronous_request_has_the_schedules() {
    let world = World::new().await;
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    assert!(!reply.headers.contains_key("rendezvous-deadline-ms"));
    sleep(Duration::from_secs(1)).await;
    world.read(reply.id()).await.is("fallback deadline", 0.0..=1.0);
}
