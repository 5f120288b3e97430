//! The simulated event source mapping does what that of AWS Lambda is documented to do.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rendezvous_aws::batch::{ItemFailure, Response, StreamBatch};
use rendezvous_core::{
    clock,
    memory::{MemoryArchive, MemoryStream, Position},
    now,
    ports::{Record, Stream},
};
use rendezvous_sim::{
    Actor, Role,
    mapping::{self, Function, Host, Mapping},
};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

/// What a scripted function answers to the texts of a batch.
type Script = Box<dyn Fn(&[String]) -> Result<Vec<Option<String>>, String> + Send + Sync>;

/// A function that records when it was invoked, and with what.
struct Spy {
    actor: Actor,
    script: Script,
    takes: Duration,
    start: Instant,
    calls: Mutex<Vec<(u128, String)>>,
}

impl Function for Spy {
    fn actor(&self) -> &Actor {
        &self.actor
    }

    async fn invoke<'a>(&'a self, batch: StreamBatch<'a>) -> Result<Response, String> {
        let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
        let records: Vec<_> = batch.records().iter().flatten().collect();
        let texts: Vec<String> = records.iter().map(|r| text(&r.content.bytes)).collect();
        let at = self.start.elapsed().as_millis();
        self.calls.lock().unwrap().push((at, texts.join(" ")));
        sleep(self.takes).await;
        let mut response = Response::default();
        for failed in (self.script)(&texts)? {
            // A record is named by its text here; an unknown text stands for a bad identifier.
            let place = failed.and_then(|failed| texts.iter().position(|text| *text == failed));
            let id = place.map_or("", |place| &records[place].sequence);
            response.batch_item_failures.push(ItemFailure { item_identifier: id.to_owned() });
        }
        Ok(response)
    }
}

struct Bed {
    stream: Arc<MemoryStream>,
    spy: Arc<Spy>,
    failures: Arc<MemoryArchive>,
    _tasks: JoinSet<()>,
    _stop: watch::Sender<bool>,
}

impl Bed {
    fn new(
        mapping: &Mapping,
        shards: usize,
        script: impl Fn(&[String]) -> Result<Vec<Option<String>>, String> + Send + Sync + 'static,
    ) -> Self {
        Self::on(MemoryStream::new("s", shards), mapping, script)
    }

    fn on(
        stream: MemoryStream,
        mapping: &Mapping,
        script: impl Fn(&[String]) -> Result<Vec<Option<String>>, String> + Send + Sync + 'static,
    ) -> Self {
        clock::simulate(now());
        let stream = Arc::new(stream);
        let spy = Arc::new(Spy {
            actor: Actor::new(Role::Other, "spy"),
            script: Box::new(script),
            takes: Duration::from_millis(10),
            start: Instant::now(),
            calls: Mutex::default(),
        });
        let failures = Arc::new(MemoryArchive::default());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let host = Host::new(&failures, &stopped);
        for lane in mapping::lanes(&stream, mapping, &spy, &host) {
            tasks.spawn(lane);
        }
        Self { stream, spy, failures, _tasks: tasks, _stop: stop }
    }

    async fn put(&self, words: &str) {
        put(&self.stream, words).await;
    }

    async fn calls_after(&self, ms: u64) -> Vec<(u128, String)> {
        sleep(Duration::from_millis(ms)).await;
        self.spy.calls.lock().unwrap().clone()
    }

    /// The files of the on-failure destination: why, and which words.
    fn failures(&self) -> Vec<(String, usize, u64)> {
        let read = |(name, body): (String, Bytes)| {
            assert!(name.starts_with("failed/spy/s-shardId-00000000000"), "{name}");
            let file: Value = serde_json::from_slice(&body).unwrap();
            let records = file["payload"]["Records"].as_array().unwrap().len();
            let condition = file["condition"].as_str().unwrap().to_owned();
            (condition, records, file["approximate_invoke_count"].as_u64().unwrap())
        };
        self.failures.files().into_iter().map(read).collect()
    }
}

/// Puts words, each with its first letter as its key.
async fn put(stream: &MemoryStream, words: &str) {
    let record =
        |word: &str| Record { key: word[..1].parse().unwrap(), data: Bytes::from(word.to_owned()) };
    let records = words.split(' ').map(record).collect();
    stream.put(records, now()).await.unwrap();
}

fn words(calls: &[(u128, String)]) -> Vec<&str> {
    calls.iter().map(|(_, words)| words.as_str()).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "a script may fail")]
