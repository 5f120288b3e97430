//! What the archive holds.

use http::Method;
use parquet::record::Field;
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Fail, Hang, Score},
    World, rows,
};

use crate::world;

#[tokio::test(start_paused = true)]
async fn the_archive_is_what_the_models_saw_byte_for_byte() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let odd = [
        r#"{"a":1,"a":2}"#,
        r#"{"z":1.0 ,"a":123456789012345678901234567890e-7}"#,
        "\"\\u00e4 ä \\/ \u{1F980}\"",
        "[ ]",
        "null",
        "{\n\t\"deep\": [[[[[[[[{}]]]]]]]]}",
    ];
    for payload in odd {
        world.ask(payload).await.is("a@1 preferred", 10.0..=16.0);
    }
    world.drain().await;
    let files = world.system.archive.files();
    for (name, _) in &files {
        assert!(name.contains("/date=2025-11-22/hour=06/"), "{name}");
    }
    let columns = ["endpoint", "config", "payload"];
    let mut archived = Vec::new();
    for row in rows(&files, "requests", &columns) {
        let [Field::Str(endpoint), Field::Long(1), Field::Str(payload)] = &row[..] else {
            panic!("{row:?}");
        };
        assert_eq!(endpoint, "e");
        archived.push(payload.clone());
    }
    let mut seen: Vec<String> =
        models[2].asked().iter().map(|json| json.as_str().to_owned()).collect();
    let mut sent = odd.map(str::to_owned);
    archived.sort();
    seen.sort();
    sent.sort();
    assert_eq!(archived, sent);
    assert_eq!(seen, sent);
}

#[tokio::test(start_paused = true)]
async fn the_archive_holds_scores_decisions_and_the_outcomes_that_clients_report() {
    let configuration = CONFIGURATION.replace("\"/p\"", "\"/p\", \"outcome\": \"/late\"");
    let world = World::with(&configuration, Size::default()).await;
    world.model("a@1", Hang);
    world.model("b@1", Fail(10));
    world.model("c@1", Score(30));
    let id = world.ask("{}").await.id().to_string();
    for outcome in ["{\"late\": false}", "{ \"late\":true }"] {
        let path = format!("/v1/endpoints/e/requests/{id}/outcome");
        assert_eq!(world.call(Method::PUT, &path, &[], outcome).await.status, 204);
    }
    world.drain().await;
    let files = world.system.archive.files();
    let text = |text: &str| Field::Str(text.to_owned());

    let mut scores = rows(&files, "scores", &["request_id", "model", "failure_kind", "value"]);
    scores.sort_by_key(|row| row[1].to_string());
    assert_eq!(
        scores,
        [
            [text(&id), text("a@1"), text("timed_out"), Field::Null],
            [text(&id), text("b@1"), text("failed"), Field::Null],
            [text(&id), text("c@1"), Field::Null, Field::Double(0.5)],
        ]
    );
    let decision = ["request_id", "kind", "reason", "model", "champion", "config", "value"];
    assert_eq!(
        rows(&files, "decisions", &decision),
        [[
            text(&id),
            text("stand_in"),
            text("opened"),
            text("c@1"),
            text("a@1"),
            Field::Long(1),
            Field::Double(0.5)
        ]]
    );
    // Both rows; the view selects the last one.
    assert_eq!(
        rows(&files, "outcomes", &["request_id", "endpoint", "outcome", "value"]),
        [
            [text(&id), text("e"), text("{\"late\": false}"), Field::Double(0.0)],
            [text(&id), text("e"), text("{ \"late\":true }"), Field::Double(1.0)],
        ]
    );
}
