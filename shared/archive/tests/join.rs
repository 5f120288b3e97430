//! One row of each entity, late rows included, and no more is read than is needed.

use std::{ops::Range, sync::Mutex, time::Duration};

use bytes::Bytes;
use rendezvous_archive::{
    DecisionRow, Joined, OutcomeRow, ReplayRow, RequestRow, Row, ScoreRow,
    files::Hour,
    join::{Wanted, join},
    write,
};
use rendezvous_core::{
    Arm, Json, Kind, Reason, RequestId, Timestamp, Unavailable,
    memory::MemoryArchive,
    ports::{Archive, ArchiveFiles, StoredFile},
};

/// 2025-11-22T06:52:24Z.
const START: Timestamp = Timestamp::from_micros(1_763_794_344_000_000);

const DAY: Duration = Duration::from_hours(24);

fn after(time: Duration) -> Timestamp {
    START + time
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn id(n: u64) -> RequestId {
    format!("0199aaaa-0000-7000-8000-{n:012x}").parse().unwrap()
}

fn request(n: u64) -> RequestRow<'static> {
    let received = after(ms(n));
    RequestRow {
        request_id: id(n),
        endpoint: "e".parse().unwrap(),
        config: 7,
        arm: Arm::main(),
        key: id(n).to_key(),
        received_us: received,
        deadline_us: received + ms(400),
        traceparent: None,
        skip: Vec::new(),
        payload: format!("[{n}]").into(),
        shard: "shardId-1".into(),
        sequence_number: n.to_string().into(),
        arrived_us: received + ms(1),
    }
}

fn score(n: u64, model: &str, took: Duration, value: f64) -> ScoreRow<'static> {
    let request = request(n);
    ScoreRow {
        request_id: request.request_id,
        endpoint: request.endpoint,
        config: request.config,
        arm: request.arm,
        key: request.key,
        received_us: request.received_us,
        deadline_us: request.deadline_us,
        traceparent: None,
        model: model.parse().unwrap(),
        artifact: None,
        started_us: request.arrived_us,
        finished_us: request.arrived_us + took,
        score: Some(Json::parse(&value.to_string()).unwrap()),
        value: Some(value),
        failure_kind: None,
        failure_message: None,
        shard: request.shard,
        sequence_number: n.to_string().into(),
        arrived_us: request.arrived_us + took,
    }
}

fn decision(n: u64) -> DecisionRow<'static> {
    let request = request(n);
    DecisionRow {
        request_id: request.request_id,
        endpoint: request.endpoint,
        config: request.config,
        arm: request.arm,
        received_us: request.received_us,
        deadline_us: request.deadline_us,
        decided_us: request.received_us + ms(20),
        kind: Kind::Champion,
        reason: Reason::Preferred,
        model: Some("a@1".parse().unwrap()),
        champion: "a@1".parse().unwrap(),
        seen: vec!["a@1".parse().unwrap()],
        presumed: Vec::new(),
        score: None,
        value: Some(0.5),
        sequence_number: n.to_string().into(),
        arrived_us: request.received_us + ms(30),
    }
}

fn outcome(n: u64, later: Duration, value: f64) -> OutcomeRow<'static> {
    OutcomeRow {
        request_id: id(n),
        endpoint: "e".parse().unwrap(),
        reported_us: after(later),
        outcome: Json::parse(&value.to_string()).unwrap(),
        value: Some(value),
        sequence_number: n.to_string().into(),
        arrived_us: after(later),
    }
}

/// Puts rows into one file of the hour in which the first of them arrived.
async fn put<R: Row>(archive: &MemoryArchive, name: &str, rows: &[R], arrived: Timestamp) {
    let body = write(&rows.iter().collect::<Vec<_>>()).unwrap();
    let name = format!("{}/{}/{name}.parquet", R::TABLE, Hour::of(arrived));
    archive.put(&name, body).await.unwrap();
}

async fn joined(archive: &impl ArchiveFiles, wanted: &Wanted) -> Vec<Joined> {
    let requests = join(archive, wanted, |_| {}).await.unwrap();
    let mut all = Vec::new();
    requests
        .each(|request| {
            all.push(request);
            Ok(())
        })
        .unwrap();
    all
}

fn wanted() -> Wanted {
    Wanted::all("e".parse().unwrap())
}

