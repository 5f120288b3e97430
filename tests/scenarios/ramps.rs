//! Arms whose share grows, or that end, by the figures of their guards.

use std::time::Duration;

use http::Method;
use rendezvous_core::{Endpoint, Publication, memory::Trouble, now, ports::EndpointTable};
use rendezvous_monitor::alarms::{KeptAlarm, kept};
use rendezvous_tests::{
    CONFIGURATION,
    Does::{self, Echo, Fail, Number, Say, Score},
    START, World, endpoint,
};
use tokio::time::sleep;

/// The usual endpoint with a guarded arm `next`, in which only `b@1` may answer.
fn configuration() -> String {
    CONFIGURATION.replace(
        "\"observers\"",
        r#""arms": [ { "name": "next", "steps": [0.5, 1.0],
                       "schedule": { "choices": [ { "model": "b@1" } ],
                                     "deadline_ms": 500, "fallback": { "p": 0.22 } },
                       "guard": { "hold_minutes": 5, "fallback_rate": 0.05, "disagreement": 0.2 } } ],
           "observers""#,
    )
}

async fn world() -> World {
    let world = World::new().await;
    world.model("a@1", Score(20));
    world.publish(&configuration()).await;
    world
}

/// Requests for so many minutes, one a second.
async fn traffic(world: &World, minutes: u64) {
    for _ in 0..minutes * 60 {
        world.ask("{}").await;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn current(world: &World) -> Endpoint {
    let table = &world.system.endpoints;
    let version = table.current(&endpoint()).await.unwrap().unwrap();
    let found = table.version(&endpoint(), version).await.unwrap().unwrap();
    Endpoint::clone(&found)
}

/// The versions that the monitor has published.
async fn published(world: &World) -> Vec<Publication> {
    let history = world.system.endpoints.history(&endpoint()).await.unwrap();
    let by_monitor = |publication: &Publication| {
        publication.provenance.as_ref().is_some_and(|by| by.author() == "monitor")
    };
    history.into_iter().filter(by_monitor).collect()
}

/// The alarms of ramps that have stopped.
async fn stopped(world: &World) -> Vec<KeptAlarm> {
    let all = kept(&*world.system.windows, &endpoint(), START).await.unwrap();
    all.into_iter().filter(|alarm| alarm.alarm == "ramp_stopped").collect()
}

fn message(publication: &Publication) -> &str {
    publication.provenance.as_ref().unwrap().message()
}

#[tokio::test(start_paused = true)]
async fn a_bad_arm_is_removed_with_its_figures_and_a_second_try_is_judged_by_its_own() {
    let world = world().await;
    let b = world.model("b@1", Fail(5));
    traffic(&world, 10).await;
    let [removed] = &published(&world).await[..] else { panic!("not one version") };
    assert!(message(removed).contains("a condition is violated"), "{removed:?}");
    assert!(message(removed).contains("not answered by a model: 100.00 %"), "{removed:?}");
    assert_eq!(removed.replaced, Some(2));
    assert!(current(&world).await.configuration.draft().arms.is_empty());
    let [stopped] = &stopped(&world).await[..] else { panic!("not one alarm") };
    assert_eq!((stopped.names().as_str(), stopped.ended_us), ("next", None));
    assert_eq!(stopped.figures(), message(removed));
    sleep(Duration::from_mins(30)).await;
    assert_eq!(self::stopped(&world).await[0].ended_us, None, "nobody has published");

    b.to(Score(20));
    world.publish(&configuration()).await;
    traffic(&world, 25).await;
    assert!(self::stopped(&world).await[0].ended_us.is_some(), "until the next version");
    let messages: Vec<_> = published(&world).await.iter().map(|p| message(p).to_owned()).collect();
    assert!(messages[1..].iter().all(|message| message.contains("every condition holds")));
    assert!(messages.len() > 1, "the second try does not step");
}

/// The message with which an arm is removed whose champion does this; that of `main` is quick and returns the number that it is asked about.
async fn removed(does: Does, guard: &str) -> String {
    let world = World::new().await;
    world.model("a@1", Number(20, "/p"));
    world.model("b@1", does);
    world.publish(&configuration().replace("\"disagreement\": 0.2", guard)).await;
    for number in 0..20 * 60_u32 {
        world.ask(&format!("{{\"p\": 0.{}}}", number % 10)).await;
        sleep(Duration::from_secs(1)).await;
    }
    let [removed] = &published(&world).await[..] else { panic!("not one version") };
    assert!(current(&world).await.configuration.draft().arms.is_empty());
    message(removed).to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_slow_arm_is_removed() {
    let message = removed(Number(200, "/p"), "\"p99_ms\": 100").await;
    assert!(message.contains("a condition is violated"), "{message}");
    assert!(message.contains("answered later than p99_ms: 100.00 %"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_arm_that_returns_constants_is_removed() {
    let message = removed(Say(20, 0.9), "\"disagreement\": 0.2").await;
    assert!(message.contains("a condition is violated"), "{message}");
    assert!(message.contains("at most 20.00 % allowed, violated"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_good_arm_steps_and_becomes_main() {
    let world = world().await;
    world.model("b@1", Score(20));
    traffic(&world, 45).await;
    let [stepped, finished] = &published(&world).await[..] else { panic!("not two versions") };
    assert!(message(stepped).contains("steps on, every condition holds"), "{stepped:?}");
    assert!(message(finished).contains("becomes main, every condition holds"), "{finished:?}");
    let held = finished.published.since(stepped.published);
    assert!(held >= Duration::from_mins(5), "{held:?}");
    let configuration = current(&world).await.configuration;
    assert_eq!(configuration.draft().schedule.champion().as_str(), "b@1");
    assert!(configuration.draft().arms.is_empty());
}

/// Half an hour of a good arm, while an operator publishes another configuration every four minutes; how many versions
/// of the monitor there are then.
async fn published_beside(change: impl Fn(&str, u32) -> String) -> usize {
    let world = world().await;
    world.model("b@1", Score(20));
    for number in 0..8 {
        world.publish(&change(&configuration(), number)).await;
        traffic(&world, 4).await;
        if !published(&world).await.is_empty() {
            break;
        }
    }
    published(&world).await.len()
}

#[tokio::test(start_paused = true)]
async fn a_version_begins_a_step_anew_only_if_it_changes_the_arm_or_main() {
    let replaced = async |from: &str, to: &str| {
        let change = |text: &str, number: u32| {
            assert!(text.contains(from), "{text}");
            let text = text.replacen(from, &to.replace("NUMBER", &number.to_string()), 1);
            // There is room for another arm.
            text.replacen("[0.5, 1.0]", "[0.5, 0.9]", 1)
        };
        published_beside(change).await
    };
    let features = r#""features": ["/NUMBER"], "observers""#;
    assert_eq!(replaced("\"observers\"", features).await, 1);
    let other = r#""arms": [ { "name": "other", "steps": [0.0NUMBER1],
                               "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 500 } },"#;
    assert_eq!(replaced("\"arms\": [", other).await, 1);
    assert_eq!(replaced("\"deadline_ms\": 1000", "\"deadline_ms\": 90NUMBER").await, 0);
    assert_eq!(replaced("\"fallback_rate\": 0.05", "\"fallback_rate\": 0.05NUMBER").await, 0);
    let pins = r#""pins": [ { "key": "NUMBER", "arm": "next" } ], "observers""#;
    assert_eq!(replaced("\"observers\"", pins).await, 0);
}

#[tokio::test(start_paused = true)]
async fn without_traffic_and_while_no_window_is_written_an_arm_waits() {
    let world = world().await;
    world.model("b@1", Score(20));
    sleep(Duration::from_hours(3)).await;
    assert_eq!(published(&world).await.len(), 0);
    world.system.windows.outage.set(Trouble::Down);
    traffic(&world, 15).await;
    assert_eq!(published(&world).await.len(), 0);
    // The batches of the outage are delivered again.
    world.system.windows.outage.set(Trouble::None);
    traffic(&world, 15).await;
    assert!(!published(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_version_of_an_operator_who_publishes_meanwhile_is_lost() {
    let world = world().await;
    world.model("b@1", Fail(5));
    let operator = async {
        let mut mine = Vec::new();
        for number in 0..6 {
            sleep(Duration::from_mins(4)).await;
            let now = current(&world).await;
            let deadline = format!("\"deadline_ms\": {}", 600 + number);
            let text = serde_json::to_string_pretty(&now.configuration).unwrap();
            let text = text.replacen("\"deadline_ms\": 1000", &deadline, 1);
            mine.push(world.publish(&text).await);
        }
        mine
    };
    let (mine, ()) = tokio::join!(operator, traffic(&world, 40));
    let history = world.system.endpoints.history(&endpoint()).await.unwrap();
    let versions: Vec<u64> = history.iter().map(|publication| publication.version).collect();
    assert_eq!(versions, (1..=u64::try_from(versions.len()).unwrap()).collect::<Vec<_>>());
    let by = |version: &u64| {
        let publication = history.iter().find(|publication| publication.version == *version);
        publication.unwrap().provenance.clone().unwrap().author().to_owned()
    };
    assert!(mine.iter().all(|version| by(version) == "test"), "{history:?}");
    let last = current(&world).await;
    assert_eq!(published(&world).await.len(), 1);
    assert!(last.configuration.draft().arms.is_empty());
    let deadline = last.configuration.draft().schedule.deadline();
    assert!(deadline < Duration::from_secs(1), "the operator's change is kept: {deadline:?}");
}

/// A world whose guard looks at losses. Of each model's values 0.9 is right and 0.5 is not.
async fn world_with_loss() -> World {
    let world = World::new().await;
    let guard = "\"fallback_rate\": 0.05, \"loss\": 0.02 } } ], \"outcome\": \"/late\",";
    let (begin, rest) = configuration()
        .split_once("\"fallback_rate\"")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (_, end) = rest.split_once("} } ],").unwrap();
    world.publish(&format!("{begin}{guard}{end}")).await;
    world
}

/// Requests for so many minutes, one a second; what has happened is reported `after` so long.
async fn traffic_with_outcomes(world: &World, minutes: u64, after: Duration) {
    let mut open = std::collections::VecDeque::new();
    for _ in 0..minutes * 60 {
        let id = world.ask("{\"p\": 0.9}").await.id();
        open.push_back((now(), id));
        sleep(Duration::from_secs(1)).await;
        while let Some((_, id)) = open.pop_front_if(|(asked, _)| now().since(*asked) >= after) {
            let path = format!("/v1/endpoints/e/requests/{id}/outcome");
            let reply = world.call(Method::PUT, &path, &[], "{\"late\": true}").await;
            assert_eq!(reply.status, 204, "{reply:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_arm_that_is_worse_by_its_outcomes_is_removed() {
    let world = world_with_loss().await;
    world.model("a@1", Echo(20, ""));
    world.model("b@1", Score(20));
    traffic_with_outcomes(&world, 20, Duration::ZERO).await;
    let [removed] = &published(&world).await[..] else { panic!("not one version") };
    // (0.5 - 1)^2 - (0.9 - 1)^2
    assert!(message(removed).contains("squared error above main's: 0.2400 ("), "{removed:?}");
    assert!(message(removed).contains("at most 0.0200 allowed, violated"), "{removed:?}");
    assert!(current(&world).await.configuration.draft().arms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_arm_that_is_better_by_outcomes_that_come_later_becomes_main() {
    let world = world_with_loss().await;
    world.model("a@1", Score(20));
    world.model("b@1", Echo(20, ""));
    traffic_with_outcomes(&world, 70, Duration::from_mins(10)).await;
    let [stepped, finished] = &published(&world).await[..] else { panic!("not two versions") };
    for publication in [stepped, finished] {
        let message = message(publication);
        assert!(message.contains("squared error above main's: -0.2400 ("), "{message}");
    }
    assert!(message(finished).contains("becomes main, every condition holds"), "{finished:?}");
    assert_eq!(current(&world).await.configuration.draft().schedule.champion().as_str(), "b@1");
}

#[tokio::test(start_paused = true)]
async fn without_outcomes_an_arm_whose_guard_has_loss_waits() {
    let world = world_with_loss().await;
    world.model("a@1", Score(20));
    world.model("b@1", Echo(20, ""));
    traffic_with_outcomes(&world, 30, Duration::from_hours(1)).await;
    assert_eq!(published(&world).await.len(), 0);
}
