//! Nothing is lost on the way into the archive, and by the rules of the views one row of each
//! entity is left.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::join_all;
use http::Method;
use proptest::prelude::*;
use rendezvous_archive::{DecisionRow, RequestRow, ScoreRow};
use rendezvous_core::{
    Failure, FailureKind, Json, RequestId, Timestamp, Unavailable,
    memory::{MemoryArchive, MemoryStream, Position, Subscription, Trouble},
    now,
    ports::{Archive, ArchiveFiles, Record, Stored, StoredFile, Stream},
};
use rendezvous_model::{Model, Profile};
use rendezvous_sim::{Size, faults::Faults, mapping::Mapping};
use rendezvous_tests::{Reply, World, endpoint, rows};
use tokio::{runtime::Builder, time::sleep};

const CONFIGURATION: &str = r#"{
    "schedule": {
        "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 50 } ],
        "deadline_ms": 1000,
        "fallback": { "p": 0.22 }
    },
    "observers": [ { "model": "c@1", "role": "challenger" } ],
    "value": "/p"
}"#;

const MODELS: [&str; 3] = ["a@1", "b@1", "c@1"];

const REQUESTS: usize = 100_000;

/// How many clients ask at a time.
const AT_A_TIME: usize = 500;

/// JSON that parsing and writing again would change; `#` is the number of the request.
const ODDITIES: [&str; 16] = [
    r#"{"n":#,"a":1,"a":2}"#,
    r#"{"z":1,"n":#,"a":1.0,"m":1.50}"#,
    r#"{"n":#,"big":123456789012345678901234567890,"small":-0.0,"e":1E+2}"#,
    r"[#,1e999,-1e-999,0.1000000000000000055511151231257827]",
    r#"{"n":#,"escaped":"\u00e4\/\b\f\n\r\t\"\\"}"#,
    r#"{"n":#,"nul":"\u0000","del":""}"#,
    "{\"n\":#,\"unicode\":\"ä€𝄞🦀\u{200d}\u{feff}\u{2028}\"}",
    r#"{"n":#,"pair":"\ud83e\udd80","lone":"\ud800"}"#,
    "{ \"n\" :\t#\n,\r\n\"spaces\" : [ 1 , 2 ] }",
    r#"{"n":#,"":{"":[[],{},"",null,true,false]}}"#,
    "{\"n\":#,\"deep\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
    "#",
    "-#.000",
    "\"#\"",
    "[#]",
    r#"{"n":#,"__proto__":{"constructor":1},"NaN":"NaN","e":"1e5"}"#,
];

/// An archive that fails now and then, in each of the ways in which S3 can.
#[derive(Default)]
struct Shaky {
    files: MemoryArchive,
    random: Mutex<Rng>,
    refused: AtomicUsize,
    unconfirmed: AtomicUsize,
    hung: AtomicUsize,
}

impl Archive for Shaky {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let down = || Unavailable::down("archive", "on purpose");
        let fate = self.random.lock().unwrap().u8(..16);
        let happened = |what: &AtomicUsize| what.fetch_add(1, Ordering::Relaxed);
        if fate == 0 {
            happened(&self.refused);
            return Err(down());
        }
        let stored = self.files.put(name, body).await;
        match fate {
            // The file is stored and the answer is lost: the batch is delivered again.
            1 => {
                happened(&self.unconfirmed);
                Err(down())
            }
            // The function times out after the file is stored: the batch is delivered again in halves.
            2 => {
                happened(&self.hung);
                std::future::pending().await
            }
            _ => stored,
        }
    }
}

impl ArchiveFiles for Shaky {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.files.folders(folder).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        self.files.list(folder).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.files.read(name, range).await
    }
}

/// A model that scores large batches at once.
struct Quick(Profile);

impl Model for Quick {
    fn profile(&self) -> &Profile {
        &self.0
    }

    fn largest_batch(&self) -> usize {
        1_000
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        sleep(Duration::from_millis(5)).await;
        let score = Json::parse("{\"p\": 0.250, \"p\": 0.250}").unwrap();
        vec![Ok(score); payloads.len()]
    }
}

