//! Payloads that are too large for a message.

use std::time::Duration;

use rendezvous_archive::{RequestRow, ScoreRow};
use rendezvous_core::{
    Payload, RequestMessage,
    memory::{MemoryLedger, Position, Trouble},
};
use rendezvous_tests::{
    Does::{Hang, Score},
    World, rows,
};
use tokio::time::sleep;

use crate::{taken, without_fallback, world};

/// JSON with quotes, backslashes and characters of two, three and four bytes, of some size.
fn large(bytes: usize) -> String {
    let part = r#"\"é世🛫\\"#;
    format!("{{ \"text\": \"{}\"}}", part.repeat(bytes / part.len()))
}

#[tokio::test(start_paused = true)]
async fn models_and_archive_have_a_large_payload_byte_for_byte_and_nothing_is_left_behind() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    // The event of each has at most 6 MB.
    let sent = [large(4_000_000), large(300_000), large(262_000)];
    for payload in &sent {
        world.ask(payload).await.is("a@1 preferred", 10.0..=16.0);
    }
    world.drain().await;
    let mut sent = sent.to_vec();
    sent.sort();
    for model in models {
        let mut asked: Vec<_> =
            model.asked().iter().map(|payload| payload.as_str().to_owned()).collect();
        asked.sort();
        assert!(asked == sent, "a model has seen something else");
    }
    let archived = rows::<RequestRow<'_>>(&world.system.archive.files());
    let mut archived: Vec<_> = archived.into_iter().map(|row| row.payload.into_owned()).collect();
    archived.sort();
    assert!(archived == sent, "something else is archived");
    assert_eq!(world.system.payloads.keys().len(), 2);
    sleep(MemoryLedger::RETENTION + Duration::from_secs(1)).await;
    assert_eq!(world.system.payloads.keys().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_payload_of_256_kb_is_in_its_message_and_a_larger_one_is_not() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let lanes = world.system.input.subscribe(Position::Latest, 1);
    for bytes in [262_144, 262_145] {
        let payload = format!("\"{}\"", "x".repeat(bytes - 2));
        world.ask(&payload).await.is("a@1 preferred", 10.0..=16.0);
    }
    let records = taken(lanes).await;
    let is_stored =
        |data| matches!(RequestMessage::parse(data).unwrap().payload, Payload::Stored(_));
    let mut stored: Vec<_> =
        records.iter().map(|record| (is_stored(&record.data), record.data.len())).collect();
    stored.sort_unstable();
    assert!(!stored[0].0 && stored[0].1 > 262_144 && stored[1].0 && stored[1].1 < 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_refused_that_lambda_would_not_take() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let quotes = |bytes: usize| format!("\"{}\"", "\\\"".repeat(bytes / 2));
    let reply = world.ask(&quotes(3_100_000)).await;
    assert_eq!(reply.status, 413, "{}", reply.text);
    assert!(reply.text.contains("escaped"), "{}", reply.text);
    world.ask(&quotes(2_900_000)).await.is("a@1 preferred", 10.0..=16.0);
    assert_eq!(world.ask(&format!("\"{}\"", "x".repeat(4_999_999))).await.status, 413);
    let most = format!("\"{}\"", "x".repeat(4_999_998));
    world.ask(&most).await.is("a@1 preferred", 10.0..=16.0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_as_a_stream_that_refuses() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let payload = large(300_000);
    world.system.payloads.outage.set(Trouble::Down);
    let reply = world.ask(&payload).await;
    reply.is("fallback unavailable", 0.0..=1.0);
    assert_eq!(world.read(reply.id()).await.answer(), "fallback unavailable");
    world.ask("{}").await.is("a@1 preferred", 10.0..=16.0);
    world.system.payloads.outage.set(Trouble::Hanging);
    world.ask(&payload).await.is("fallback unavailable", 900.0..=1000.0);
    assert_eq!(models[0].asked().len(), 1);

    world.publish(&without_fallback()).await;
    sleep(Duration::from_secs(1)).await;
    world.system.payloads.outage.set(Trouble::Down);
    let reply = world.ask(&payload).await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(reply.text.contains("payload store"), "{}", reply.text);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_with_a_key_stores_and_sends_a_large_payload_once() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let (payload, key) = (large(300_000), [("idempotency-key", "k")]);
    let first = world.ask_with(&payload, &key).await;
    let second = world.ask_with(&payload, &key).await;
    assert_eq!((first.answer(), first.id()), (second.answer(), second.id()));
    assert_eq!(world.ask_with(&large(300_100), &key).await.status, 409);
    assert_eq!(models[0].asked().len(), 1);
    assert_eq!(world.system.payloads.keys().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_is_gone_fails_the_score_and_is_kept_in_quarantine_with_its_reason() {
    let (world, _) = world(Score(10), Score(10), Score(10), Hang).await;
    world.system.payloads.outage.set(Trouble::Slow(Duration::from_millis(50)));
    let payload = large(300_000);
    let delete = async {
        sleep(Duration::from_millis(75)).await;
        for key in world.system.payloads.keys() {
            world.system.payloads.delete(&key);
        }
    };
    let (reply, ()) = tokio::join!(world.ask(&payload), delete);
    reply.is("fallback exhausted", 100.0..=110.0);
    let why = reply.body["failures"][0]["message"].as_str().unwrap();
    assert!(why.starts_with("the payload was not read") && why.contains("expired"), "{why}");
    world.drain().await;
    let files = world.system.archive.files();
    assert_eq!(rows::<RequestRow<'_>>(&files).len(), 0);
    assert_eq!(rows::<ScoreRow<'_>>(&files).len(), 4);
    let quarantine = files.iter().find(|(name, _)| name.starts_with("quarantine/input/")).unwrap();
    let kept = std::str::from_utf8(&quarantine.1).unwrap();
    assert!(kept.contains("the stored payload is not there"), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_a_waiting_client_gets_the_next_answer_and_the_archive_waits() {
    let world = World::new().await;
    let [a, d] = [world.model("a@1", Score(10)), world.model("d@1", Score(10))];
    for id in ["b@1", "c@1"] {
        world.model(id, Score(10));
    }
    world.system.payloads.outage.set(Trouble::Slow(Duration::from_millis(20)));
    let payload = large(300_000);
    let fails = async {
        sleep(Duration::from_millis(30)).await;
        world.system.payloads.outage.set(Trouble::Down);
    };
    let (first, ()) = tokio::join!(world.ask(&payload), fails);
    // Their reads had begun.
    first.is("a@1 preferred", 40.0..=60.0);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(rows::<RequestRow<'_>>(&world.system.archive.files()).len(), 0);
    world.system.payloads.outage.set(Trouble::None);
    world.drain().await;
    let archived = rows::<RequestRow<'_>>(&world.system.archive.files());
    assert!(archived.len() == 1 && archived[0].payload == payload);
    assert_eq!((a.asked().len(), d.asked().len()), (1, 1));
}
