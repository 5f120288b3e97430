//! What the monitor notices of models, callers and requests, and how soon.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use rendezvous_core::{
    EndpointName, Minute, ModelId, Timestamp,
    memory::MemoryArchive,
    now,
    ports::{Entry, EntryKey, WindowTable},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    window::{Feature, Features, Window},
};
use rendezvous_monitor::{
    alarms::{KeptAlarm, kept},
    baselines::{self, FIRST_DAYS, Period},
};
use rendezvous_tests::{
    Does::{self, Fail, Number, Say},
    START, Told, World, endpoint,
};
use tokio::time::{Instant, sleep, sleep_until};

const CONFIGURATION: &str = r#"{
    "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 500 },
    "observers": [ { "model": "b@1", "role": "challenger" }, { "model": "c@1", "role": "canary" } ],
    "value": "/p",
    "features": ["/x"]
}"#;

const MODELS: [&str; 3] = ["a@1", "b@1", "c@1"];

/// What comes up at a request: uniform, as is everything that the models make of it.
pub(crate) fn uniform(of: &str, number: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (of, number).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

struct Alarms {
    world: World,
    models: [Told; 3],
    asked: u64,
}

impl Alarms {
    /// The endpoint with its models, and a baseline of what they do usually.
    async fn new() -> Self {
        let world = World::new().await;
        world.publish(CONFIGURATION).await;
        let usual = Number(20, "/x");
        let models = MODELS.map(|id| world.model(id, usual));
        baseline(&world, &MODELS).await;
        Self { world, models, asked: 0 }
    }

    /// Requests for some time, so many a second. Nobody waits for the answer before the next.
    async fn traffic(&mut self, time: Duration, a_second: u32) {
        let (start, pause) = (Instant::now(), Duration::from_secs(1) / a_second);
        let mut at = start;
        while at < start + time {
            let [x, mean, stale] = ["x", "mean", "stale"].map(|of| uniform(of, self.asked));
            let mean = 0.45 + 0.1 * mean;
            self.world.ask(&format!("{{\"x\":{x},\"mean\":{mean},\"stale\":{stale}}}")).await;
            self.asked += 1;
            at += pause;
            sleep_until(at).await;
        }
    }

    /// The alarms since the start.
    async fn all(&self) -> Vec<KeptAlarm> {
        kept(&*self.world.system.windows, &endpoint(), START).await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let said = |alarm: &KeptAlarm| format!("{} {}", alarm.alarm, alarm.names());
        self.all().await.iter().map(said).collect()
    }
}

/// Writes the baseline of the first seven days: uniform values of the models and of the feature.
pub(crate) async fn baseline<W: WindowTable>(world: &World<MemoryArchive, W>, models: &[&str]) {
    let e: EndpointName = endpoint();
    let series = baselines::series_of(&e, FIRST_DAYS);
    let entry = |series: &str, part: String, body: Option<Vec<u8>>| Entry {
        key: EntryKey { series: series.to_owned(), minute: Minute::FIRST, part },
        body: body.unwrap().into(),
        expires: None,
    };
    let mut entries = Vec::new();
    for hour in 0..24_u8 {
        for id in models {
            let model: ModelId = id.parse().unwrap();
            let mut window = Window::new(u64::from(hour));
            for i in 0..2_000 {
                window.score(Duration::from_millis(20), Some(uniform(id, i + u64::from(hour))));
            }
            entries.push(entry(&series, baselines::part(hour, Some(&model)), to_bytes(&window)));
        }
        let mut features = Features::new(["/x"], u64::from(hour));
        (0..2_000).for_each(|i| features.push([Feature::Number(uniform("/x", i))]));
        entries.push(entry(&series, baselines::part(hour, None), to_bytes(&features)));
    }
    let period = Period { from: Timestamp::from_micros(0), to: START };
    entries.push(entry("e/baselines", FIRST_DAYS.to_owned(), to_bytes(&period)));
    world.system.windows.put(entries).await.unwrap();
}

/// When an alarm of this kind about this model began, after the challenger changed to `does`.
async fn noticed(does: Does, alarm: &str) -> Duration {
    let mut alarms = Alarms::new().await;
    // Within a minute the change is at another instant than the run of the schedule.
    alarms.traffic(Duration::from_secs(10 * 60 + 25), 10).await;
    assert_eq!(alarms.names().await, Vec::<String>::new(), "before the change");
    alarms.models[1].to(does);
    let changed = now();
    alarms.traffic(Duration::from_mins(6), 10).await;
    let all = alarms.all().await;
    let found = all.iter().find(|found| found.alarm == alarm && found.names().contains("b@1"));
    found.unwrap_or_else(|| panic!("{all:?}")).begun_us.since(changed)
}

const SOON: Duration = Duration::from_mins(5);

#[tokio::test(start_paused = true)]
async fn a_challenger_that_returns_constants_is_noticed_within_five_minutes() {
    let after = noticed(Say(20, 0.5), "drift").await;
    assert!(after <= SOON, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_challenger_that_returns_a_mean_of_its_inputs_is_noticed_within_five_minutes() {
    let after = noticed(Number(20, "/mean"), "drift").await;
    assert!(after <= SOON, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_challenger_that_returns_scores_of_other_requests_is_noticed_within_five_minutes() {
    let after = noticed(Number(20, "/stale"), "disagreement").await;
    assert!(after <= SOON, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_sends_nothing_is_noticed_and_the_alarm_ends_when_it_does() {
    let mut alarms = Alarms::new().await;
    alarms.traffic(Duration::from_mins(4), 2).await;
    alarms.models[1].faults.kill(true);
    alarms.traffic(Duration::from_mins(10), 2).await;
    assert_eq!(alarms.names().await, ["model_silent b@1"]);
    alarms.models[1].faults.kill(false);
    alarms.traffic(Duration::from_mins(18), 2).await;
    // What it was late for has failed as expired, which is another alarm.
    let all = alarms.all().await;
    let silent = all.iter().find(|alarm| alarm.alarm == "model_silent");
    assert!(silent.is_some_and(|alarm| alarm.ended_us.is_some()), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_is_noticed_within_five_minutes() {
    let mut alarms = Alarms::new().await;
    alarms.traffic(Duration::from_secs(5 * 60 + 25), 2).await;
    assert_eq!(alarms.names().await, Vec::<String>::new());
    alarms.models[1].to(Fail(20));
    let changed = now();
    alarms.traffic(Duration::from_mins(6), 2).await;
    assert_eq!(alarms.names().await, ["model_failing b@1"]);
    let all = alarms.all().await;
    assert!(all[0].begun_us.since(changed) <= SOON, "{all:?}");
    assert!(all[0].figures().contains(" failed"), "{all:?}");
}

/// After how long an alarm about the callers began, who on the second of two days sent so many requests a second
/// instead of one.
async fn callers_noticed(alarm: &str, a_second: u32) -> Duration {
    let mut alarms = Alarms::new().await;
    let day = Duration::from_hours(24);
    // The same minutes of the day before.
    sleep(Duration::from_secs(20)).await;
    let begun = Instant::now();
    alarms.traffic(Duration::from_hours(1), 1).await;
    sleep_until(begun + day).await;
    alarms.traffic(Duration::from_secs(20 * 60 + 37), 1).await;
    let changed = now();
    assert!(!alarms.names().await.iter().any(|name| name.starts_with("callers")));
    let time = Duration::from_mins(10);
    if a_second == 0 {
        sleep(time).await;
    } else {
        alarms.traffic(time, a_second).await;
    }
    let all = alarms.all().await;
    let of_callers: Vec<_> = all.iter().filter(|kept| kept.alarm.starts_with("callers")).collect();
    assert!(of_callers.iter().all(|kept| kept.alarm == alarm), "{all:?}");
    of_callers.first().unwrap_or_else(|| panic!("{all:?}")).begun_us.since(changed)
}

#[tokio::test(start_paused = true)]
async fn callers_that_stop_are_noticed_within_three_minutes() {
    let after = callers_noticed("callers_silent", 0).await;
    assert!(after <= Duration::from_mins(3), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_send_far_more_are_noticed_within_five_minutes() {
    let after = callers_noticed("callers_surging", 5).await;
    assert!(after <= SOON, "{after:?}");
}

/// Two days of one request a second would take minutes; one every five seconds is enough for each rule
/// but those of the last minutes, which the others are silent about above.
#[tokio::test(start_paused = true)]
async fn stationary_traffic_raises_nothing_for_a_day() {
    let mut alarms = Alarms::new().await;
    let end = Instant::now() + Duration::from_hours(24);
    while Instant::now() < end {
        let [x, gap] = ["x", "gap"].map(|of| uniform(of, alarms.asked));
        alarms.world.ask(&format!("{{\"x\":{x}}}")).await;
        alarms.asked += 1;
        // Poisson traffic of one request in eight seconds.
        sleep(Duration::from_secs_f64(-8.0 * (1.0 - gap).ln())).await;
    }
    assert_eq!(alarms.names().await, Vec::<String>::new());
    let hours =
        alarms.world.system.windows.read("e/hours", Minute::of(START)..Minute::of(now()), 1_000);
    assert!(hours.await.unwrap().len() > 23 * 4, "the hours are merged");
}
