//! Records as AWS hands them over, and the archive as analysts read it.

#![allow(clippy::unwrap_used, dead_code, reason = "this is test code, each file uses its part")]

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use rendezvous_archive::{Row, read};
use rendezvous_aws::batch::{Batch, Content, Data, Image, ItemChange, Record, Response};
use rendezvous_core::{
    Configuration, Provenance, Timestamp, Unavailable,
    conformance::samples::CONFIGURATION,
    memory::{MemoryArchive, MemoryEndpoints, MemoryPayloads, MemoryTelemetry},
    ports::{Archive, ArchiveFiles, EndpointTable, Stored, StoredFile},
};
use rendezvous_decoy::{Decoy, DecoyReport, Stream, Table};
use serde_dynamo::{AttributeValue, Item};

/// 2025-11-22T07:59:04.123456Z: an hour ends within the minute.
pub(crate) const ARRIVED: Timestamp = Timestamp::from_micros(1_763_798_344_123_456);

/// An archive in memory whose next puts have these faults.
#[derive(Debug, Default)]
pub(crate) struct FaultyArchive {
    pub(crate) files: MemoryArchive,
    pub(crate) faults: Mutex<VecDeque<Fault>>,
    /// Whether no list of files is answered.
    pub(crate) is_unlisted: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    /// The file is not stored.
    Refused,
    /// The file is stored, and the answer is lost.
    AnswerLost,
}

impl Archive for FaultyArchive {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let lost = || Unavailable::down("archive", "on purpose");
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        // Other tasks may run in between, as on a network.
        tokio::task::yield_now().await;
        match fault {
            Fault::None => self.files.put(name, body).await,
            Fault::Refused => Err(lost()),
            Fault::AnswerLost => {
                self.files.put(name, body).await?;
                Err(lost())
            }
        }
    }
}

impl ArchiveFiles for FaultyArchive {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.files.folders(folder).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        if self.is_unlisted.load(Ordering::Relaxed) {
            return Err(Unavailable::down("archive", "on purpose"));
        }
        self.files.list(folder).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.files.read(name, range).await
    }
}

/// A decoy, its archive, and its endpoint `e`, of two versions.
pub(crate) struct Bed {
    pub(crate) decoy:
        Decoy<FaultyArchive, MemoryEndpoints, MemoryPayloads, MemoryTelemetry<DecoyReport>>,
    pub(crate) telemetry: Arc<MemoryTelemetry<DecoyReport>>,
    pub(crate) archive: Arc<FaultyArchive>,
    pub(crate) endpoints: Arc<MemoryEndpoints>,
    #[allow(dead_code, reason = "not every test stores payloads")]
    pub(crate) payloads: Arc<MemoryPayloads>,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let endpoints = Arc::new(MemoryEndpoints::default());
        let second = CONFIGURATION.replace("\"/p\"", "\"/q/0\", \"outcome\": \"/late\"");
        for (configuration, current) in [(CONFIGURATION, None), (&second, Some(1))] {
            let configuration = Configuration::parse(configuration).unwrap();
            let provenance = Provenance::new("test", "").unwrap();
            let name = "e".parse().unwrap();
            endpoints.publish(&name, configuration, provenance, current).await.unwrap();
        }
        let archive = Arc::new(FaultyArchive::default());
        let telemetry = Arc::new(MemoryTelemetry::default());
        let payloads = Arc::new(MemoryPayloads::default());
        let decoy =
            Decoy::new(archive.clone(), endpoints.clone(), payloads.clone(), telemetry.clone());
        Self { decoy, telemetry, archive, endpoints, payloads }
    }

    /// Hands a batch over; says whether it was acknowledged.
    pub(crate) async fn records(
        &self,
        stream: Stream,
        records: &[StreamRecord],
    ) -> (bool, DecoyReport) {
        let batch = Batch::new("", records.to_vec());
        let response = self.decoy.handle_stream(stream, batch).await;
        (is_acknowledged(&response, records), self.telemetry.last().unwrap())
    }

    pub(crate) async fn changes(
        &self,
        table: Table,
        records: &[TableRecord],
    ) -> (bool, DecoyReport) {
        let batch = Batch::new("", records.to_vec());
        let response = self.decoy.handle_changes(table, batch).await;
        (is_acknowledged(&response, records), self.telemetry.last().unwrap())
    }

    /// Every file of a table, or of any other folder.
    pub(crate) fn files(&self, folder: &str) -> Vec<(String, Bytes)> {
        let mut files = self.archive.files.files();
        files.retain(|(name, _)| name.starts_with(&format!("{folder}/")));
        files
    }

    /// Every row of a table, file by file.
    pub(crate) fn rows<R: Row>(&self) -> Vec<R> {
        let files = self.files(R::TABLE).into_iter();
        files.flat_map(|(_, file)| read::<R>(file).unwrap()).collect()
    }

    /// Every line in quarantine, with its source.
    pub(crate) fn quarantined(&self) -> Vec<(String, serde_json::Value)> {
        let mut lines = Vec::new();
        for (name, file) in self.files("quarantine") {
            let source = name.split('/').nth(1).unwrap();
            for line in std::str::from_utf8(&file).unwrap().lines() {
                lines.push((source.to_owned(), serde_json::from_str(line).unwrap()));
            }
        }
        lines
    }
}