#[tokio::test]
async fn of_rows_of_one_entity_the_one_of_the_views_is_kept() {
    let archive = MemoryArchive::default();
    let again = RequestRow { arrived_us: START, config: 8, ..request(1) };
    put(&archive, "1", &[request(1)], START).await;
    put(&archive, "2", &[again], START).await;
    // Of one instant: the lower number is the first, 9 before 10.
    let same = |number: &'static str, value| ScoreRow {
        sequence_number: number.into(),
        ..score(1, "a@1", ms(10), value)
    };
    put(&archive, "1", &[same("10", 0.1), same("9", 0.9), score(1, "b@1", ms(5), 0.2)], START)
        .await;
    let late = DecisionRow { arrived_us: after(DAY), reason: Reason::Deadline, ..decision(1) };
    put(&archive, "1", &[late], START).await;
    put(&archive, "2", &[decision(1)], START).await;
    let outcomes = [outcome(1, 2 * DAY, 1.0), outcome(1, DAY, 0.0), outcome(1, 3 * DAY, 0.25)];
    put(&archive, "1", &outcomes, START).await;
    // A file that is there twice.
    put(&archive, "3", &outcomes, START).await;

    let [found] = joined(&archive, &wanted()).await.try_into().unwrap();
    assert_eq!(found.request.unwrap().config, 8);
    let scores: Vec<_> = found.scores.iter().map(|s| (s.model.as_str(), s.value)).collect();
    assert_eq!(scores, [("b@1", Some(0.2)), ("a@1", Some(0.9))], "in the order of arrival");
    assert_eq!(found.decision.unwrap().reason, Reason::Preferred);
    let outcome = found.outcome.unwrap();
    assert_eq!((outcome.first, outcome.last), (Some(0.0), Some(0.25)));
    assert_eq!(outcome.arrived, after(DAY));
    assert!(!found.retried);
}

#[tokio::test]
async fn a_range_selects_requests_and_finds_what_comes_later() {
    let archive = MemoryArchive::default();
    let days = |n: u64| DAY * u32::try_from(n).unwrap();
    for n in 0..4 {
        let at = |row: RequestRow<'static>| RequestRow {
            received_us: after(days(n)),
            arrived_us: after(days(n)),
            ..row
        };
        put(&archive, &n.to_string(), &[at(request(n))], after(days(n))).await;
        let late = after(days(n) + 8 * DAY);
        let row = score(n, "a@1", ms(10), 0.5);
        let row = ScoreRow { received_us: after(days(n)), arrived_us: late, ..row };
        put(&archive, &n.to_string(), &[row], late).await;
        let very_late = 300 * DAY;
        put(&archive, &n.to_string(), &[outcome(n, very_late, 1.0)], after(very_late)).await;
    }
    let range = Wanted { from: after(DAY), to: after(3 * DAY), ..wanted() };
    let found = joined(&archive, &range).await;
    let ids: Vec<_> = found.iter().map(|request| request.id).collect();
    assert_eq!(ids, [id(1), id(2)]);
    assert!(found.iter().all(|request| request.scores.len() == 1 && request.outcome.is_some()));
}

#[tokio::test]
async fn other_endpoints_and_outcomes_alone_are_left_out_and_rows_without_a_request_are_not() {
    let archive = MemoryArchive::default();
    let other = RequestRow { endpoint: "f".parse().unwrap(), ..request(1) };
    put(&archive, "1", &[other, request(2)], START).await;
    let again = after(DAY / 2);
    let retried = ScoreRow { received_us: again, ..score(2, "a@1", ms(9), 0.5) };
    put(&archive, "1", &[retried, score(3, "a@1", ms(9), 0.5)], START).await;
    put(&archive, "1", &[outcome(4, DAY, 1.0)], START).await;
    let found = joined(&archive, &wanted()).await;
    let found: Vec<_> = found.iter().map(|r| (r.id, r.request.is_some(), r.retried)).collect();
    assert_eq!(found, [(id(2), true, true), (id(3), false, false)]);
}

#[tokio::test]
async fn outcomes_come_in_the_order_in_which_they_first_arrived() {
    let archive = MemoryArchive::default();
    let rows: Vec<_> = (1..=5).map(request).collect();
    put(&archive, "1", &rows, START).await;
    // 5 has none; 2 is corrected last.
    let outcomes = [(1, 3), (2, 1), (3, 4), (4, 2), (2, 9)];
    let outcomes = outcomes.map(|(n, days)| outcome(n, days * DAY, 1.0));
    put(&archive, "1", &outcomes, START).await;
    let requests = join(&archive, &wanted(), |_| {}).await.unwrap();
    let mut order = Vec::new();
    let mut each = |request: Joined| {
        order.push(request.id);
        Ok(())
    };
    requests.by_outcome().unwrap().each(&mut each).unwrap();
    assert_eq!(order, [2, 4, 1, 3].map(id));
}