fn fine(_: &[String]) -> Result<Vec<Option<String>>, String> {
    Ok(Vec::new())
}

fn at_once() -> Mapping {
    Mapping { starting_position: Position::TrimHorizon, ..Mapping::default() }
}

#[tokio::test(start_paused = true)]
async fn a_lane_has_one_batch_at_a_time_and_takes_what_has_come_meanwhile() {
    let bed = Bed::new(&Mapping { batch_size: 3, ..at_once() }, 1, fine);
    bed.put("a1").await;
    sleep(Duration::from_millis(1)).await;
    bed.put("a2 a3 a4 a5").await;
    let calls = bed.calls_after(100).await;
    assert_eq!(calls, [(0, "a1".into()), (10, "a2 a3 a4".into()), (20, "a5".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_window_gathers_records_until_it_closes_or_the_batch_is_full() {
    let window = Duration::from_millis(500);
    let mapping = Mapping { batch_size: 3, maximum_batching_window: window, ..at_once() };
    let bed = Bed::new(&mapping, 1, fine);
    bed.put("a1").await;
    sleep(Duration::from_millis(100)).await;
    bed.put("a2").await;
    assert_eq!(bed.calls_after(900).await, [(500, "a1 a2".into())]);
    bed.put("a3 a4 a5").await;
    assert_eq!(bed.calls_after(100).await[1], (1_000, "a3 a4 a5".into()));
}

#[tokio::test(start_paused = true)]
async fn a_parallelization_factor_works_side_by_side_and_keeps_the_order_of_each_key() {
    let mapping = Mapping { batch_size: 2, parallelization_factor: 10, ..at_once() };
    let bed = Bed::new(&mapping, 2, fine);
    bed.put("a1 b1 c1 d1 e1 f1 a2 b2 c2 d2 e2 f2 a3 b3 c3 d3 e3 f3").await;
    let calls = bed.calls_after(200).await;
    let at_once = calls.iter().filter(|(at, _)| *at == 0).count();
    assert!(at_once >= 3, "{at_once} lanes at once: {calls:?}");
    let all: Vec<&str> = calls.iter().flat_map(|(_, words)| words.split(' ')).collect();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let of_key: Vec<&&str> = all.iter().filter(|word| word.starts_with(key)).collect();
        assert_eq!(of_key, [&format!("{key}1"), &format!("{key}2"), &format!("{key}3")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_record_and_all_behind_it_come_again_and_those_before_do_not() {
    let tries = Mutex::new(0);
    let bed = Bed::new(&at_once(), 1, move |_| {
        *tries.lock().unwrap() += 1;
        // Two failures are named: the lowest counts.
        let failed = ["a4", "a3"].map(|word| Some(word.to_owned()));
        Ok(if *tries.lock().unwrap() == 1 { failed.to_vec() } else { Vec::new() })
    });
    bed.put("a1 a2 a3 a4").await;
    bed.put("a5").await;
    assert_eq!(words(&bed.calls_after(1_000).await), ["a1 a2 a3 a4 a5", "a3 a4 a5"]);
    assert!(bed.failures().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_empty_identifier_fails_the_whole_batch() {
    let tries = Mutex::new(0);
    let bed = Bed::new(&at_once(), 1, move |_| {
        *tries.lock().unwrap() += 1;
        Ok(if *tries.lock().unwrap() == 1 { vec![None] } else { Vec::new() })
    });
    bed.put("a1 a2").await;
    assert_eq!(words(&bed.calls_after(1_000).await), ["a1 a2", "a1 a2"]);
}

#[tokio::test(start_paused = true)]
async fn bisecting_finds_the_record_that_crashes_the_function_and_keeps_it_whole() {
    let mapping = Mapping { maximum_retry_attempts: 2, ..at_once() };
    let crash = |texts: &[String]| {
        if texts.iter().any(|text| text == "a6") { Err("crash".to_owned()) } else { Ok(Vec::new()) }
    };
    let bed = Bed::new(&mapping, 1, crash);
    bed.put("a1 a2 a3 a4 a5 a6 a7 a8").await;
    bed.put("b1").await;
    let calls = bed.calls_after(60_000).await;
    let done: Vec<&str> = words(&calls).into_iter().filter(|words| !words.contains("a6")).collect();
    assert_eq!(done.join(" "), "a1 a2 a3 a4 a5 a7 a8 b1", "each once, in order");
    assert_eq!(words(&calls).iter().filter(|words| **words == "a6").count(), 3);
    assert_eq!(bed.failures(), [("RetryAttemptsExhausted".to_owned(), 1, 3)]);
}

#[tokio::test(start_paused = true)]
async fn without_bisecting_the_whole_batch_is_given_up() {
    let mapping =
        Mapping { maximum_retry_attempts: 1, bisect_batch_on_function_error: false, ..at_once() };
    let bed = Bed::new(&mapping, 1, |_| Err("crash".to_owned()));
    bed.put("a1 a2 a3").await;
    assert_eq!(bed.calls_after(10_000).await.len(), 2);
    assert_eq!(bed.failures(), [("RetryAttemptsExhausted".to_owned(), 3, 2)]);
}

#[tokio::test(start_paused = true)]
async fn records_that_grow_too_old_are_given_up_and_younger_ones_go_on() {
    let mapping = Mapping {
        maximum_record_age: Duration::from_secs(5),
        maximum_retry_attempts: 1_000,
        ..at_once()
    };
    let start = Instant::now();
    let bed = Bed::new(&mapping, 1, move |_| {
        if start.elapsed() < Duration::from_secs(7) {
            Err("down".to_owned())
        } else {
            Ok(Vec::new())
        }
    });
    bed.put("a1 a2").await;
    sleep(Duration::from_secs(4)).await;
    bed.put("a3").await;
    let calls = bed.calls_after(20_000).await;
    assert_eq!(words(&calls).last(), Some(&"a3"));
    let given_up: usize = bed.failures().iter().map(|(_, records, _)| records).sum();
    assert!(bed.failures().iter().all(|(condition, _, _)| condition == "RecordAgeExceeded"));
    assert_eq!(given_up, 2);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_has_crashed_and_its_lane_goes_on() {
    let mapping = Mapping { maximum_retry_attempts: 0, ..at_once() };
    let bed = Bed::new(&mapping, 1, |texts| {
        assert!(texts[0] != "a1", "on purpose");
        Ok(Vec::new())
    });
    bed.put("a1").await;
    sleep(Duration::from_millis(50)).await;
    bed.put("a2").await;
    assert_eq!(words(&bed.calls_after(1_000).await), ["a1", "a2"]);
    assert_eq!(bed.failures(), [("RetryAttemptsExhausted".to_owned(), 1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_too_long_has_crashed() {
    let mapping = Mapping {
        function_timeout: Duration::from_millis(5),
        maximum_retry_attempts: 0,
        ..at_once()
    };
    let bed = Bed::new(&mapping, 1, fine);
    bed.put("a1").await;
    assert_eq!(bed.calls_after(1_000).await.len(), 1);
    assert_eq!(bed.failures(), [("RetryAttemptsExhausted".to_owned(), 1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_starts_at_the_latest_position_gets_only_new_records() {
    for (position, expected) in
        [(Position::Latest, &["a2"][..]), (Position::TrimHorizon, &["a1", "a2"][..])]
    {
        let mapping = Mapping { starting_position: position, ..Mapping::default() };
        let stream = MemoryStream::new("s", 1);
        put(&stream, "a1").await;
        let bed = Bed::on(stream, &mapping, fine);
        sleep(Duration::from_millis(50)).await;
        put(&bed.stream, "a2").await;
        assert_eq!(words(&bed.calls_after(50).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_is_invoked_for_no_record_that_its_filter_discards() {
    let mapping = Mapping {
        filter_by_endpoint: Some(["e".parse().unwrap()].into()),
        maximum_retry_attempts: 0,
        ..at_once()
    };
    let bed = Bed::new(&mapping, 1, |_| Err("crash".to_owned()));
    let message = |endpoint: &str| format!("{{\"envelope\":{{\"endpoint\":\"{endpoint}\"}}}}");
    bed.put(&[message("f"), message("e"), "[no-JSON".to_owned(), "{}".to_owned()].join(" ")).await;
    assert_eq!(words(&bed.calls_after(1_000).await), [message("e")]);
    assert_eq!(bed.failures(), [("RetryAttemptsExhausted".to_owned(), 1, 1)]);
    bed.put(&message("f")).await;
    assert_eq!(bed.calls_after(1_000).await.len(), 1, "nothing is left of the batch");
    assert_eq!(bed.stream.held(), 0);
}
