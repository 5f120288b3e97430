//! The web console of the deployed system.

use serde_json::{Value, json};

use crate::{Asked, System};

/// What the views read, and, where it is the same at any time, the command that prints it.
const READ: [(&str, &[&str]); 9] = [
    ("", &[]),
    ("/status?minutes=60&by=10", &[]),
    ("/endpoints", &["endpoints"]),
    ("/endpoints/flight-delay", &["show", "flight-delay"]),
    ("/endpoints/flight-delay/history", &["history", "flight-delay"]),
    ("/endpoints/flight-delay/diff?from=1&to=2", &["diff", "flight-delay", "1", "2"]),
    ("/endpoints/flight-delay/models", &[]),
    (
        "/endpoints/flight-delay/compare?first=gbt@1&second=logistic@1",
        &["compare", "flight-delay", "gbt@1", "logistic@1"],
    ),
    ("/endpoints/flight-delay/decisions", &[]),
];

/// Asks for what every view reads. With `BROWSER=1` also opens every view in Chromium.
pub(crate) async fn every_view_of_the_console_is_answered(system: &System, asked: &[Asked]) {
    println!("rendezvousctl console");
    let console = system.stack.console();
    let mut client = console.client().await;
    for (path, command) in READ {
        let reply = client.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        println!("GET {path}: {:.0} ms", reply.took.as_secs_f64() * 1e3);
        if !command.is_empty() {
            let printed = system.stack.ctl(&[command, &["--json"]].concat()).await;
            let printed: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(reply.body, printed, "{path} and {command:?}");
        }
    }
    let status = client.get("/status?minutes=1440").await.body;
    let mut endpoints = status["endpoints"].as_array().unwrap().iter();
    let flights = endpoints.find(|endpoint| endpoint["endpoint"] == "flight-delay").unwrap();
    assert!(flights["arms"][0]["requests"].as_u64().unwrap() > 0, "{status}");
    let id = asked[0].reply.text("request");
    let one = client.get(&format!("/endpoints/flight-delay/decisions/{id}")).await;
    assert_eq!(one.status, 200, "{one:?}");
    assert_eq!(one.body["decision"]["model"], asked[0].reply.text("model"), "{}", one.body);
    let schedule = json!({ "choices": [{ "model": "gbt@1" }], "deadline_ms": 15_000 });
    let body = json!({ "schedule": schedule }).to_string();
    let whatif = client.post("/endpoints/flight-delay/whatif", &[], &body).await;
    assert_eq!(whatif.status, 200, "{whatif:?}");
    assert!(whatif.body["requests"].as_u64().unwrap() >= asked.len() as u64, "{}", whatif.body);
    if std::env::var("BROWSER").is_ok() {
        console.opens_in_a_browser();
    }
}
