//! An archive that the decoy has written, which can stop in the middle of a change, and what its views show.

#![allow(clippy::unwrap_used, dead_code, reason = "this is test code, each file uses its part")]

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use rendezvous_archive::{
    DecisionRow, OutcomeRow, ReplayRow, RequestRow, Row, ScoreRow, read,
    views::{Keeps, VIEWS},
};
use rendezvous_aws::batch::{Batch, Data, Image, ItemChange, Record};
use rendezvous_core::{
    RequestId, Timestamp, Unavailable,
    memory::{MemoryArchive, MemoryEndpoints, MemoryPayloads, MemoryTelemetry},
    ports::{Archive, ArchiveFiles, Erase, Stored, StoredFile},
};
use rendezvous_decoy::{Decoy, Stream, Table};
use serde_dynamo::{AttributeValue, Item};

/// An archive in memory that makes so many changes and then, like a process that is killed, no more.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: MemoryArchive,
    changes_left: AtomicI64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { files: MemoryArchive::default(), changes_left: i64::MAX.into() }))
    }

    /// A copy that stops after so many changes.
    pub(crate) async fn copy(&self, changes: i64) -> Self {
        let copy = Self::new();
        for (name, body) in self.files() {
            copy.0.files.put(&name, body).await.unwrap();
        }
        copy.stop_after(changes);
        copy
    }

    pub(crate) fn stop_after(&self, changes: i64) {
        self.0.changes_left.store(changes, Ordering::Relaxed);
    }

    pub(crate) fn files(&self) -> Vec<(String, Bytes)> {
        self.0.files.files()
    }

    /// The names of the files in a folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let names = self.files().into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with(folder)).collect()
    }

    fn change(&self) -> Result<(), Unavailable> {
        let left = self.0.changes_left.fetch_sub(1, Ordering::Relaxed);
        if left > 0 { Ok(()) } else { Err(Unavailable::down("archive", "on purpose")) }
    }
}

impl Archive for Store {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        self.change()?;
        self.0.files.put(name, body).await
    }
}

impl ArchiveFiles for Store {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.0.files.folders(folder).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        self.0.files.list(folder).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.0.files.read(name, range).await
    }
}

impl Erase for Store {
    async fn erase(&self, name: &str) -> Result<u64, Unavailable> {
        self.change()?;
        self.0.files.erase(name).await
    }
}

/// 2025-11-22T07:10:00Z.
pub(crate) const ARRIVED: Timestamp = Timestamp::from_micros(1_763_795_400_000_000);

/// The id of the n-th request.
pub(crate) fn id(n: usize) -> RequestId {
    format!("0199aaaa-0000-7000-8000-{n:012x}").parse().unwrap()
}

/// The key of the n-th request.
pub(crate) fn key(n: usize) -> &'static str {
    ["ann", "bob", "cid"][n % 3]
}

fn envelope(n: usize) -> String {
    let (id, key, at) = (id(n), key(n), ARRIVED.as_micros());
    format!(
        "{{\"id\":\"{id}\",\"endpoint\":\"e\",\"config\":1,\"arm\":\"main\",\"key\":\"{key}\",\
         \"received_us\":{at},\"deadline_us\":{}}}",
        at + 1_000_000
    )
}

type TestDecoy =
    Decoy<Store, MemoryEndpoints, MemoryPayloads, MemoryTelemetry<rendezvous_decoy::DecoyReport>>;

pub(crate) fn decoy(store: &Store) -> TestDecoy {
    Decoy::new(Arc::new(store.clone()), Arc::default(), Arc::default(), Arc::default())
}

