//! What the archive holds.

use std::time::Duration;

use http::Method;
use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, ScoreRow};
use rendezvous_core::{FailureKind, Kind, Reason, memory::Trouble};
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Fail, Hang, Score},
    World, model, rows,
};
use tokio::time::sleep;

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
    let mut archived = Vec::new();
    for row in rows::<RequestRow<'_>>(&files) {
        assert_eq!((row.endpoint.as_str(), row.config), ("e", 1));
        archived.push(row.payload.into_owned());
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
async fn what_the_archive_does_not_take_for_a_day_is_there_afterwards() {
    let world = World::with(CONFIGURATION, Size { monitor: None, ..Size::default() }).await;
    world.model("a@1", Score(10));
    world.system.archive.outage.set(Trouble::Down);
    let id = world.ask("{}").await.id();
    sleep(Duration::from_hours(24)).await;
    world.system.archive.outage.set(Trouble::None);
    world.drain().await;
    let files = world.system.archive.files();
    assert_eq!(rows::<ScoreRow<'_>>(&files).len(), 1);
    assert!(rows::<RequestRow<'_>>(&files).iter().all(|row| row.request_id == id));
    assert_eq!(rows::<DecisionRow<'_>>(&files).len(), 1);
    assert!(files.iter().all(|(name, _)| !name.starts_with("failed/")), "{files:?}");
}

#[tokio::test(start_paused = true)]
async fn the_archive_holds_scores_decisions_and_the_outcomes_that_clients_report() {
    let configuration = CONFIGURATION.replace("\"/p\"", "\"/p\", \"outcome\": \"/late\"");
    let world = World::with(&configuration, Size::default()).await;
    world.model("a@1", Hang);
    world.model("b@1", Fail(10));
    world.model("c@1", Score(30));
    let id = world.ask("{}").await.id();
    for outcome in ["{\"late\": false}", "{ \"late\":true }"] {
        let path = format!("/v1/endpoints/e/requests/{id}/outcome");
        assert_eq!(world.call(Method::PUT, &path, &[], outcome).await.status, 204);
    }
    world.drain().await;
    let files = world.system.archive.files();

    let mut scores: Vec<ScoreRow<'_>> = rows(&files);
    scores.sort_by_key(|row| row.model.to_string());
    let told: Vec<_> = scores
        .iter()
        .map(|row| (row.request_id, &row.model, row.failure_kind, row.value))
        .collect();
    let [a, b, c] = ["a@1", "b@1", "c@1"].map(model);
    assert_eq!(
        told,
        [
            (id, &a, Some(FailureKind::TimedOut), None),
            (id, &b, Some(FailureKind::Failed), None),
            (id, &c, None, Some(0.5)),
        ]
    );
    let decisions: Vec<DecisionRow<'_>> = rows(&files);
    let [decision] = &decisions[..] else { panic!("{decisions:?}") };
    assert_eq!((decision.request_id, decision.config), (id, 1));
    assert_eq!((decision.kind, decision.reason), (Kind::StandIn, Reason::Opened));
    assert_eq!((decision.model.as_ref(), &decision.champion), (Some(&c), &a));
    assert_eq!(decision.value, Some(0.5));
    // Both rows; the view selects the last one.
    let outcomes: Vec<OutcomeRow<'_>> = rows(&files);
    let told: Vec<_> = outcomes
        .iter()
        .map(|row| (row.request_id, row.endpoint.as_str(), row.outcome.as_str(), row.value))
        .collect();
    assert_eq!(
        told,
        [(id, "e", "{\"late\": false}", Some(0.0)), (id, "e", "{ \"late\":true }", Some(1.0)),]
    );
}