pub(crate) type StreamRecord = Record<'static, Data<'static>>;
pub(crate) type TableRecord = Record<'static, ItemChange<'static>>;

/// Whether no record is to be handed over again; if one is, it is the first.
fn is_acknowledged<'a, T: Content<'a>>(response: &Response, records: &[Record<'a, T>]) -> bool {
    let failed = &response.batch_item_failures;
    if let Some(failure) = failed.first() {
        assert_eq!(failure.item_identifier, records[0].sequence);
    }
    failed.is_empty()
}

pub(crate) fn record(shard: usize, sequence: u64, arrived: Timestamp, data: &[u8]) -> StreamRecord {
    let data = Data::new("k", data.to_vec().into());
    Record::new(&format!("shardId-{shard:012}"), format!("{sequence:020}"), arrived, data)
}

pub(crate) fn change(sequence: u64, arrived: Timestamp, old: Item, new: Item) -> TableRecord {
    let name = match (old.is_empty(), new.is_empty()) {
        (true, _) => "INSERT",
        (false, true) => "REMOVE",
        (false, false) => "MODIFY",
    };
    Record {
        sequence: format!("{sequence:021}").into(),
        event_id: format!("{sequence:032x}").into(),
        arrived,
        content: ItemChange {
            name: name.into(),
            keys: Image::default(),
            old: old.into(),
            new: new.into(),
        },
    }
}

pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    let attributes: HashMap<String, AttributeValue> =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    attributes.into()
}

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn n(number: usize) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The id of the n-th request.
pub(crate) fn id(request: usize) -> String {
    format!("0199aaaa-0000-7000-8000-{request:012x}")
}

pub(crate) fn envelope(request: usize, config: u64) -> String {
    let id = id(request);
    format!(
        "{{\"id\":\"{id}\",\"endpoint\":\"e\",\"config\":{config},\"arm\":\"main\",\"key\":\"k\",\
         \"received_us\":1763798344000000,\"deadline_us\":1763798345000000}}"
    )
}

pub(crate) fn request(request: usize, payload: &str) -> Vec<u8> {
    format!("{{\"v\":1,\"envelope\":{},\"payload\":{payload}}}", envelope(request, 1)).into_bytes()
}

/// `answer` is `"score":…` or `"failure":…`.
pub(crate) fn score(request: usize, config: u64, model: &str, answer: &str) -> Vec<u8> {
    let envelope = envelope(request, config);
    format!(
        "{{\"v\":1,\"envelope\":{envelope},\"model\":\"{model}\",\"started_us\":1763798344000100,\
         \"finished_us\":1763798344000200,{answer}}}"
    )
    .into_bytes()
}

/// A ledger item that is decided: `kind` to `score` as JSON members.
pub(crate) fn decided(request: usize, members: &str) -> Item {
    let decision = format!(
        "{{{members},\"decided_us\":1763798344000300,\"deadline_us\":1763798345000000,\"config\":1,\
         \"arm\":\"main\",\"champion\":\"a@1\"}}"
    );
    let envelope = envelope(request, 1);
    item([("id", s(&id(request))), ("envelope", s(&envelope)), ("decision", s(&decision))])
}

pub(crate) fn open(request: usize) -> Item {
    item([("id", s(&id(request))), ("envelope", s(&envelope(request, 1)))])
}

pub(crate) fn outcome(request: usize, outcome: &str, reported: usize) -> Item {
    item([
        ("request", s(&id(request))),
        ("endpoint", s("e")),
        ("outcome", s(outcome)),
        ("reported_us", n(reported)),
    ])
}
