//! Baselines of an endpoint: computed from the archive, kept, shown, and named in the configuration.

use std::time::Duration;

use chrono::NaiveDate;
use rendezvous_core::{Endpoint, ports::EndpointTable};
use rendezvous_monitor::baselines;
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Echo, Fail},
    World, endpoint, model,
};
use rendezvousctl::{
    baseline::{BaselineOptions, Made, make, show},
    failure::Failure,
};
use tokio::time::sleep;

/// Two days of requests: `a@1` says what is in them, `b@1` fails.
async fn system() -> World {
    let configuration =
        CONFIGURATION.replace("\"/p\"", "\"/p\", \"features\": [\"/p\", \"/kind\"]");
    let world = World::with(&configuration, Size::default()).await;
    world.model("a@1", Echo(5, ""));
    world.model("b@1", Fail(5));
    for number in 1..=48 {
        let share = f64::from(number) / 100.0;
        world.ask(&format!("{{\"p\": {share}, \"kind\": \"x\"}}")).await;
        sleep(Duration::from_hours(1)).await;
    }
    world.drain().await;
    world
}

async fn of(world: &World, from: &str, to: &str, name: Option<&str>) -> Result<Made, Failure> {
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let name = name.map(str::to_owned);
    let options = BaselineOptions { endpoint: endpoint(), from: day(from), to: day(to), name };
    let system = &world.system;
    make(&*system.archive, &*system.windows, &*system.endpoints, &options, |_| ()).await
}

async fn current(world: &World) -> Endpoint {
    let table = &world.system.endpoints;
    let version = table.current(&endpoint()).await.unwrap().unwrap();
    Endpoint::clone(&*table.version(&endpoint(), version).await.unwrap().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_baseline_has_the_values_and_features_of_its_days_by_hour_and_never_changes() {
    let world = system().await;
    // The first request is of 06:52 of the 22nd; the 23rd has the requests 19 to 42.
    let made = of(&world, "2025-11-23", "2025-11-24", None).await.unwrap();
    assert_eq!(made.name(), "2025-11-23_2025-11-24");
    let json = &made.output.json;
    let models = json["models"].as_array().unwrap();
    let scored: Vec<_> =
        models.iter().map(|of| (&of["model"], &of["scored"], &of["failed"])).collect();
    assert_eq!(scored.len(), 2);
    assert_eq!(scored[0], (&"a@1".into(), &24.into(), &0.into()));
    assert_eq!(scored[1], (&"b@1".into(), &0.into(), &24.into()));
    assert_eq!(json["features"][0]["numbers"], 24);
    assert_eq!(json["features"][1]["texts"], 24);
    let (system, name) = (&world.system, made.name());
    let named = async || baselines::named(&*system.windows, &endpoint(), name).await.unwrap();
    assert!(named().await.is_none(), "it is only computed");
    made.keep(&*system.windows).await.unwrap();
    let kept = named().await.unwrap();
    assert_eq!(kept.hours.len(), 24);
    let at_seven = &kept.at(7).unwrap().models[&model("a@1")];
    assert_eq!((at_seven.scored(), at_seven.values().quantile(0.5)), (1, Some(0.26)));

    let again = of(&world, "2025-11-23", "2025-11-24", None).await.unwrap();
    assert_eq!(again.output, made.output);
    let refused = of(&world, "2025-11-22", "2025-11-24", Some(name)).await.unwrap_err();
    assert!(
        matches!(&refused, Failure::Refused(why) if why.contains("never changes")),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_over_or_not_there_is_refused_and_the_named_one_is_shown() {
    let world = system().await;
    let future = of(&world, "2025-11-23", "2025-12-24", None).await.unwrap_err();
    assert!(matches!(&future, Failure::Usage(why) if why.contains("is not over")), "{future}");
    let empty = of(&world, "2025-10-01", "2025-10-02", None).await.unwrap_err();
    assert!(matches!(&empty, Failure::Refused(why) if why.contains("has no score")), "{empty}");
    let shown = async |name| {
        let system = &world.system;
        show(&*system.windows, &*system.endpoints, &endpoint(), name).await
    };
    assert!(shown(None).await.unwrap_err().to_string().contains("seven days are not over"));
    of(&world, "2025-11-23", "2025-11-24", Some("one"))
        .await
        .unwrap()
        .keep(&*world.system.windows)
        .await
        .unwrap();
    let text = CONFIGURATION.replace("\"/p\"", "\"/p\", \"baseline\": \"one\"");
    world.publish(&text).await;
    assert_eq!(shown(None).await.unwrap().json["baseline"], "one");
    let found = baselines::baseline(&*world.system.windows, &current(&world).await).await.unwrap();
    assert_eq!(found.unwrap().model(&model("a@1")).unwrap().scored(), 24);
}
