//! The decoy: looks like a model, produces no score, archives everything.
//!
//! | source | table | a row |
//! | --- | --- | --- |
//! | stream `input` | `requests` | a request, exactly as the models saw it |
//! | stream `scores` | `scores` | a model's score of a request, or its failure |
//! | changes of the ledger | `decisions` | the decision of a request |
//! | changes of the table `outcomes` | `outcomes` | what a client has reported to be true |
//!
//! A batch becomes one Parquet file for each hour of arrival, nearly always one:
//! `{table}/date=YYYY-MM-DD/hour=HH/{shard}-{first}-{last}-{digest}.parquet`, or without the shard
//! where the event does not tell it. The digest is of the place of every row in the file: equal
//! names mean equal rows, however a batch is cut, filtered, spread over lanes or read by a later
//! version of this code. A file is written once, so that a batch that comes again changes nothing,
//! and one that comes again otherwise cut adds files with rows that are there already, which the
//! analysts' views count once. Records that cannot be read are kept whole, one file a batch,
//! `quarantine/{source}/{shard}-{first}-{last}-{digest}.ndjson`.

mod quarantine;
pub mod rows;
pub mod table;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use aws_lambda_events::{
    dynamodb,
    event::streams::{DynamoDbEventResponse, KinesisEventResponse},
    kinesis::KinesisEvent,
};
use bytes::Bytes;
use chrono::DateTime;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use rendezvous_aws::batch::{self, Place};
use rendezvous_core::{
    Endpoint, EndpointName, Endpoints, Invalid, Unavailable, now,
    ports::{Archive, EndpointTable, Stored},
};
use sha2::{Digest, Sha256};

use quarantine::Record;
use rows::{DecisionRow, OutcomeRow, RequestRow, ScoreRow};
use table::{Row, Version};

/// The Lambda function of the decoy.
pub struct Decoy<A, E> {
    archive: Arc<A>,
    endpoints: Endpoints<E>,
}

/// A Kinesis stream that the decoy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Input,
    Scores,
}

/// A table whose change stream, with new and old images, the decoy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Ledger,
    Outcomes,
}

impl Stream {
    /// Its name in metrics, logs and file names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Scores => "scores",
        }
    }
}

impl Table {
    /// Its name in metrics, logs and file names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Outcomes => "outcomes",
        }
    }
}

/// What came of one batch, for metrics. Files that were stored by an earlier attempt do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Rows in the new files.
    pub rows: usize,
    /// Records that could not be read, newly kept in quarantine.
    pub quarantined: usize,
    /// New files, quarantine included.
    pub files: usize,
    /// Their bytes.
    pub bytes: usize,
    /// From the arrival of the oldest record to now.
    pub lag: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A file to store, and what is in it.
struct File {
    name: String,
    body: Bytes,
    rows: usize,
    quarantined: usize,
}

/// How many configurations are asked for at a time.
const READS_AT_ONCE: usize = 16;

impl<A: Archive, E: EndpointTable> Decoy<A, E> {
    pub fn new(archive: Arc<A>, endpoints: Arc<E>) -> Self {
        Self { archive, endpoints: Endpoints::new(endpoints) }
    }

    /// Archives a batch of a stream. It is acknowledged when all of it is stored; else all of it
    /// comes again.
    pub async fn handle_stream(
        &self,
        stream: Stream,
        event: KinesisEvent,
    ) -> (KinesisEventResponse, Archived) {
        let (source, records) = (stream.as_str(), &event.records);
        let (stored, archived) = match stream {
            Stream::Input => self.archive(source, records, RequestRow::read).await,
            Stream::Scores => self.archive(source, records, ScoreRow::read).await,
        };
        let failed = (!stored).then_some(0);
        (batch::response(&event, failed.into_iter()), archived)
    }

    /// The same for a batch of a table's changes.
    pub async fn handle_changes(
        &self,
        table: Table,
        event: dynamodb::Event,
    ) -> (DynamoDbEventResponse, Archived) {
        let (source, records) = (table.as_str(), &event.records);
        let (stored, archived) = match table {
            Table::Ledger => self.archive(source, records, DecisionRow::read).await,
            Table::Outcomes => self.archive(source, records, OutcomeRow::read).await,
        };
        let failed = (!stored).then_some(0);
        (batch::changes_response(&event, failed.into_iter()), archived)
    }