/// Sends some records of a stream a second time, a little later, as a producer does that received
/// no confirmation.
async fn send_again(stream: Arc<MemoryStream>, mut random: Rng) {
    let lanes = stream.subscribe(Position::Latest, 1);
    let again = async |lane: &Subscription, mut random: Rng| {
        let mut sent_again = HashSet::new();
        loop {
            let taken = lane.next(1_000, usize::MAX, Duration::from_millis(100)).await;
            let mut records = Vec::new();
            for record in taken {
                if random.u8(..50) == 0 && sent_again.insert(record.data.clone()) {
                    records.push(Record { key: record.key.clone(), data: record.data.clone() });
                }
            }
            stream.put(records, now() + Duration::from_mins(1)).await.unwrap();
        }
    };
    let seeds: Vec<Rng> = lanes.iter().map(|_| random.fork()).collect();
    join_all(lanes.iter().zip(seeds).map(|(lane, random)| again(lane, random))).await;
}

/// Kills models and throttles the ledger, again and again.
async fn make_trouble(world: Arc<World<Shaky>>, [champion, _, challenger]: [Arc<Faults>; 3]) {
    loop {
        sleep(Duration::from_millis(500)).await;
        // Longer than a deadline: the requests that the model then finds are expired.
        challenger.kill(true);
        sleep(Duration::from_millis(1_500)).await;
        challenger.kill(false);
        champion.kill(true);
        world.system.ledger.outage.set(Trouble::Throttled);
        sleep(Duration::from_millis(30)).await;
        world.system.ledger.outage.set(Trouble::None);
        sleep(Duration::from_millis(300)).await;
        champion.kill(false);
    }
}

/// The view of a table: of each entity the row that arrived first.
fn view<R, K: Ord>(
    rows: Vec<R>,
    entity: impl Fn(&R) -> K,
    place: impl Fn(&R) -> (Timestamp, String),
) -> BTreeMap<K, R> {
    let mut view: BTreeMap<K, R> = BTreeMap::new();
    for row in rows {
        if view.get(&entity(&row)).is_none_or(|other| place(&row) < place(other)) {
            view.insert(entity(&row), row);
        }
    }
    view
}

/// How many requests are asked, how many at a time, and how the decoy's batches are divided. The
/// seed determines what fails, and when.
#[derive(Clone, Copy, Debug)]
struct History {
    requests: usize,
    at_a_time: usize,
    seed: u64,
    batch_size: usize,
    window: Duration,
    /// Invocations of a shard at a time.
    lanes: usize,
}

/// The state after a history.
struct Left {
    world: Arc<World<Shaky>>,
    /// Payload and answer, by request.
    sent: HashMap<RequestId, (String, Reply)>,
}

impl History {
    async fn play(self) -> Left {
        let size = Size {
            mailboxes: 2 * self.requests,
            decoy: Mapping {
                batch_size: self.batch_size,
                maximum_batching_window: self.window,
                parallelization_factor: self.lanes,
                function_timeout: Duration::from_secs(1),
                maximum_record_age: Duration::from_hours(1),
                ..Size::default().decoy
            },
            ..Size::default()
        };
        let mut random = Rng::with_seed(self.seed);
        let shaky = Shaky { random: Mutex::new(random.fork()), ..Shaky::default() };
        let world = Arc::new(World::on(shaky, CONFIGURATION, size).await);
        let system = &world.system;
        let faults = MODELS.map(|id| {
            system.add_model(Quick(Profile {
                id: id.parse().unwrap(),
                endpoints: HashSet::from([endpoint()]),
                timeout: Duration::from_secs(5),
                scores_expired: false,
            }))
        });
        let trouble = tokio::spawn(make_trouble(world.clone(), faults));
        let input_again = tokio::spawn(send_again(system.input.clone(), random.fork()));
        let scores_again = tokio::spawn(send_again(system.scores.clone(), random.fork()));

        let mut sent: HashMap<RequestId, (String, Reply)> = HashMap::new();
        for round in 0..self.requests / self.at_a_time {
            let ask = |i: usize| {
                let number = round * self.at_a_time + i;
                let oddity = ODDITIES[number % ODDITIES.len()];
                let payload = oddity.replace('#', &(number + 1).to_string());
                let world = &world;
                async move {
                    let path = "/v1/endpoints/e/requests";
                    let reply = world.call(Method::POST, path, &[], &payload).await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    (reply.id(), (payload, reply))
                }
            };
            sent.extend(join_all((0..self.at_a_time).map(ask)).await);
            sleep(Duration::from_millis(random.u64(..100))).await;
        }
        trouble.abort();
        for id in MODELS {
            system.faults(&id.parse().unwrap()).unwrap().kill(false);
        }
        system.ledger.outage.set(Trouble::None);
        sleep(Duration::from_secs(1)).await;
        input_again.abort();
        scores_again.abort();
        world.drain().await;
        assert_eq!(sent.len(), self.requests);
        Left { world, sent }
    }
}

