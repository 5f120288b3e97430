//! Records that come again, late, or unreadable.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use rendezvous_core::{
    RequestMessage,
    memory::Position,
    ports::{Consistency, Ledger},
};
use rendezvous_sim::Size;
use rendezvous_tests::{CONFIGURATION, Does::Score, World, model};
use tokio::time::sleep;

use crate::{taken, world};

#[tokio::test(start_paused = true)]
async fn a_batch_is_redelivered_and_each_score_is_filed_once() {
    let (world, models) = world(Score(80), Score(10), Score(10), Score(10)).await;
    let spy = world.system.input.subscribe(Position::Latest, 1);
    let redelivery = async {
        sleep(Duration::from_millis(5)).await;
        let record = taken(spy).await.pop().unwrap();
        // The same record twice more while the request is open, as after retries of a producer.
        for _ in 0..2 {
            world.put(&world.system.input, record.key.as_str(), &record.data).await;
        }
    };
    let (reply, ()) = tokio::join!(world.ask("{\"n\": 1}"), redelivery);
    reply.is("a@1 preferred", 80.0..=110.0);
    // d observes: its scores are only archived.
    let ids = ["b@1", "c@1", "a@1"];
    let mailbox = world.system.ledger.read(reply.id(), Consistency::Strong).await.unwrap().unwrap();
    let filed: Vec<&str> = mailbox.scores.iter().map(|score| score.model.as_str()).collect();
    assert_eq!(filed, ids, "each once, though b and c had scored three times before the decision");
    world.drain().await;
    assert_eq!(models[1].asked().len(), 3);
    assert_eq!(world.read(reply.id()).await.body["elapsed_ms"], reply.body["elapsed_ms"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_blocks_nothing_and_is_kept() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let poison = [&b"\xff\x00 not JSON"[..], b"{}", br#"{"v":2,"envelope":{},"payload":1}"#];
    for bytes in poison {
        for shard in 0..8 {
            world.put(&world.system.input, &format!("k{shard}"), bytes).await;
            world.put(&world.system.scores, &format!("k{shard}"), bytes).await;
        }
    }
    world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    world.drain().await;
    let files = world.system.archive.files();
    for (stream, what) in [("input", "request message"), ("scores", "score message")] {
        let folder = format!("quarantine/{stream}/");
        let kept = files.iter().filter(|(name, _)| name.starts_with(&folder));
        let kept: Vec<&str> =
            kept.flat_map(|(_, file)| str::from_utf8(file).unwrap().lines()).collect();
        assert_eq!(kept.len(), poison.len() * 8);
        let first: serde_json::Value = serde_json::from_str(kept[0]).unwrap();
        assert!(first["reason"].as_str().unwrap().contains(what), "{first}");
    }
    assert!(!files.iter().any(|(name, _)| name.starts_with("failed/")));
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_the_backlog_expires_and_the_next_request_is_the_champions() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    models[0].faults.kill(true);
    // Before it is presumed silent.
    for i in 0..25 {
        let reply = world.ask(&format!("{{\"n\": {i}}}")).await;
        reply.is("b@1 opened", 100.0..=101.0);
    }
    models[0].faults.kill(false);
    // The function is invoked again within two seconds.
    sleep(Duration::from_secs(3)).await;
    let reply = world.ask("{}").await;
    reply.is("a@1 preferred", 10.0..=15.0);
    world.drain().await;
    assert!(models[0].asked().len() < 15, "most of the backlog had expired");
    assert_eq!(models[3].asked().len(), 26);
}

#[tokio::test(start_paused = true)]
async fn a_challenger_may_choose_to_score_the_whole_backlog() {
    let world = World::new().await;
    let challenger = world.model_with("d@1", Score(10), |profile| profile.scores_expired = true);
    challenger.faults.kill(true);
    for _ in 0..5 {
        world.ask("{}").await;
    }
    challenger.faults.kill(false);
    world.drain().await;
    assert_eq!(challenger.asked().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_fails_at_the_models_time_out_and_holds_up_no_other_of_its_batch() {
    let size = Size { shards: 1, ..Size::default() };
    let world = World::with(CONFIGURATION, size).await;
    let a =
        world.model_with("a@1", Score(10), |profile| profile.timeout = Duration::from_millis(50));
    world.model("b@1", Score(10));
    // The lane is busy with a first request while nine more gather into one batch.
    let requests = (0..10).map(|i| {
        let (world, a) = (&world, &a);
        async move {
            sleep(Duration::from_millis(if i == 0 { 0 } else { 2 })).await;
            a.faults.hang_one_in(if i == 0 { 0 } else { 9 });
            world.ask("{}").await
        }
    });
    let replies = join_all(requests).await;
    let by = |who: &str| replies.iter().filter(|reply| reply.answer() == who).count();
    assert_eq!((by("a@1 preferred"), by("b@1 survivor")), (9, 1));
    for reply in &replies {
        let elapsed = reply.body["elapsed_ms"].as_f64().unwrap();
        let limit = if reply.answer() == "a@1 preferred" { 20.0 } else { 60.0 };
        assert!(elapsed <= limit, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_envelope_comes_back_with_fields_that_nobody_here_knows() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let scores = world.system.scores.subscribe(Position::Latest, 1);
    let spy = world.system.input.subscribe(Position::Latest, 1);
    world.ask("{}").await;
    let known = taken(spy).await.pop().unwrap();
    let text = String::from_utf8(known.data.to_vec()).unwrap();
    let message = RequestMessage::parse(text.as_bytes()).unwrap();
    let id = message.envelope.id.to_string();
    let other = "0199aaaa-0000-7000-8000-000000000001";
    let envelope = "\"envelope\":{ \"tomorrow\" : [1, 2],";
    let text = text.replace(&id, other).replace("\"envelope\":{", envelope);
    world.put(&world.system.input, other, text.as_bytes()).await;
    sleep(Duration::from_millis(20)).await;
    let scores = taken(scores).await;
    let texts = scores.iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap());
    let carried = texts.filter(|text| text.contains(other) && text.contains(envelope));
    assert_eq!(carried.count(), 4, "each model's score carries the envelope as it came");
}

#[tokio::test(start_paused = true)]
async fn a_score_that_is_a_minute_too_late_costs_no_ledger_call() {
    let world = World::new().await;
    let scores = world.system.scores.subscribe(Position::Latest, 1);
    world.model("a@1", Score(10));
    let id = world.ask("{}").await.id().to_string();
    let record = taken(scores).await.pop().unwrap();
    let text = String::from_utf8(record.data.to_vec()).unwrap();
    // The same score of another request, which the function does not remember as settled.
    let send = async |number: u32| {
        let other = format!("0199aaaa-0000-7000-8000-{number:012}");
        let text = text.replace(&id, &other);
        let before = world.system.ledger.calls();
        world.put(&world.system.scores, &other, text.as_bytes()).await;
        sleep(Duration::from_millis(100)).await;
        let (reads, writes) = world.system.ledger.calls();
        (reads - before.0) + (writes - before.1)
    };
    // The deadline is 1 s after the receipt.
    sleep(Duration::from_mins(1)).await;
    assert_eq!(send(1).await, 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(send(2).await, 0);
    assert_eq!(world.system.counters.totals().rendezvous.expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_is_not_invoked_for_the_requests_of_other_endpoints() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let other = world.model_with("other@1", Score(10), |profile| {
        profile.endpoints = HashSet::from(["other".parse().unwrap()]);
    });
    world.ask("{}").await;
    world.put(&world.system.input, "k", b"not JSON").await;
    world.drain().await;
    assert!(other.asked().is_empty());
    let models = world.system.counters.totals().models;
    assert!(!models.contains_key(&model("other@1")), "its function has reported no batch");
    assert_eq!(models[&model("a@1")].scored, 1);
}
