//! What the console's interface answers, and whom it refuses.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use rendezvous_console::{Console, Counters, Ports, Running, Settings, Worker};
use rendezvous_core::{
    Configuration, Provenance,
    memory::{MemoryArchive, MemoryEndpoints, MemoryWindows},
    now,
    ports::EndpointTable,
};
use rendezvous_operations::{
    baseline, endpoints,
    models::{self, ModelsOptions},
    past::instant,
    status::{self, StatusOptions},
    up::{Model, Up},
};
use rendezvous_tests::{CONFIGURATION, Does, Reply, World, endpoint};
use serde_json::{Value, json};
use tokio::sync::watch;

struct Local;

impl Running for Local {
    async fn models_up(&self) -> Result<Up, String> {
        let known = ["a@1", "b@1", "c@1", "d@1"].map(|id| (id.parse().unwrap(), Model::default()));
        Ok(known.into())
    }

    fn counters(&self) -> Option<Counters> {
        Some(Counters::default())
    }

    fn margin(&self) -> Duration {
        Duration::from_millis(5)
    }
}

type OfWorld = Console<MemoryEndpoints, MemoryWindows, MemoryArchive, Local>;

struct Page {
    console: OfWorld,
    stop: watch::Sender<bool>,
}

impl Page {
    fn of(world: &World, read_only: bool) -> Self {
        let system = &world.system;
        let ports = Ports {
            endpoints: system.endpoints.clone(),
            windows: system.windows.clone(),
            archive: system.archive.clone(),
            running: Local,
        };
        let settings =
            Settings { name: "a test".to_owned(), author: "operator".to_owned(), read_only };
        let (stop, stopped) = watch::channel(false);
        Self { console: Console::new(ports, settings, Worker::here(), stopped), stop }
    }

    fn token(&self) -> String {
        self.console.url("").split_once("#token=").unwrap().1.to_owned()
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("/console/api{path}"));
        let request = request.header("host", "127.0.0.1:8080");
        let request = headers.iter().fold(request, |all, (name, value)| all.header(*name, *value));
        let body = Full::new(Bytes::from(body.to_string()));
        let response = self.console.answer(request.body(body).unwrap()).await;
        let status = response.status();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&text).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, json) = self.call(Method::GET, path, &[], &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {json}");
        json
    }

    /// With the token.
    async fn post(&self, what: &str, body: &Value) -> (StatusCode, Value) {
        let token = format!("Bearer {}", self.token());
        let path = format!("/endpoints/e/{what}");
        self.call(Method::POST, &path, &[("authorization", &token)], body).await
    }
}

