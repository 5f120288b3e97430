//! What `status` says of the windows of a data folder.

use std::time::Duration;

use rendezvous_core::{
    Configuration, EndpointName, FailureKind, Minute, Provenance,
    decision::{Kind, Reason},
    now,
    ports::{EndpointTable, Entry, EntryKey, WindowTable},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    window::{Decisions, Window},
};
use rendezvous_folder::{DataFolder, FolderEndpoints, FolderWindows};
use rendezvousctl::{
    failure::Failure,
    output::Output,
    status::{StatusOptions, status},
};
use serde_json::{Value, json};

const CONFIGURATION: &str = r#"{
    "schedule": {
        "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 60 } ],
        "deadline_ms": 200
    },
    "arms": [ { "name": "new", "steps": [0.05, 0.25], "step": 1, "guard": { "hold_minutes": 10 },
                "schedule": { "choices": [ { "model": "b@1" } ], "deadline_ms": 200 } } ],
    "observers": [ { "model": "c@1", "role": "challenger" } ],
    "value": "/p"
}"#;

/// A data folder with the endpoint `e` in version 1.
struct World {
    _directory: tempfile::TempDir,
    windows: FolderWindows,
    endpoints: FolderEndpoints,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let endpoints = FolderEndpoints::new(&folder);
        let configuration = Configuration::parse(CONFIGURATION).unwrap();
        let provenance = Provenance::new("alice", "begin").unwrap();
        endpoints.publish(&endpoint(), configuration, provenance, None).await.unwrap();
        Self { windows: FolderWindows::new(&folder), endpoints, _directory: directory }
    }

    /// Writes an entry of the endpoint, this many minutes ago.
    async fn put(&self, series: &str, ago: u32, part: &str, body: Vec<u8>) {
        let (series, minute) = (format!("e/{series}"), Minute::of(now()).minus(ago));
        let key = EntryKey { series, minute, part: part.to_owned() };
        self.windows.put(vec![Entry { key, body: body.into(), expires: None }]).await.unwrap();
    }

    async fn decided(&self, ago: u32, part: &str, decisions: &[(Kind, Reason, u64)]) {
        let mut window = Decisions::default();
        for (kind, reason, ms) in decisions {
            window.push(*kind, *reason, Duration::from_millis(*ms), *ms > 200, true);
        }
        self.put("decisions", ago, part, to_bytes(&window).unwrap()).await;
    }

    async fn scored(&self, ago: u32, part: &str, values: &[f64], failures: &[FailureKind]) {
        let mut window = Window::new(u64::from(ago));
        for value in values {
            window.score(Duration::from_millis(40), Some(*value));
        }
        for kind in failures {
            window.failure(*kind);
        }
        self.put("models", ago, part, to_bytes(&window).unwrap()).await;
    }

    async fn status(&self, minutes: u32) -> Result<Output, Failure> {
        let options = StatusOptions { endpoint: None, minutes, to: None, by: None };
        status(&self.windows, &self.endpoints, &options).await
    }
}

fn endpoint() -> EndpointName {
    "e".parse().unwrap()
}

fn warnings(output: &Output) -> Vec<&str> {
    output.json["warnings"].as_array().unwrap().iter().map(|each| each.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_windows_of_the_last_minutes_are_added_up_by_arm_and_by_model() {
    let world = World::new().await;
    let champion = (Kind::Champion, Reason::Preferred, 40);
    world.decided(2, "1/main/x", &[champion, champion]).await;
    world.decided(1, "1/main/y", &[(Kind::StandIn, Reason::Opened, 60), champion]).await;
    world.decided(1, "1/new/y", &[(Kind::None, Reason::Deadline, 210)]).await;
    world.decided(20, "1/main/z", &[champion]).await;
    world.scored(2, "1/main/a@1/x", &[0.125, 0.25], &[]).await;
    world.scored(1, "1/main/a@1/y", &[0.5], &[FailureKind::TimedOut, FailureKind::Invalid]).await;
    world.scored(1, "1/new/b@1/y", &[], &[FailureKind::Failed]).await;
    world.put("verdicts", 2, "1/new/", b"2 requests".to_vec()).await;
    world.put("verdicts", 1, "1/new/", b"3 requests".to_vec()).await;
    let output = world.status(15).await.unwrap();
    let found = &output.json["endpoints"][0];
    let arm = |number: usize| &found["arms"][number];
    assert_eq!((&found["endpoint"], &found["config"]), (&json!("e"), &json!(1)));
    assert_eq!((&arm(0)["arm"], &arm(0)["requests"]), (&json!("main"), &json!(4)));
    assert_eq!((&arm(0)["share"], &arm(0)["step"]), (&json!(0.75), &Value::Null));
    let kinds = json!({"champion": 3, "stand_in": 1, "fallback": 0, "none": 0});
    assert_eq!((&arm(0)["kinds"], &arm(0)["late"]), (&kinds, &json!(0)));
    let reasons = json!([{"reason": "preferred", "count": 3}, {"reason": "opened", "count": 1}]);
    assert_eq!(arm(0)["reasons"], reasons);
    let per_minute = arm(0)["per_minute"].as_f64().unwrap();
    assert!((4.0 / 16.1..=4.0 / 15.0).contains(&per_minute), "{per_minute}");
    let ms = |of: &Value, name: &str| of["elapsed_ms"][name].as_f64().unwrap();
    assert!((39.0..41.0).contains(&ms(arm(0), "p50")) && (59.0..61.0).contains(&ms(arm(0), "p99")));
    assert_eq!((&arm(1)["share"], &arm(1)["step"]), (&json!(0.25), &json!([2, 2])));
    assert_eq!((&arm(1)["kinds"]["none"], &arm(1)["late"]), (&json!(1), &json!(1)));
    assert_eq!(arm(1)["verdict"]["because"], "3 requests");
    let model = |number: usize| &found["models"][number];
    assert_eq!((&model(0)["model"], &model(0)["roles"]), (&json!("a@1"), &json!(["champion"])));
    assert_eq!((&model(0)["scored"], &model(0)["median"]), (&json!(3), &json!(0.25)));
    assert_eq!(model(0)["failed"], json!({"timed_out": 1, "invalid": 1}));
    assert_eq!((&model(1)["failed"], &model(1)["silent"]), (&json!({"failed": 1}), &json!(false)));
    assert_eq!((&model(2)["silent"], &model(2)["roles"]), (&json!(true), &json!(["challenger"])));
    assert!(output.text.contains("silent") && output.text.contains("2 of 2"), "{}", output.text);
    assert!(output.text.contains("3 requests\n") && output.text.contains("75 %"));
    let warnings = warnings(&output);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].starts_with("e: c@1 is silent"), "{warnings:#?}");
}