/// Archives a batch of each source with these requests, some of them in the next hour.
pub(crate) async fn archive(decoy: &TestDecoy, requests: Range<usize>) {
    // Every fourth second: 900 requests an hour.
    let at = |n: usize| ARRIVED + std::time::Duration::from_secs(4 * n as u64);
    let record = |n: usize, source: usize, data: String| {
        let data = Data::new(key(n), data.into());
        Record::new("shardId-000000000000", format!("{source}{n:020}"), at(n), data)
    };
    let of_stream = async |stream, records: Vec<Record<'static, Data<'static>>>| {
        let response = decoy.handle_stream(stream, Batch::new("", records)).await;
        assert!(response.batch_item_failures.is_empty());
    };
    let input =
        |n| record(n, 1, format!("{{\"v\":1,\"envelope\":{},\"payload\":{n}}}", envelope(n)));
    of_stream(Stream::Input, requests.clone().map(input).collect()).await;
    let score = |n, (source, model): (usize, &str)| {
        let times = format!("\"started_us\":{0},\"finished_us\":{0}", ARRIVED.as_micros());
        let envelope = envelope(n);
        record(
            n,
            source,
            format!(
                "{{\"v\":1,\"envelope\":{envelope},\"model\":\"{model}\",{times},\"score\":{n}}}"
            ),
        )
    };
    let models = [(2, "a@1"), (3, "b@1")];
    let scores = requests.clone().flat_map(|n| models.map(|model| score(n, model)));
    of_stream(Stream::Scores, scores.collect()).await;
    let change = |n: usize, source: usize, new: Item| Record {
        sequence: format!("{source}{n:020}").into(),
        event_id: format!("{source}{n:032}").into(),
        arrived: at(n),
        content: inserted(new),
    };
    let decision = |n| {
        let at = ARRIVED.as_micros();
        let decision = format!(
            "{{\"kind\":\"champion\",\"reason\":\"preferred\",\"model\":\"a@1\",\"seen\":[],\"score\":{n},\
             \"decided_us\":{at},\"deadline_us\":{at},\"config\":1,\"arm\":\"main\",\"champion\":\"a@1\"}}"
        );
        let texts = [("id", id(n).to_string()), ("envelope", envelope(n)), ("decision", decision)];
        change(n, 4, item(texts.map(|(name, text)| (name, AttributeValue::S(text)))))
    };
    let outcome = |(n, source): (usize, usize)| {
        let texts = [("request", id(n).to_string()), ("endpoint", "e".to_owned())];
        let [request, endpoint] = texts.map(|(name, text)| (name, AttributeValue::S(text)));
        let reported = ("reported_us", AttributeValue::N(source.to_string()));
        let outcome = ("outcome", AttributeValue::S(format!("{{\"reported\":{source}}}")));
        change(n, source, item([request, endpoint, reported, outcome]))
    };
    let decisions = requests.clone().map(decision).collect();
    let response = decoy.handle_changes(Table::Ledger, Batch::new("", decisions)).await;
    assert!(response.batch_item_failures.is_empty());
    // Reported and corrected.
    let outcomes = requests.flat_map(|n| [(n, 5), (n, 6)]).map(outcome).collect();
    let response = decoy.handle_changes(Table::Outcomes, Batch::new("", outcomes)).await;
    assert!(response.batch_item_failures.is_empty());
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    let attributes: HashMap<String, AttributeValue> =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    attributes.into()
}

/// A row of a table, with what a view asks of it.
struct Seen {
    id: String,
    model: String,
    day: i64,
    place: (Timestamp, String),
    text: String,
}

fn seen<R: Row + std::fmt::Debug>(store: &Store, model: impl Fn(&R) -> String) -> Vec<Seen> {
    let rows = store.files().into_iter();
    let rows = rows.filter(|(name, _)| name.starts_with(&format!("{}/", R::TABLE)));
    let rows = rows.flat_map(|(_, body)| read::<R>(body).unwrap());
    rows.map(|row| {
        let (arrived, sequence) = row.place();
        Seen {
            id: row.request_id().to_string(),
            model: model(&row),
            day: arrived.as_micros() / 86_400_000_000,
            place: (arrived, sequence.to_owned()),
            text: format!("{row:?}"),
        }
    })
    .collect()
}

fn table(store: &Store, name: &str) -> Vec<Seen> {
    match name {
        "requests" => seen::<RequestRow<'_>>(store, |_| String::new()),
        "scores" => seen::<ScoreRow<'_>>(store, |row| row.model.to_string()),
        "decisions" => seen::<DecisionRow<'_>>(store, |_| String::new()),
        "outcomes" => seen::<OutcomeRow<'_>>(store, |_| String::new()),
        "replays" => seen::<ReplayRow<'_>>(store, |row| row.model.to_string()),
        other => panic!("{other}"),
    }
}

/// Every row of every table, as text, as often as it is there.
pub(crate) fn rows(store: &Store) -> Vec<String> {
    let tables = ["requests", "scores", "decisions", "outcomes"];
    let rows = tables.into_iter().flat_map(|name| table(store, name));
    let mut rows: Vec<String> = rows.map(|row| row.text).collect();
    rows.sort();
    rows
}

/// What each view shows.
pub(crate) fn views(store: &Store) -> BTreeMap<&'static str, Vec<String>> {
    let mut views = BTreeMap::new();
    for view in VIEWS {
        let mut shown: BTreeMap<(String, String, i64), Seen> = BTreeMap::new();
        for row in table(store, view.table) {
            let day = if view.keeps == Keeps::LastOfDay { row.day } else { 0 };
            let entity = (row.id.clone(), row.model.clone(), day);
            let is_better = shown.get(&entity).is_none_or(|other| match view.keeps {
                Keeps::First => row.place < other.place,
                Keeps::Last | Keeps::LastOfDay => row.place > other.place,
            });
            if is_better {
                shown.insert(entity, row);
            }
        }
        views.insert(view.name, shown.into_values().map(|row| row.text).collect());
    }
    views
}

fn inserted(new: Item) -> ItemChange<'static> {
    let [keys, old] = [Image::default(), Image::default()];
    ItemChange { name: "INSERT".into(), keys, old, new: new.into() }
}
