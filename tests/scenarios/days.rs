//! What is known of a day's models once its outcomes have come.

use std::time::Duration;

use http::Method;
use rendezvous_core::{Minute, Timestamp, memory::Trouble, now};
use rendezvous_evidence::Confidence;
use rendezvous_monitor::{
    alarms,
    day::{KeptDay, day_of, kept},
};
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Echo, Score},
    World, endpoint, model,
};
use tokio::time::sleep;

const DAY: Duration = Duration::from_hours(24);

/// Outcomes are awaited for a day.
async fn world() -> World {
    let world = World::new().await;
    let fields = "\"/p\", \"outcome\": \"/late\", \"outcome_horizon_days\": 1";
    world.publish(&CONFIGURATION.replace("\"/p\"", fields)).await;
    world.model("a@1", Score(20));
    world.model("b@1", Echo(20, ""));
    world.model("d@1", Score(20));
    world
}

/// So many requests of which `b@1` says 0.9; what has happened is reported, of as many as are given.
async fn requests(world: &World, count: usize, happened: &[bool]) {
    for number in 0..count {
        let id = world.ask("{\"p\": 0.9}").await.id();
        sleep(Duration::from_secs(1)).await;
        if let Some(late) = happened.get(number) {
            let path = format!("/v1/endpoints/e/requests/{id}/outcome");
            let outcome = format!("{{\"late\": {late}}}");
            assert_eq!(world.call(Method::PUT, &path, &[], &outcome).await.status, 204);
        }
    }
}

async fn days(world: &World) -> Vec<(Minute, KeptDay)> {
    let all = Minute::FIRST..Minute::of(now());
    kept(&*world.system.windows, &endpoint(), all).await.unwrap().into_iter().collect()
}

async fn calibration(world: &World, from: Timestamp) -> Vec<String> {
    let kept = alarms::kept(&*world.system.windows, &endpoint(), from).await.unwrap();
    kept.into_iter()
        .filter(|kept| kept.alarm.starts_with("calibration") && kept.ended_us.is_none())
        .map(|kept| format!("{} of {}: {}", kept.alarm, kept.names(), kept.figures()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_day_is_computed_when_its_outcomes_are_known() {
    let (world, start) = (world().await, now());
    let happened: Vec<bool> = (0..240).map(|number| number % 2 == 0).collect();
    requests(&world, 250, &happened).await;
    sleep(DAY).await;
    assert_eq!(days(&world).await, [], "it is too early");
    sleep(DAY).await;
    let [(first, kept)] = &days(&world).await[..] else { panic!("not one day") };
    assert_eq!(*first, day_of(start));
    let day = &kept.day;
    assert_eq!((day.requests, day.with_outcome, day.undecided), (250, 240, 0));
    let of = |id: &str| &day.models[&model(id)];
    let (b, c) = (of("b@1"), of("c@1"));
    assert_eq!((b.expected, b.missing, b.outcomes.count()), (250, 0, 240));
    assert_eq!((c.missing, c.outcomes.count()), (250, 0), "c@1 is not up");
    let excess = |id| of(id).outcomes.means().map(|(predicted, observed)| predicted - observed);
    assert!(excess("a@1").unwrap().abs() < 1e-9 && (excess("b@1").unwrap() - 0.4).abs() < 1e-9);
    // (0.01 + 0.81) / 2 - 0.25
    let difference = b.against.unwrap().brier().unwrap().interval(Confidence::DEFAULT).unwrap();
    assert!((difference.estimate - 0.16).abs() < 1e-9, "{difference:?}");
    assert_eq!(of("a@1").against, None);
    let [alarm] = &calibration(&world, start).await[..] else { panic!("not one alarm") };
    assert!(
        alarm.starts_with(
            "calibration_high of b@1: predicted 0.900, observed 0.500 on 240 requests"
        ),
        "{alarm}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_day_whose_archive_cannot_be_read_is_computed_later_and_once_more_for_late_outcomes() {
    let (world, start) = (world().await, now());
    requests(&world, 10, &[true; 5]).await;
    let late = world.ask("{\"p\": 0.9}").await.id();
    world.drain().await;
    world.system.archive.outage.set(Trouble::Down);
    sleep(DAY * 2).await;
    assert_eq!(days(&world).await, []);
    world.system.archive.outage.set(Trouble::None);
    sleep(DAY).await;
    let [first, _] = &days(&world).await[..] else { panic!("not two days") };
    assert_eq!((first.0, first.1.day.with_outcome), (day_of(start), 5));
    let path = format!("/v1/endpoints/e/requests/{late}/outcome");
    assert_eq!(world.call(Method::PUT, &path, &[], "{\"late\": true}").await.status, 204);
    sleep(DAY * 3).await;
    assert_eq!(days(&world).await[0].1.day.with_outcome, 6);
}