#[tokio::test]
async fn former_arms_and_models_are_listed_as_not_configured() {
    let world = World::new().await;
    world.decided(1, "1/old/x", &[(Kind::Champion, Reason::Preferred, 40)]).await;
    world.scored(1, "1/old/z@1/x", &[0.5], &[]).await;
    world.put("verdicts", 1, "7/new/", b"of another version".to_vec()).await;
    let output = world.status(15).await.unwrap();
    let found = &output.json["endpoints"][0];
    assert_eq!(
        (&found["arms"][2]["arm"], &found["arms"][2]["share"]),
        (&json!("old"), &json!(null))
    );
    assert_eq!(
        (&found["models"][3]["model"], &found["models"][3]["roles"]),
        (&json!("z@1"), &json!([]))
    );
    assert_eq!(output.text.matches("not configured").count(), 2, "{}", output.text);
    assert_eq!(found["arms"][1]["verdict"], Value::Null);
    let unjudged = "e: the guarded arm new was not judged under version 1";
    assert!(warnings(&output).iter().any(|each| each.starts_with(unjudged)), "{}", output.text);
}

#[tokio::test]
async fn where_windows_are_missing_it_says_what_to_do() {
    let world = World::new().await;
    let output = world.status(15).await.unwrap();
    assert!(warnings(&output)[0].contains("rendezvous-local serve must run"), "{}", output.text);
    assert_eq!(output.json["endpoints"][0]["models"][0]["silent"], false, "nothing was asked");
    world.decided(1, "7/main/x", &[(Kind::None, Reason::Deadline, 200)]).await;
    let output = world.status(15).await.unwrap();
    assert_eq!(output.json["endpoints"][0]["models"][0]["silent"], false, "of another version");
    world.decided(1, "1/main/x", &[(Kind::None, Reason::Deadline, 200)]).await;
    let output = world.status(15).await.unwrap();
    assert!(warnings(&output)[0].contains("decisions and no scores"), "{}", output.text);
    assert_eq!(output.json["endpoints"][0]["models"][0]["silent"], true);
    world.put("models", 1, "1/main/a@1/x", b"?".to_vec()).await;
    let failure = world.status(15).await.unwrap_err();
    assert!(failure.to_string().starts_with("e: a window cannot be read"), "{failure}");
}

#[tokio::test]
async fn an_alarm_says_what_it_means_and_what_to_do_first() {
    let world = World::new().await;
    let ago = |minutes: u64| (now() - Duration::from_mins(minutes)).as_micros();
    let alarm = |subject: &str, ended: Option<i64>| {
        json!({
            "alarm": "drift", "over": "day", "meaning": "It differs.", "first": "Look.",
            "subjects": [{ "name": subject, "figures": "distance 0.300", "begun_us": ago(5) }],
            "begun_us": ago(5), "last_us": ago(1), "ended_us": ended,
        })
    };
    let put = async |minute: Minute, subject: &str, ended: Option<i64>| {
        let (series, part) = ("e/alarms".to_owned(), format!("drift/24 hours/{subject}"));
        let body = alarm(subject, ended).to_string().into();
        let key = EntryKey { series, minute, part };
        world.windows.put(vec![Entry { key, body, expires: None }]).await.unwrap();
    };
    put(Minute::FIRST, "a@1", None).await;
    put(Minute::of(now()).minus(5), "b@1", Some(ago(2))).await;
    put(Minute::of(now()).minus(50), "c@1", Some(ago(40))).await;
    let output = world.status(15).await.unwrap();
    let alarms = output.json["endpoints"][0]["alarms"].as_array().unwrap();
    let subjects: Vec<_> =
        alarms.iter().map(|alarm| alarm["subjects"][0]["name"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["a@1", "b@1"]);
    let text = output.text;
    assert!(text.contains("ALARM drift of a@1 over 24 hours, since "), "{text}");
    assert!(text.contains(": distance 0.300\n  It differs.\n  Look.\n"), "{text}");
    assert!(text.contains("past alarm drift of b@1 over 24 hours, "), "{text}");
}
