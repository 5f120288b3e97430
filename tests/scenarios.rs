//! The system as its users meet it, each scenario a sentence, all in virtual time.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::Method;
use parquet::record::Field;
use rendezvous_core::{
    Json, RequestMessage,
    memory::{Position, StoredRecord, Subscription, Trouble},
    ports::{Consistency, Ledger},
};
use rendezvous_sim::Size;
use rendezvous_tests::{CONFIGURATION, Does, MARGIN_MS, Told, World, rows};
use tokio::time::sleep;

/// All four models, each as quick as told.
async fn world(a: Does, b: Does, c: Does, d: Does) -> (World, [Told; 4]) {
    let world = World::new().await;
    let models = [
        world.model("a@1", a),
        world.model("b@1", b),
        world.model("c@1", c),
        world.model("d@1", d),
    ];
    (world, models)
}

use Does::{Fail, Hang, Panic, Score};

/// What has come in on a subscription; ends it.
async fn taken(lanes: Vec<Subscription>) -> Vec<Arc<StoredRecord>> {
    let mut records = Vec::new();
    for lane in lanes {
        tokio::select! {
            batch = lane.next(1_000, usize::MAX, Duration::ZERO) => records.extend(batch),
            () = sleep(Duration::from_millis(1)) => {}
        }
    }
    records
}

