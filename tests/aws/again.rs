//! What is done again on the deployed system: a model scores archived requests, and a batch that its function could not
//! handle is brought back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rendezvous_archive::{ReplayRow, RequestRow, Row, ScoreRow, read};
use rendezvous_aws::{
    Aws, S3Archive,
    batch::{Batch, Data, Record},
};
use rendezvous_core::{
    Json, RequestId, RequestMessage,
    conformance::samples,
    now,
    ports::{Archive, ArchiveFiles},
};
use serde_json::json;

use crate::{System, eventually};

/// The replays of this model are compared with what it has scored live.
const MODEL: &str = "gbt@1";

/// `asked` requests are in the archive at least.
pub(crate) async fn requests_are_replayed_and_a_batch_is_redriven(
    system: &System,
    aws: &Aws,
    asked: usize,
) {
    a_replay_gives_the_scores_that_the_model_gave_live(system, aws, asked).await;
    a_batch_of_the_failure_bucket_is_brought_back_once(system, aws).await;
}

async fn a_replay_gives_the_scores_that_the_model_gave_live(
    system: &System,
    aws: &Aws,
    asked: usize,
) {
    println!("rendezvousctl replay");
    let archive = aws.archive().unwrap();
    let name = system.stack.deploy_replay("Gbt", MODEL, "flights/gbt.json");
    let folder = tempfile::tempdir().unwrap();
    let position = folder.path().join("position.json");
    let arguments = ["replay", "flight-delay", "--model", MODEL, "--rate", "1000", "--position"];
    let arguments = [&arguments[..], &[position.to_str().unwrap()]].concat();
    let printed = system.stack.ctl(&arguments).await;
    println!("{printed}");
    let sent = printed.trim_end().strip_suffix(" in all").unwrap().rsplit(' ').next().unwrap();
    let sent: usize = sent.parse().unwrap();
    assert!(sent >= asked, "{sent} requests of {asked}");
    let mut replays: Vec<ReplayRow<'_>> = Vec::new();
    eventually("every replay in the archive", async || {
        replays = rows(&archive).await;
        replays.iter().map(|row| row.request_id).collect::<BTreeSet<_>>().len() == sent
    })
    .await;
    let replayed: BTreeMap<RequestId, Option<&Json>> =
        replays.iter().map(|row| (row.request_id, row.score.as_ref())).collect();
    let scores: Vec<ScoreRow<'_>> = rows(&archive).await;
    let live = scores.iter().filter(|row| row.model.as_str() == MODEL && row.score.is_some());
    let mut same = 0;
    for row in live {
        let Some(replay) = replayed.get(&row.request_id) else { continue };
        assert_eq!(*replay, row.score.as_ref(), "{}", row.request_id);
        same += 1;
    }
    println!("{sent} replays, {same} of them with a live score, each the same");
    assert!(same >= asked / 2, "{same} scores were compared");
    let again: BTreeSet<RequestId> = replays.iter().map(|row| row.replayed_as).collect();
    assert!(scores.iter().all(|row| !again.contains(&row.request_id)), "in a live table");
    system.stack.delete(&name);
}

/// Every row of a table.
pub(crate) async fn rows<R: Row>(archive: &S3Archive) -> Vec<R> {
    let mut rows = Vec::new();
    for file in archive.list(&format!("{}/", R::TABLE)).await.unwrap() {
        rows.extend(read::<R>(archive.get(&file.name).await.unwrap().unwrap()).unwrap());
    }
    rows
}

async fn a_batch_of_the_failure_bucket_is_brought_back_once(system: &System, aws: &Aws) {
    println!("rendezvousctl redrive");
    let (stack, failures) = (&system.stack, system.stack.failures());
    let envelope = samples::envelope(&samples::endpoint());
    let payload = Json::parse(&system.flights[0].payload).unwrap();
    let bytes = RequestMessage::write(&envelope, &payload).unwrap();
    let data = Data::new("k", bytes);
    let record = Record::new("shardId-000000000000", "1".to_owned(), now(), data);
    let event = Batch::new(stack.output("InputStreamArn"), vec![record]);
    // As Lambda stores it.
    let function = stack.output("DecoyFunction");
    let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{function}");
    let object = json!({
        "requestContext": { "functionArn": arn, "condition": "RetryAttemptsExhausted" },
        "payload": serde_json::to_string(&event).unwrap(),
    });
    let (kept, broken) = ("aws/lambda/mapping/1", "aws/lambda/mapping/2");
    failures.put(kept, object.to_string().into()).await.unwrap();
    failures.put(broken, Bytes::from_static(b"not of Lambda")).await.unwrap();
    let printed = stack.ctl(&["redrive", "decoy"]).await;
    println!("{printed}");
    assert!(printed.contains("handled") && printed.contains("left"), "{printed}");
    let archived: Vec<RequestRow<'_>> = rows(&aws.archive().unwrap()).await;
    assert_eq!(archived.iter().filter(|row| row.request_id == envelope.id).count(), 1);
    let left = failures.list("").await.unwrap().into_iter().map(|file| file.name);
    assert_eq!(left.collect::<Vec<_>>(), [broken.to_owned(), format!("redriven/{kept}")]);
    let printed = stack.ctl(&["redrive", "decoy"]).await;
    assert!(!printed.contains("handled"), "{printed}");
}