impl Left {
    fn files(&self) -> Vec<(String, Bytes)> {
        self.world.system.archive.files.files()
    }

    /// Every request, score and decision is in the views once, none is missing, and every payload is
    /// what was sent. Returns how many raw rows of requests and scores there were.
    fn check(&self) -> (usize, usize) {
        let Self { sent, .. } = self;
        let files = self.files();
        assert!(
            !files.iter().any(|(name, _)| name.starts_with("failed/")),
            "records were given up"
        );

        let requests: Vec<RequestRow<'_>> = rows(&files);
        let raw_requests = requests.len();
        for row in &requests {
            assert_eq!(row.payload, sent[&row.request_id].0, "a payload has changed");
        }
        let place = |row: &RequestRow<'_>| (row.arrived_us, row.sequence_number.to_string());
        assert_eq!(view(requests, |row| row.request_id, place).len(), sent.len());

        let scores: Vec<ScoreRow<'_>> = rows(&files);
        let raw_scores = scores.len();
        let place = |row: &ScoreRow<'_>| (row.arrived_us, row.sequence_number.to_string());
        let scores = view(scores, |row| (row.request_id, row.model.clone()), place);
        assert_eq!(scores.len(), sent.len() * MODELS.len());
        for ((request, model), row) in &scores {
            assert!(sent.contains_key(request) && MODELS.contains(&model.as_str()), "{row:?}");
            assert_eq!(row.failure_kind.is_none(), row.value == Some(0.25), "{row:?}");
        }

        let place = |row: &DecisionRow<'_>| (row.arrived_us, row.sequence_number.to_string());
        let decisions = view(rows(&files), |row: &DecisionRow<'_>| row.request_id, place);
        assert_eq!(decisions.len(), sent.len());
        for (request, row) in &decisions {
            let body = &sent[request].1.body;
            if body["settled"] == true {
                assert_eq!(row.kind.as_str(), body["kind"]);
                assert_eq!(row.reason.as_str(), body["reason"]);
                assert_eq!(row.model.is_none(), body["model"].is_null());
            }
        }
        (raw_requests, raw_scores)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_requests_are_archived_exactly_once_whatever_happens() {
    let history = History {
        requests: REQUESTS,
        at_a_time: AT_A_TIME,
        seed: 20_131_122,
        batch_size: 2_000,
        window: Duration::from_secs(1),
        lanes: 1,
    };
    let left = history.play().await;
    let (raw_requests, raw_scores) = left.check();
    // The history had every kind of accident.
    assert!(raw_requests > REQUESTS + REQUESTS / 100, "no request is there twice");
    assert!(raw_scores > (REQUESTS + REQUESTS / 100) * MODELS.len(), "no score is there twice");
    let archive = &left.world.system.archive;
    let happened = [&archive.refused, &archive.unconfirmed, &archive.hung];
    let happened = happened.map(|count| count.load(Ordering::Relaxed));
    assert!(happened.iter().all(|count| *count > 10), "too little has gone wrong: {happened:?}");
    let files = left.files();
    let expired = |row: &ScoreRow<'_>| row.failure_kind == Some(FailureKind::Expired);
    assert!(rows(&files).iter().any(expired), "nothing has expired");
    let decided = |row: &DecisionRow<'_>| (row.kind.as_str(), row.reason.as_str());
    let distinct: HashSet<_> = rows(&files).iter().map(decided).collect();
    assert!(distinct.len() > 1, "all were decided alike");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_of_batches_leaves_each_request_score_and_decision_once(
        seed in any::<u64>(),
        at_a_time in 1_usize..100,
        rounds in 1_usize..6,
        batch_size in 1_usize..500,
        window_ms in 0_u64..2_000,
        lanes in 1_usize..=10,
    ) {
        let window = Duration::from_millis(window_ms);
        let history =
            History { requests: at_a_time * rounds, at_a_time, seed, batch_size, window, lanes };
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { history.play().await.check() });
    }
}