#[tokio::test]
async fn a_replay_stands_in_for_a_live_score_as_if_the_model_had_begun_with_the_others() {
    let archive = MemoryArchive::default();
    put(&archive, "1", &[request(1), request(2)], START).await;
    put(&archive, "1", &[score(1, "a@1", ms(9), 0.5), score(2, "a@1", ms(9), 0.5)], START).await;
    let again = after(400 * DAY);
    let replay = |n, model: &str, took, value| {
        let score = score(n, model, took, value);
        let moved = |at: Timestamp| again + at.since(score.received_us);
        ReplayRow {
            request_id: score.request_id,
            endpoint: score.endpoint,
            config: score.config,
            arm: score.arm,
            key: score.key,
            replayed_as: id(1_000 + n),
            // It waited for the model.
            received_us: again - ms(10_000),
            model: score.model,
            artifact: None,
            started_us: moved(score.started_us),
            finished_us: moved(score.finished_us),
            score: score.score,
            value: score.value,
            failure_kind: None,
            failure_message: None,
            shard: score.shard,
            sequence_number: score.sequence_number,
            arrived_us: moved(score.arrived_us),
        }
    };
    let rows = [
        replay(1, "b@1", ms(3), 0.1),
        replay(1, "b@1", ms(4), 0.2),
        replay(1, "a@1", ms(1), 0.3),
        // Its request is not in the archive.
        replay(3, "b@1", ms(3), 0.4),
    ];
    put(&archive, "1", &rows, again).await;
    let models = |joined: &Joined| -> Vec<_> {
        let scores = joined.scores.iter();
        scores.map(|s| (s.model.to_string(), s.value.unwrap(), s.replayed, s.arrived)).collect()
    };
    let live = joined(&archive, &wanted()).await;
    assert_eq!(live.iter().map(|joined| models(joined).len()).collect::<Vec<_>>(), [1, 1]);
    let with = joined(&archive, &Wanted { replays: true, ..wanted() }).await;
    assert_eq!(with.iter().map(|joined| joined.retried).collect::<Vec<_>>(), [false, false]);
    let arrived = after(ms(1)) + ms(1);
    // The last replay of the model that sent nothing live.
    let b = ("b@1".to_owned(), 0.2, true, arrived + ms(4));
    assert_eq!(models(&with[0]), [b, ("a@1".to_owned(), 0.5, false, arrived + ms(9))]);
    assert_eq!(models(&with[1]), models(&live[1]));
}

/// An archive that notes what is read.
#[derive(Default)]
struct Watched {
    files: MemoryArchive,
    /// The file, and how many bytes of it.
    reads: Mutex<Vec<(String, u64)>>,
}

impl ArchiveFiles for Watched {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.files.folders(folder).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        self.files.list(folder).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.reads.lock().unwrap().push((name.to_owned(), range.end - range.start));
        self.files.read(name, range).await
    }
}

impl Watched {
    /// How many bytes were read of files whose names have this part, and in how many calls.
    fn read(&self, part: &str) -> (u64, usize) {
        let reads = self.reads.lock().unwrap();
        let bytes = reads.iter().filter(|(name, _)| name.contains(part)).map(|(_, bytes)| *bytes);
        (bytes.clone().sum(), bytes.count())
    }
}

/// Text that does not compress.
fn noise(seed: u64) -> String {
    let mut state = seed;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    std::iter::repeat_with(next).filter(|c| !"\"\\".contains(*c)).take(1_000).collect()
}

#[tokio::test]
async fn payloads_other_days_and_other_endpoints_are_not_read() {
    let archive = Watched::default();
    let files = &archive.files;
    let large = |n| RequestRow { payload: format!("\"{}\"", noise(n)).into(), ..request(n) };
    let rows: Vec<_> = (0..2_000).map(large).collect();
    put(files, "large", &rows, START).await;
    let other = |row| RequestRow { endpoint: "f".parse().unwrap(), ..row };
    put(files, "other", &(0..2_000).map(large).map(other).collect::<Vec<_>>(), START).await;
    let old = |row| RequestRow { received_us: START - 9 * DAY, arrived_us: START, ..row };
    put(files, "old", &(0..2_000).map(large).map(old).collect::<Vec<_>>(), START).await;
    put(files, "yesterday", &rows, START - 2 * DAY).await;
    put(files, "before", &rows, START - Duration::from_hours(2)).await;

    let found = joined(&archive, &Wanted { from: START, to: after(DAY), ..wanted() }).await;
    assert_eq!(found.len(), 2_000);
    let sizes = files.list("requests/").await.unwrap();
    assert!(sizes.iter().all(|file| file.bytes > 1_000_000), "the payloads are large: {sizes:?}");
    let (bytes, calls) = archive.read("large");
    assert!(bytes < 300_000 && calls <= 3, "{bytes} bytes in {calls} reads");
    // The end of the file, with its statistics.
    for name in ["other", "old"] {
        assert_eq!(archive.read(name), (64 * 1024, 1), "{name}");
    }
    assert_eq!(archive.read("yesterday"), (0, 0));
    assert_eq!(archive.read("before"), (0, 0), "an hour of the same day");
}

#[tokio::test]
async fn a_file_that_is_none_is_named() {
    let archive = MemoryArchive::default();
    let name = "scores/date=2025-11-22/hour=06/broken.parquet";
    for body in ["", "PAR1", "not a Parquet file, but long enough to have a footer"] {
        let archive = MemoryArchive::default();
        archive.put(name, Bytes::from_static(body.as_bytes())).await.unwrap();
        let error = join(&archive, &wanted(), |_| {}).await.err().unwrap().to_string();
        assert!(error.starts_with(name), "{error}");
    }
    put(&archive, "1", &[score(1, "a@1", ms(1), 0.5)], START).await;
    let (_, whole) = archive.files().pop().unwrap();
    // Any damage is an error or is not noticed; it never ends the caller.
    for at in (0..whole.len()).step_by(7) {
        let damaged = MemoryArchive::default();
        let mut body = whole.to_vec();
        body[at] ^= 0x55;
        damaged.put(name, body.into()).await.unwrap();
        drop(join(&damaged, &wanted(), |_| {}).await);
    }
}
