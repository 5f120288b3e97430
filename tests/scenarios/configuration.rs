//! Changes of the configuration and of the models.

use std::time::Duration;

use rendezvous_core::{Json, memory::Trouble};
use rendezvous_tests::{CONFIGURATION, Does::Score};
use tokio::time::sleep;

use crate::world;

#[tokio::test(start_paused = true)]
async fn a_promotion_takes_effect_within_a_second_and_changes_no_request_in_flight() {
    let (world, _) = world(Score(50), Score(10), Score(10), Score(5)).await;
    let promoted = CONFIGURATION.replace("a@1", "x@1").replace("d@1", "a@1").replace("x@1", "d@1");
    let in_flight = world.ask("{}");
    let promotion = async {
        sleep(Duration::from_millis(20)).await;
        assert_eq!(world.publish(&promoted).await, 2);
        sleep(Duration::from_secs(1)).await;
        world.ask("{}").await
    };
    let (before, after) = tokio::join!(in_flight, promotion);
    before.is("a@1 preferred", 50.0..=80.0);
    assert_eq!(before.body["config"], 1);
    after.is("d@1 preferred", 5.0..=26.0);
    assert_eq!(after.body["elapsed_ms"], 5.0);
    assert_eq!(after.body["config"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_takes_longer_to_read_than_a_request_waits_for_it_is_that_of_the_next_one() {
    let (world, _) = world(Score(500), Score(500), Score(500), Score(500)).await;
    assert_eq!(world.ask("{}").await.body["config"], 1);
    assert_eq!(world.publish(CONFIGURATION).await, 2);
    sleep(Duration::from_secs(2)).await;
    // The pointer and the version take 400 ms, and a request waits for a quarter of its deadline of a second.
    world.system.endpoints.outage.set(Trouble::Slow(Duration::from_millis(200)));
    let behind = world.ask("{}").await;
    assert_eq!(behind.body["config"], 1);
    assert!(behind.took_ms < 800.0, "{behind:?}");
    assert_eq!(world.ask("{}").await.body["config"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_model_comes_up_beside_the_others_and_sees_every_request_from_then_on() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.ask("{\"n\": 1}").await;
    let new = world.model("new@1", Score(1));
    world.ask("{\"n\": 2}").await.is("a@1 preferred", 10.0..=15.0);
    assert_eq!(new.asked(), [Json::parse("{\"n\": 2}").unwrap()]);
}
