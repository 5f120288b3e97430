//! Requests that nobody waits for and nobody reads are decided all the same.

use std::time::Duration;

use rendezvous_archive::DecisionRow;
use rendezvous_core::{
    Mailbox, RequestId,
    memory::Trouble,
    ports::{Consistency, Ledger},
};
use rendezvous_sim::{Size, mapping::Mapping};
use rendezvous_tests::{CONFIGURATION, Does::Score, Reply, World, rows};
use tokio::time::sleep;

/// A world whose ledger's changes come to the monitor as late as on AWS.
async fn world() -> World {
    let usual = Size::default();
    let window = Duration::from_mins(1);
    let monitor = usual.monitor.clone();
    let monitor = monitor.map(|usual| Mapping { maximum_batching_window: window, ..usual });
    World::with(CONFIGURATION, Size { monitor, ..usual }).await
}

async fn mailbox(world: &World, id: RequestId) -> Option<Mailbox> {
    world.system.ledger.read(id, Consistency::Strong).await.unwrap()
}

/// The kind and the reason of the decision that the ledger holds, unless there is none.
async fn decision(world: &World, id: RequestId) -> Option<String> {
    let decision = mailbox(world, id).await?.decision?;
    Some(format!("{} {}", decision.kind.as_str(), decision.reason.as_str()))
}

async fn ask_async(world: &World) -> Reply {
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    assert_eq!(reply.status, 202);
    reply
}

/// The decisions in the archive, each as its request and its reason.
async fn archived(world: &World) -> Vec<(RequestId, &'static str)> {
    world.drain().await;
    let files = world.system.archive.files();
    let rows: Vec<DecisionRow<'_>> = rows(&files);
    rows.into_iter().map(|row| (row.request_id, row.reason.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_request_is_decided_within_three_minutes_of_its_deadline() {
    let world = world().await;
    world.model("b@1", Score(10));
    let mut ids = [ask_async(&world).await.id(), ask_async(&world).await.id()];
    ids.sort_unstable();
    // The schedule's deadline is 1 s.
    sleep(Duration::from_secs(1) + Duration::from_mins(3)).await;
    for id in ids {
        assert_eq!(decision(&world, id).await.as_deref(), Some("stand_in opened"));
    }
    let mut archived = archived(&world).await;
    archived.sort_unstable();
    assert_eq!(archived, [(ids[0], "opened"), (ids[1], "opened")]);
    let monitor = world.system.counters.totals().monitor;
    assert_eq!((monitor.listed, monitor.settled), (2, 2));
    assert!(monitor.latest < Duration::from_mins(3), "{monitor:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_deadline_is_waited_for() {
    let world = world().await;
    let ten_minutes = [("Prefer", "respond-async"), ("Rendezvous-Deadline-Ms", "600000")];
    let id = world.ask_with("{}", &ten_minutes).await.id();
    sleep(Duration::from_secs(599)).await;
    assert_eq!(decision(&world, id).await, None);
    sleep(Duration::from_secs(1) + Duration::from_mins(3)).await;
    assert_eq!(decision(&world, id).await.as_deref(), Some("fallback deadline"));
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_decided_in_time_cost_no_call_of_the_ledger() {
    let world = world().await;
    world.model("a@1", Score(50));
    // Its score makes a mailbox without a decision.
    world.model("b@1", Score(10));
    for _ in 0..20 {
        world.ask("{}").await.is("a@1 preferred", 50.0..=51.0);
    }
    let calls = world.system.ledger.calls();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(world.system.ledger.calls(), calls);
    assert_eq!(world.system.counters.totals().monitor.listed, 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_the_ledger_all_overdue_requests_are_decided() {
    let world = world().await;
    let id = ask_async(&world).await.id();
    world.system.ledger.outage.set(Trouble::Down);
    sleep(Duration::from_mins(30)).await;
    world.system.ledger.outage.set(Trouble::None);
    assert_eq!(decision(&world, id).await, None);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(decision(&world, id).await.as_deref(), Some("fallback deadline"));
}

#[tokio::test(start_paused = true)]
async fn while_the_list_cannot_be_written_the_batch_is_delivered_again() {
    let world = world().await;
    world.system.windows.outage.set(Trouble::Throttled);
    let id = ask_async(&world).await.id();
    sleep(Duration::from_mins(30)).await;
    assert_eq!(decision(&world, id).await, None);
    world.system.windows.outage.set(Trouble::None);
    sleep(Duration::from_mins(2)).await;
    assert_eq!(decision(&world, id).await.as_deref(), Some("fallback deadline"));
}

/// A request that was never sent can be repeated with success: a decision would prevent that.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_sent_is_left_to_a_repeat_of_its_key() {
    let world = world().await;
    world.publish(&crate::without_fallback()).await;
    let ask = || world.ask_as("ann", "{}", &[("Idempotency-Key", "k")]);
    world.system.input.outage.set(Trouble::Down);
    let refused = ask().await;
    assert_eq!(refused.status, 503);
    world.system.input.outage.set(Trouble::None);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(decision(&world, refused.id()).await, None);
    world.model("a@1", Score(10));
    ask().await.is("a@1 preferred", 9.0..=12.0);
}