    /// Says whether every record is in a file that is stored.
    async fn archive<'a, T: Record, R: Row>(
        &self,
        source: &str,
        records: &'a [T],
        read: impl Fn(&'a T) -> Result<Option<R>, Invalid> + Send,
    ) -> (bool, Archived) {
        let oldest = records.iter().map(|record| record.place().arrived).min();
        let lag = oldest.map_or(Duration::ZERO, |oldest| now().since(oldest));
        let mut archived = Archived { lag, ..Archived::default() };
        let stored = match self.files(source, records, read).await {
            Ok(files) => self.store(&files, &mut archived).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match &stored {
            Ok(()) => tracing::debug!(source, records = records.len(), ?archived, "archived"),
            Err(failure) => {
                tracing::error!(source, records = records.len(), %failure, "a batch comes again");
            }
        }
        (stored.is_ok(), archived)
    }

    /// The files that a batch becomes.
    async fn files<'a, T: Record, R: Row>(
        &self,
        source: &str,
        records: &'a [T],
        read: impl Fn(&'a T) -> Result<Option<R>, Invalid> + Send,
    ) -> Result<Vec<File>, Failure> {
        let (mut rows, mut unreadable) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            match read(record) {
                Ok(row) => rows.extend(row),
                Err(invalid) => unreadable.push((record, invalid)),
            }
        }
        self.evaluate(&mut rows).await?;
        let mut hours: BTreeMap<i64, Vec<&R>> = BTreeMap::new();
        for row in &rows {
            hours.entry(row.place().arrived.as_micros().div_euclid(HOUR)).or_default().push(row);
        }
        let mut files = Vec::with_capacity(hours.len() + 1);
        for (hour, rows) in hours {
            let folder = DateTime::from_timestamp_micros(hour * HOUR).unwrap_or_default();
            let folder = folder.format("date=%Y-%m-%d/hour=%H");
            let name = name(rows.iter().map(|row| row.place().clone()));
            let name = format!("{}/{folder}/{name}.parquet", R::TABLE);
            files.push(File { name, rows: rows.len(), quarantined: 0, body: table::write(&rows)? });
        }
        if !unreadable.is_empty() {
            let name = name(unreadable.iter().map(|(record, _)| record.place()));
            let name = format!("quarantine/{source}/{name}.ndjson");
            // Their reasons may quote them, so that they stand only beside them.
            tracing::warn!(name, records = unreadable.len(), "unreadable records are kept");
            let body = quarantine::write(&unreadable)?;
            files.push(File { name, rows: 0, quarantined: unreadable.len(), body });
        }
        Ok(files)
    }

    /// Gives each row its value. Where a configuration is not known there is none; while the table
    /// of configurations cannot be read, nothing is archived.
    async fn evaluate<R: Row>(&self, rows: &mut [R]) -> Result<(), Unavailable> {
        let key = |row: &R| Some((row.endpoint().clone(), row.version()?));
        let wanted: BTreeSet<(EndpointName, Version)> = rows.iter().filter_map(key).collect();
        let known: HashMap<(EndpointName, Version), Option<Arc<Endpoint>>> = stream::iter(wanted)
            .map(|(name, version)| async move {
                let endpoint = match version {
                    Version::Pinned(number) => self.endpoints.version(&name, number).await?,
                    Version::Current => self.endpoints.current(&name).await?,
                };
                Ok(((name, version), endpoint))
            })
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        for row in rows {
            if let Some(Some(endpoint)) = key(row).and_then(|key| known.get(&key)) {
                row.evaluate(&endpoint.configuration);
            }
        }
        Ok(())
    }

    /// Stores the files, all at once; those that were not stored before go into `archived`.
    async fn store(&self, files: &[File], archived: &mut Archived) -> Result<(), Unavailable> {
        let puts = files.iter().map(|file| self.archive.put(&file.name, file.body.clone()));
        let mut result = Ok(());
        for (file, stored) in files.iter().zip(join_all(puts).await) {
            let File { name, rows, quarantined, body } = file;
            match stored {
                Ok(Stored::New) => {
                    archived.rows += rows;
                    archived.quarantined += quarantined;
                    archived.files += 1;
                    archived.bytes += body.len();
                }
                Ok(Stored::Already) => tracing::info!(name, "stored before"),
                Err(unavailable) => result = Err(unavailable),
            }
        }
        result
    }
}

/// An hour in microseconds.
const HOUR: i64 = 3_600_000_000;

/// `{shard}-{first}-{last}-{digest}` of records in the order of their stream, see the module.
fn name<'a>(mut places: impl Iterator<Item = Place<'a>>) -> String {
    let Some(first) = places.next() else { return String::new() };
    let mut digest = Sha256::new();
    let mut add = |place: &Place| {
        // An event without ids still tells sequence numbers.
        digest.update(if place.event_id.is_empty() { place.sequence } else { place.event_id });
        digest.update([0]);
    };
    add(&first);
    let mut last = first.sequence;
    for place in places {
        add(&place);
        last = place.sequence;
    }
    let mut name = String::new();
    if !first.shard.is_empty() {
        name = [first.shard, "-"].concat();
    }
    // Writing to a string cannot fail.
    let _ = write!(name, "{}-{last}-", first.sequence);
    for byte in &digest.finalize()[..8] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}