#[tokio::test(start_paused = true)]
async fn the_champion_wins_even_when_a_challenger_is_faster() {
    let (world, _) = world(Score(80), Score(5), Score(5), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("a@1 preferred", 80.0..=110.0);
    assert_eq!(reply.body["score"]["by"], "a@1");
    assert!(reply.text.contains(r#""score":{"by": "a@1", "p": 0.50}"#), "byte for byte");
    assert_eq!(reply.body["elapsed_ms"], 80.0, "decided when the score came");
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_answers_once_its_time_has_come() {
    let (world, _) = world(Hang, Score(20), Score(5), Score(1)).await;
    world.ask("{}").await.is("b@1 opened", 100.0..=101.0);
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_comes_after_its_time_answers_when_it_comes() {
    let (world, _) = world(Hang, Score(150), Hang, Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("b@1 opened", 150.0..=175.0);
    assert_eq!(reply.body["elapsed_ms"], 150.0);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_champion_costs_no_waiting() {
    let (world, _) = world(Panic, Score(10), Score(5), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("b@1 survivor", 10.0..=15.0);
    let read = world.read(reply.id()).await;
    let failure = read.body["scores"].as_array().unwrap().iter().find(|s| s["model"] == "a@1");
    assert_eq!(failure.unwrap()["failure"]["kind"], "failed");
}

#[tokio::test(start_paused = true)]
async fn everything_fails_and_the_fallback_is_the_answer_at_once() {
    let (world, _) = world(Panic, Fail(10), Fail(30), Score(1)).await;
    let reply = world.ask("{}").await;
    reply.is("fallback exhausted", 30.0..=40.0);
    assert_eq!(reply.body["score"]["p"], 0.22);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_caller_is_shorter_than_the_schedules() {
    let (world, _) = world(Hang, Score(20), Hang, Score(1)).await;
    let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "60")]).await;
    reply.is("b@1 deadline", 60.0 - MARGIN_MS..=60.0);
    let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "10")]).await;
    reply.is("fallback deadline", 10.0 - MARGIN_MS..=10.0);
    let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", "29000")]).await;
    reply.is("b@1 opened", 100.0..=101.0);
}

#[tokio::test(start_paused = true)]
async fn a_preference_to_wait_shortens_the_deadline_in_whole_seconds() {
    let configuration = CONFIGURATION.replace("\"deadline_ms\": 1000", "\"deadline_ms\": 5000");
    let world = World::with(&configuration, Size::default()).await;
    let reply = world.ask_with("{}", &[("Prefer", "wait=2")]).await;
    reply.is("fallback deadline", 2000.0 - MARGIN_MS..=2000.0);
    assert_eq!(reply.headers["preference-applied"], "wait=2");
}

#[tokio::test(start_paused = true)]
async fn no_model_is_up_and_the_fallback_comes_at_the_deadline() {
    let world = World::new().await;
    world.ask("{}").await.is("fallback deadline", 1000.0 - MARGIN_MS..=1000.0);
}

#[tokio::test(start_paused = true)]
async fn no_answer_and_no_fallback_is_a_504_in_time() {
    let without = CONFIGURATION.replace(",\n        \"fallback\": { \"p\": 0.22 }", "");
    let world = World::with(&without, Size::default()).await;
    let reply = world.ask("{}").await;
    assert_eq!(reply.status, 504, "{reply:?}");
    assert!((1000.0 - MARGIN_MS..=1000.0).contains(&reply.took_ms));
    assert_eq!(world.read(reply.id()).await.answer(), "none deadline");
}

#[tokio::test(start_paused = true)]
async fn two_settlers_race_and_both_return_the_same_decision() {
    let (world, models) = world(Hang, Score(20), Score(20), Score(1)).await;
    let key = [("Idempotency-Key", "race")];
    let (one, two) = tokio::join!(world.ask_with("{}", &key), world.ask_with("{}", &key));
    one.is("b@1 opened", 100.0..=101.0);
    assert_eq!(one.text, two.text);
    assert!((1..=2).contains(&models[1].asked().len()), "a repeat that finds no mark sends again");
    assert_eq!(world.read(one.id()).await.answer(), "b@1 opened");
}

#[tokio::test(start_paused = true)]
async fn ingress_and_rendezvous_race_at_the_deadline_and_agree() {
    // The champion's score arrives in the very moments in which ingress settles.
    for ms in [989, 990, 991, 993, 994, 995, 996, 997, 999] {
        let (world, _) = world(Score(ms), Hang, Hang, Hang).await;
        let reply = world.ask("{}").await;
        assert!(reply.took_ms <= 1000.0);
        world.drain().await;
        assert_eq!(world.read(reply.id()).await.answer(), reply.answer(), "at {ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_redelivered_and_each_score_is_filed_once() {
    let (world, models) = world(Score(80), Score(10), Score(10), Score(10)).await;
    let spy = world.system.input.subscribe(Position::Latest, 1);
    let redelivery = async {
        sleep(Duration::from_millis(5)).await;
        let record = taken(spy).await.pop().unwrap();
        // A producer's retry, or Lambda's: the very record again, twice, while the request is open.
        for _ in 0..2 {
            world.put(&world.system.input, record.key.as_str(), &record.data).await;
        }
    };
    let (reply, ()) = tokio::join!(world.ask("{\"n\": 1}"), redelivery);
    reply.is("a@1 preferred", 80.0..=110.0);
    let ids = ["b@1", "c@1", "d@1", "a@1"];
    let mailbox = world.system.ledger.read(reply.id(), Consistency::Strong).await.unwrap().unwrap();
    let filed: Vec<&str> = mailbox.scores.iter().map(|score| score.model.as_str()).collect();
    assert_eq!(
        filed, ids,
        "each once, though b, c and d had scored three times before the decision"
    );
    world.drain().await;
    assert_eq!(models[1].asked().len(), 3);
    assert_eq!(world.read(reply.id()).await.body["elapsed_ms"], reply.body["elapsed_ms"]);
}

#[tokio::test(start_paused = true)]
async fn scores_that_could_not_be_filed_come_again() {
    let (world, _) = world(Score(10), Score(500), Score(500), Score(500)).await;
    let ask = world.ask("{}");
    let trouble = async {
        sleep(Duration::from_millis(5)).await;
        world.system.ledger.outage.set(Trouble::Throttled);
        sleep(Duration::from_millis(200)).await;
        world.system.ledger.outage.set(Trouble::None);
    };
    let (reply, ()) = tokio::join!(ask, trouble);
    // The function's batch is tried again after 100 ms, then after 200 ms.
    reply.is("a@1 preferred", 300.0..=340.0);
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_passes_by_and_is_kept() {
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
async fn the_ledger_is_down_and_the_caller_still_gets_the_fallback_in_time() {
    for trouble in [Trouble::Down, Trouble::Throttled, Trouble::Hanging] {
        let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
        world.system.ledger.outage.set(trouble);
        let reply = world.ask("{}").await;
        reply.is("fallback unavailable unsettled", 1000.0 - MARGIN_MS..=1000.0);
        assert_eq!(reply.status, 200);
        let keyed = world.ask_with("{}", &[("Idempotency-Key", "k")]).await;
        keyed.is("fallback unavailable unsettled", 0.0..=1000.0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_table_is_down_and_nobody_notices() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    for trouble in [Trouble::Down, Trouble::Throttled, Trouble::Hanging] {
        world.system.endpoints.outage.set(trouble);
        sleep(Duration::from_secs(5)).await;
        world.ask("{}").await.is("a@1 preferred", 10.0..=120.0);
        world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_score_that_was_seen_is_answered_although_it_cannot_be_committed() {
    let (world, _) = world(Hang, Score(20), Hang, Hang).await;
    let trouble = async {
        sleep(Duration::from_millis(90)).await;
        world.system.ledger.outage.set(Trouble::Down);
    };
    let (reply, ()) = tokio::join!(world.ask("{}"), trouble);
    reply.is("b@1 opened unsettled", 1000.0 - MARGIN_MS..=1000.0);
}

#[tokio::test(start_paused = true)]
async fn the_input_stream_refuses_and_the_fallback_is_committed_at_once() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.system.input.outage.set(Trouble::Down);
    let reply = world.ask("{}").await;
    reply.is("fallback unavailable", 0.0..=1.0);
    assert_eq!(world.read(reply.id()).await.answer(), "fallback unavailable");

    world.system.input.outage.set(Trouble::Throttled);
    world.ask("{}").await.is("fallback unavailable", 900.0..=1000.0);
    world.system.input.outage.set(Trouble::Hanging);
    world.ask("{}").await.is("fallback unavailable", 900.0..=1000.0);
    assert!(models[0].asked().is_empty());

    let without = CONFIGURATION.replace(",\n        \"fallback\": { \"p\": 0.22 }", "");
    world.publish(&without).await;
    sleep(Duration::from_secs(1)).await;
    world.system.input.outage.set(Trouble::Down);
    let reply = world.ask("{}").await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (503, &"1".parse().unwrap()));
    world.system.input.outage.set(Trouble::Throttled);
    assert_eq!(world.ask("{}").await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_stream_is_tried_again_within_the_deadline() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.system.input.outage.set(Trouble::Throttled);
    let relief = async {
        sleep(Duration::from_millis(45)).await;
        world.system.input.outage.set(Trouble::None);
    };
    let (reply, ()) = tokio::join!(world.ask("{}"), relief);
    reply.is("a@1 preferred", 60.0..=80.0);
}

#[tokio::test(start_paused = true)]
async fn the_same_idempotency_key_with_the_same_payload_gets_the_same_answer() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-7")];
    let first = world.ask_with("{\"n\": 1}", &key).await;
    first.is("a@1 preferred", 10.0..=15.0);
    sleep(Duration::from_secs(5)).await;
    models[0].to(Panic);
    let again = world.ask_with("{\"n\": 1}", &key).await;
    assert_eq!(again.text, first.text);
    assert!(again.took_ms < 1.0, "{again:?}");
    assert_eq!(models[0].asked().len(), 1, "it was sent once");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_answered_from_the_decision_although_the_ledger_fails_then() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-9")];
    let first = world.ask_with("{}", &key).await;
    world.system.input.outage.set(Trouble::Down);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(world.ask_with("{}", &key).await.text, first.text);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_was_taken_though_nobody_said_so_still_gets_its_models_answer() {
    let (world, _) = world(Hang, Score(20), Hang, Hang).await;
    let key = [("Idempotency-Key", "order-10")];
    let first = world.ask_with("{}", &key);
    // A repeat comes while the stream is down and the mailbox is not marked yet.
    let repeat = async {
        sleep(Duration::from_millis(30)).await;
        world.system.input.outage.set(Trouble::Down);
        world.ask_with("{}", &key).await
    };
    let (first, repeat) = tokio::join!(first, repeat);
    first.is("b@1 opened", 100.0..=101.0);
    assert_eq!(repeat.text, first.text);
}

#[tokio::test(start_paused = true)]
async fn the_same_idempotency_key_with_another_payload_is_refused() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let key = [("Idempotency-Key", "order-7")];
    let first = world.ask_with("{\"n\": 1}", &key).await;
    let other = world.ask_with("{\"n\":1}", &key).await;
    assert_eq!(other.status, 409, "{other:?}");
    assert_eq!(other.id(), first.id());
    assert_eq!(models[0].asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_sends_again_what_the_stream_had_not_accepted() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let without = CONFIGURATION.replace(",\n        \"fallback\": { \"p\": 0.22 }", "");
    world.publish(&without).await;
    sleep(Duration::from_secs(1)).await;
    let key = [("Idempotency-Key", "order-8")];
    world.system.input.outage.set(Trouble::Down);
    assert_eq!(world.ask_with("{}", &key).await.status, 503);
    world.system.input.outage.set(Trouble::None);
    world.ask_with("{}", &key).await.is("a@1 preferred", 10.0..=15.0);
    assert_eq!(models[0].asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_want_to_wait_reads_the_answer_later() {
    let (world, _) = world(Score(50), Score(10), Score(10), Score(10)).await;
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    assert_eq!(reply.status, 202);
    assert!(reply.took_ms < 1.0);
    let path = reply.headers["location"].to_str().unwrap().to_owned();
    let open = world.get(&path).await;
    assert_eq!((open.status, open.body["scores"].as_array().unwrap().len()), (202, 0));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(world.get(&path).await.body["scores"].as_array().unwrap().len(), 3);
    sleep(Duration::from_millis(31)).await;
    world.get(&path).await.is("a@1 preferred", 0.0..=1.0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waited_for_is_decided_by_who_reads_it() {
    let (world, _) = world(Hang, Score(10), Hang, Hang).await;
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    sleep(Duration::from_secs(3)).await;
    let read = world.read(reply.id()).await;
    read.is("b@1 opened", 0.0..=1.0);
    assert_eq!(world.read(reply.id()).await.text, read.text);
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_the_backlog_expires_and_the_next_request_is_the_champions() {
    let (world, models) = world(Score(10), Score(10), Score(10), Score(10)).await;
    models[0].faults.kill(true);
    for i in 0..40 {
        let reply = world.ask(&format!("{{\"n\": {i}}}")).await;
        reply.is("b@1 opened", 100.0..=101.0);
    }
    models[0].faults.kill(false);
    // The function is tried again within two seconds.
    sleep(Duration::from_secs(3)).await;
    let reply = world.ask("{}").await;
    reply.is("a@1 preferred", 10.0..=15.0);
    world.drain().await;
    assert!(models[0].asked().len() < 15, "most of the backlog had expired");
    assert_eq!(models[3].asked().len(), 41);
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
async fn a_promotion_takes_effect_within_a_second_and_changes_no_request_in_flight() {
    let (world, _) = world(Score(50), Score(10), Score(10), Score(5)).await;
    let promoted = CONFIGURATION.replace("a@1", "x@1").replace("d@1", "a@1").replace("x@1", "d@1");
    let in_flight = world.ask("{}");
    let promotion = async {
        sleep(Duration::from_millis(20)).await;
        assert_eq!(world.publish(&promoted).await, 2);
        sleep(Duration::from_secs(1)).await;
        world.ask("{}").await
    };
    let (before, after) = tokio::join!(in_flight, promotion);
    before.is("a@1 preferred", 50.0..=80.0);
    assert_eq!(before.body["config"], 1);
    after.is("d@1 preferred", 5.0..=26.0);
    assert_eq!(after.body["elapsed_ms"], 5.0);
    assert_eq!(after.body["config"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_model_comes_up_beside_the_others_and_sees_every_request_from_then_on() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.ask("{\"n\": 1}").await;
    let new = world.model("new@1", Score(1));
    world.ask("{\"n\": 2}").await.is("a@1 preferred", 10.0..=15.0);
    assert_eq!(new.asked(), [Json::parse("{\"n\": 2}").unwrap()]);
}

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
    // Both: which one counts is the view's business.
    assert_eq!(
        rows(&files, "outcomes", &["request_id", "endpoint", "outcome", "value"]),
        [
            [text(&id), text("e"), text("{\"late\": false}"), Field::Double(0.0)],
            [text(&id), text("e"), text("{ \"late\":true }"), Field::Double(1.0)],
        ]
    );
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
async fn a_settled_answer_is_what_everybody_reads_later_whatever_breaks() {
    let (world, models) = world(Score(10), Score(20), Score(30), Score(5)).await;
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut settled = Vec::new();
    for _ in 0..300 {
        for told in &models {
            told.to(match random(8) {
                0 => Panic,
                1 => Fail(random(400)),
                2 => Hang,
                _ => Score(random(1_200)),
            });
            told.faults.kill(random(10) == 0);
        }
        let trouble = [Trouble::Throttled, Trouble::Down, Trouble::Hanging];
        if random(3) == 0 {
            world.system.ledger.outage.set(trouble[usize::try_from(random(3)).unwrap()]);
        }
        let relief = random(1_100);
        let (reply, ()) = tokio::join!(world.ask("{}"), async {
            sleep(Duration::from_millis(relief)).await;
            world.system.ledger.outage.set(Trouble::None);
        });
        assert_eq!(reply.status, 200);
        assert!(reply.took_ms <= 1000.0, "late: {reply:?}");
        if reply.body["settled"] == true {
            settled.push(reply);
        }
    }
    for told in &models {
        told.faults.kill(false);
    }
    world.drain().await;
    assert!(settled.len() > 200, "{} of 300 were settled", settled.len());
    for reply in settled {
        let read = world.read(reply.id()).await;
        for field in ["score", "model", "kind", "reason", "config", "elapsed_ms"] {
            assert_eq!(read.body[field], reply.body[field], "{field} of {reply:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_cannot_see_the_ledger_decides_nothing_for_the_first() {
    let (world, _) = world(Score(500), Hang, Hang, Hang).await;
    let key = ("Idempotency-Key", "order-11");
    let first = [key];
    let first = world.ask_with("{}", &first);
    let hurried = [key, ("Rendezvous-Deadline-Ms", "60")];
    let repeat = async {
        sleep(Duration::from_millis(30)).await;
        world.system.ledger.outage.set(Trouble::Hanging);
        world.ask_with("{}", &hurried).await
    };
    let relief = async {
        sleep(Duration::from_millis(50)).await;
        world.system.ledger.outage.set(Trouble::None);
    };
    let (first, repeat, ()) = tokio::join!(first, repeat, relief);
    repeat.is("fallback unavailable unsettled", 55.0..=60.0);
    first.is("a@1 preferred", 500.0..=1000.0);
}
