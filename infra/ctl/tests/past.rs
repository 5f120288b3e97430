//! What `whatif` and `gaps` say of the archive of a system.

use std::{fs, path::Path, process::Command, time::Duration};

use rendezvous_tests::{Does::Score, World};
use rendezvousctl::{
    gaps::{self, GapsOptions},
    past::Range,
    whatif::{self, WhatIfOptions},
};
use tempfile::TempDir;

fn range(endpoint: &str) -> Range {
    Range { endpoint: endpoint.parse().unwrap(), from: None, to: None }
}

/// A system of which a@1 is slow and d@1 sends nothing, after 20 requests.
async fn system() -> World {
    let world = World::new().await;
    for (id, millis) in [("a@1", 300), ("b@1", 30), ("c@1", 10)] {
        world.model(id, Score(millis));
    }
    for _ in 0..20 {
        world.ask("{}").await.is("b@1 opened", 99.0..=106.0);
    }
    world.drain().await;
    world
}

fn options(folder: &TempDir, endpoint: &str, schedule: &str) -> WhatIfOptions {
    let file = folder.path().join("schedule.json");
    fs::write(&file, schedule).unwrap();
    let sweep = Some("deadline=100..300/100".parse().unwrap());
    WhatIfOptions { range: range(endpoint), schedule: file, sweep, margin_ms: None }
}

const MARGIN: Duration = Duration::from_millis(5);

#[tokio::test(start_paused = true)]
async fn whatif_says_who_would_have_answered() {
    let world = system().await;
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let folder = tempfile::tempdir().unwrap();
    let schedule = r#"{"choices":[{"model":"c@1"}],"deadline_ms":200}"#;
    let configuration = format!("{{\"schedule\":{schedule}}}");
    for text in [schedule, &configuration] {
        let options = options(&folder, "e", text);
        let report = whatif::whatif(files, table, &options, MARGIN).await.unwrap();
        let json = &report.json;
        let counts = [&json["requests"], &json["changed"], &json["recomputed"]["same"]];
        assert_eq!(counts, [20, 20, 20]);
        assert_eq!(json["sweep"].as_array().unwrap().len(), 3);
        assert_eq!(json["real"]["models"]["b@1"], 20);
        assert_eq!(json["whatif"]["kinds"]["champion"], 20);
        assert!(json["whatif"]["elapsed_ms"]["p95"].as_f64().unwrap() < 20.0, "{json}");
        let text = &report.text;
        assert!(text.contains("won by c@1") && text.contains("deadline ms"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn gaps_names_the_model_that_sends_nothing() {
    let world = system().await;
    let options = GapsOptions { range: range("e") };
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let gaps = gaps::gaps(files, table, &options).await.unwrap();
    let json = &gaps.json;
    assert_eq!([&json["requests"], &json["without_scores"], &json["pairs"]], [20, 0, 80]);
    assert_eq!(json["missing"]["d@1"], 20);
    assert!(gaps.text.contains("    d@1"), "{}", gaps.text);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_on_the_command_line_is_said() {
    let world = system().await;
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"choices":[{"model":"c@1"}],"deadline_ms":200}"#;
    let wrong = [
        ("f", good, "there is no endpoint f: known are e", 1),
        ("e", "{", "schedule.json: EOF", 2),
        (
            "e",
            &good.replace("choices", "choice"),
            "schedule.json: /schedule/choice: unknown field; /schedule",
            2,
        ),
        ("e", &good.replace("200", "0"), "/schedule/deadline_ms: is 0", 2),
    ];
    for (endpoint, schedule, message, code) in wrong {
        let options = options(&folder, endpoint, schedule);
        let problem = whatif::whatif(files, table, &options, MARGIN).await.unwrap_err();
        assert!(problem.to_string().contains(message), "{problem}");
        assert_eq!(problem.code(), code);
    }
}

#[test]
fn a_folder_that_is_no_data_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rendezvousctl"));
    let output = command.args(["gaps", "e", "--data"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("is not the data folder of a local system"), "{message}");
    assert!(!Path::new(&path).exists());
}