/// A system that has answered a request: `a@1` scores after 10 ms, `b@1` too late, `d@1` fails.
async fn asked() -> (World, Reply) {
    let world = World::new().await;
    world.model("a@1", Does::Score(10));
    world.model("b@1", Does::Score(300));
    world.model("d@1", Does::Fail(5));
    let reply = world.ask(r#"{"name":"Ada"}"#).await;
    reply.is("a@1 preferred", 0.0..=50.0);
    world.drain().await;
    (world, reply)
}

fn deadline(ms: u32) -> Value {
    serde_json::from_str(&CONFIGURATION.replace("1000", &ms.to_string())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_figure_is_the_one_that_the_tool_prints() {
    let (world, _) = asked().await;
    let page = Page::of(&world, false);
    let (table, windows) = (&*world.system.endpoints, &*world.system.windows);
    let to = page.get("/status").await["to_us"].as_i64().unwrap() / 1_000_000;
    let to = chrono_text(to);
    let found = page.get(&format!("/status?minutes=30&by=5&endpoint=e&to={to}")).await;
    let options = StatusOptions {
        endpoint: Some(endpoint()),
        minutes: 30,
        to: Some(instant(&to).unwrap()),
        by: Some(5),
    };
    assert_eq!(found, status::status(windows, table, &options).await.unwrap().json);
    let main = &found["endpoints"][0]["arms"][0];
    assert_eq!((&main["requests"], &main["kinds"]["champion"]), (&1.into(), &1.into()));
    let spans = found["endpoints"][0]["spans"].as_array().unwrap();
    let counted = |span: &Value| span["arms"]["main"]["requests"].as_u64().unwrap_or(0);
    assert_eq!((spans.len(), spans.iter().map(counted).sum::<u64>()), (7, 1));

    assert_eq!(page.get("/endpoints").await, endpoints::list(table).await.unwrap().json);
    let name = endpoint();
    assert_eq!(
        page.get("/endpoints/e/history").await,
        endpoints::history(table, &name).await.unwrap().json
    );
    let from = chrono_text(now().as_micros() / 1_000_000 - 3_600);
    let listed = page.get(&format!("/endpoints/e/models?from={from}&to={to}")).await;
    let options = ModelsOptions {
        endpoint: Some(name),
        from: Some(instant(&from).unwrap()),
        to: Some(instant(&to).unwrap()),
    };
    let up = Local.models_up().await;
    let models = models::models(&*world.system.archive, table, &up, &options).await.unwrap();
    assert_eq!(listed, models.json);
    let compared = page.get("/endpoints/e/compare?first=b@1&second=a@1").await;
    assert_eq!((&compared["paired"], &compared["models"][0]), (&1.into(), &"b@1".into()));
    assert_eq!(compared["differing"][0]["values"], json!([0.5, 0.5]));
}

/// A time as the command line takes it.
fn chrono_text(seconds: i64) -> String {
    rendezvous_operations::output::instant(rendezvous_core::Timestamp::from_micros(
        seconds * 1_000_000,
    ))
    .replace(" UTC", "Z")
    .replace(' ', "T")
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_listed_and_explained_and_its_payload_needs_the_token() {
    let (world, reply) = asked().await;
    let page = Page::of(&world, false);
    let listed = page.get("/endpoints/e/decisions").await;
    let line = &listed["decisions"][0];
    assert_eq!((&line["request"], &line["model"]), (&json!(reply.id()), &"a@1".into()));
    let path = format!("/endpoints/e/decisions/{}", reply.id());
    let one = page.get(&path).await;
    assert_eq!(one["payload"], json!({"name": "<text of 3 characters>"}));
    assert_eq!(
        (&one["explanation"]["same"], &one["decision"]["kind"]),
        (&true.into(), &"champion".into())
    );
    let steps = one["explanation"]["steps"].as_array().unwrap();
    let decided = steps.iter().find(|step| step["what"] == "decided").unwrap();
    assert_eq!(decided["text"], "a@1 answers: it is the first choice, and its score is there");
    let scores = one["scores"].as_array().unwrap();
    let of: Vec<_> = scores.iter().map(|score| score["model"].as_str().unwrap()).collect();
    assert_eq!(of, ["d@1", "a@1", "b@1"]);
    assert_eq!(
        (&scores[0]["failure"], &scores[0]["message"]),
        (&"failed".into(), &"as told".into())
    );

    let known = format!("{path}?received_us={}&payload=shown", line["received_us"]);
    let (refused, _) = page.call(Method::GET, &known, &[], &Value::Null).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    let token = format!("Bearer {}", page.token());
    let token = [("authorization", token.as_str())];
    let (_, shown) = page.call(Method::GET, &known, &token, &Value::Null).await;
    assert_eq!(shown["payload"], json!({"name": "Ada"}));

    let absent = format!("/endpoints/e/decisions/{}", rendezvous_core::RequestId::random());
    let (status, problem) = page.call(Method::GET, &absent, &[], &Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_planned_and_then_published_with_its_message() {
    let (world, _) = asked().await;
    let page = Page::of(&world, false);
    let change = json!({"promote": {"model": "d@1"}});
    let (status, plan) = page.post("plan", &json!({"change": change})).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    assert_eq!((&plan["published"], &plan["from"]), (&false.into(), &1.into()));
    assert!(plan["changes"][0].as_str().unwrap().starts_with("d@1 becomes champion of main"));
    let call = json!({"change": change, "expected": 1, "message": "it is better"});
    let (status, done) = page.post("publish", &call).await;
    assert_eq!((status, &done["to"]), (StatusCode::OK, &2.into()), "{done}");
    let history = page.get("/endpoints/e/history").await;
    assert_eq!(
        (&history[0]["author"], &history[0]["message"]),
        (&"operator".into(), &"it is better".into())
    );
    let back = json!({"change": {"roll_back": {"version": 1}}, "expected": 2, "message": "worse"});
    let (status, done) = page.post("publish", &back).await;
    assert_eq!((status, &done["to"]), (StatusCode::OK, &3.into()), "{done}");
    let steps = json!({"change": {"promote_in_arm": {"model": "d@1", "steps": [0.05, 1.0],
        "guard": {"hold_minutes": 1}}}, "expected": 3, "message": "step by step"});
    assert_eq!(page.post("publish", &steps).await.0, StatusCode::OK);
    let apply = json!({"change": {"apply": deadline(900)}, "expected": 4, "message": "sooner"});
    assert_eq!(page.post("publish", &apply).await.0, StatusCode::OK);
    let whatif = json!({"schedule": deadline(900)["schedule"]});
    let (status, report) = page.post("whatif", &whatif).await;
    assert_eq!((status, &report["requests"]), (StatusCode::OK, &1.into()), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_baseline_is_shown_before_it_is_kept_and_named() {
    let (world, _) = asked().await;
    let page = Page::of(&world, false);
    tokio::time::sleep(Duration::from_hours(24)).await;
    let of = |from: &str, to: &str| json!({"baseline": {"from": from, "to": to, "name": ""}});
    let (change, name) = (of("2025-11-22", "2025-11-23"), "2025-11-22_2025-11-23");
    let (status, plan) = page.post("plan", &json!({"change": change})).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    assert_eq!(plan["changes"], json!([format!("the baseline becomes {name}")]));
    let (endpoint, windows) = (endpoint(), &*world.system.windows);
    let shown =
        async || baseline::show(windows, &*world.system.endpoints, &endpoint, Some(name)).await;
    assert!(shown().await.is_err(), "it is only planned");
    let call = json!({"change": change, "expected": 1, "message": "a quiet day"});
    let (status, done) = page.post("publish", &call).await;
    assert_eq!((status, &done["to"]), (StatusCode::OK, &2.into()), "{done}");
    assert_eq!(plan["baseline"], shown().await.unwrap().json);
    assert_eq!(page.get("/endpoints/e").await["configuration"]["baseline"], name);
    for (change, expected) in [
        (of("22.11.2025", "2025-11-23"), StatusCode::BAD_REQUEST),
        (of("2025-11-23", "2025-11-24"), StatusCode::BAD_REQUEST),
        (of("2025-10-01", "2025-10-02"), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (status, problem) = page.post("plan", &json!({"change": change})).await;
        assert_eq!(status, expected, "{problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_version_that_was_replaced_is_a_conflict_with_its_difference() {
    let world = World::new().await;
    let page = Page::of(&world, false);
    let changed = Configuration::parse(&CONFIGURATION.replace("1000", "900")).unwrap();
    let by = Provenance::new("bob", "sooner").unwrap();
    world.system.endpoints.publish(&endpoint(), changed, by, Some(1)).await.unwrap();
    let call = json!({"change": {"promote": {"model": "d@1"}}, "expected": 1, "message": "better"});
    let (status, problem) = page.post("publish", &call).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let meanwhile = &problem["meanwhile"];
    assert_eq!((&meanwhile["config"], &meanwhile["author"]), (&2.into(), &"bob".into()));
    assert!(meanwhile["changes"][0].as_str().unwrap().contains("900"), "{meanwhile}");
    assert_eq!(page.get("/endpoints/e").await["config"], 2, "nothing was published");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_published_is_refused_with_its_reason() {
    let world = World::new().await;
    let page = Page::of(&world, false);
    let change = json!({"promote": {"model": "d@1"}});
    let call = json!({"change": change, "expected": 1, "message": "better"});
    let path = "/endpoints/e/publish";
    let (status, _) = page.call(Method::POST, path, &[], &call).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "no token");
    let token = format!("Bearer {}", page.token());
    for foreign in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let headers = [("authorization", token.as_str()), foreign];
        let (status, _) = page.call(Method::POST, path, &headers, &call).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{foreign:?}");
    }
    let read_only = Page::of(&world, true);
    let (status, problem) = read_only.call(Method::POST, path, &[], &call).await;
    assert_eq!(
        (status, &problem["detail"]),
        (StatusCode::FORBIDDEN, &"the console was started with --read-only".into())
    );
    for (change, message, expected) in [
        (&change, " ", StatusCode::BAD_REQUEST),
        (&json!({"promote": {"model": "a@1"}}), "the champion", StatusCode::UNPROCESSABLE_ENTITY),
        (&json!({"retire": {"model": "z@1"}}), "unknown", StatusCode::UNPROCESSABLE_ENTITY),
        (&json!({"apply": {"schedule": {}}}), "no schedule", StatusCode::UNPROCESSABLE_ENTITY),
        (&json!({"apply": deadline(1000)}), "the same", StatusCode::UNPROCESSABLE_ENTITY),
        (&json!({"delete": {}}), "no such change", StatusCode::BAD_REQUEST),
    ] {
        let call = json!({"change": change, "expected": 1, "message": message});
        let (status, problem) = page.post("publish", &call).await;
        assert_eq!(status, expected, "{message}: {problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(page.get("/endpoints/e").await["config"], 1, "nothing was published");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_malformed_is_said() {
    let world = World::new().await;
    let page = Page::of(&world, false);
    for (path, expected) in [
        ("/nothing", StatusCode::NOT_FOUND),
        ("/endpoints/other", StatusCode::NOT_FOUND),
        ("/endpoints/e/other", StatusCode::NOT_FOUND),
        ("/status?minutes=0", StatusCode::BAD_REQUEST),
        ("/status?to=soon", StatusCode::BAD_REQUEST),
        ("/endpoints/e/compare?first=a@1", StatusCode::BAD_REQUEST),
        ("/endpoints/e/decisions/x", StatusCode::BAD_REQUEST),
    ] {
        let (status, problem) = page.call(Method::GET, path, &[], &Value::Null).await;
        assert_eq!(status, expected, "{path}: {problem}");
    }
    let (status, _) = page.call(Method::DELETE, "/endpoints/e", &[], &Value::Null).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn events_tell_of_versions_counters_and_new_decisions_until_the_console_ends() {
    let (world, reply) = asked().await;
    let page = Page::of(&world, false);
    let request = Request::get("/console/api/events?decisions=e").header("host", "localhost");
    let response = page.console.answer(request.body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    while !text.contains("event: decisions") {
        let frame = body.frame().await.unwrap().unwrap();
        text += &String::from_utf8_lossy(&frame.into_data().unwrap());
    }
    assert!(text.contains("event: versions\ndata: {\"e\":1}\n\n"), "{text}");
    assert!(text.contains("event: counters\n") && text.contains(&reply.id().to_string()), "{text}");
    world.publish(&CONFIGURATION.replace("1000", "900")).await;
    while !text.contains("data: {\"e\":2}") {
        let frame = body.frame().await.unwrap().unwrap();
        text += &String::from_utf8_lossy(&frame.into_data().unwrap());
    }
    assert_eq!(text.matches("event: decisions").count(), 1, "a decision is told once");
    page.stop.send(true).unwrap();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}
