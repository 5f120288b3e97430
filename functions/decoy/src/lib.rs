//! The decoy: reads the streams like a model, produces no score, and archives everything.
//!
//! | source | table | a row |
//! | --- | --- | --- |
//! | stream `input` | `requests` | a request, exactly as the models saw it |
//! | stream `scores` | `scores` | a model's score of a request, or its failure |
//! | changes of the ledger | `decisions` | the decision of a request |
//! | changes of the table `outcomes` | `outcomes` | an outcome that a client has reported |
//!
//! A batch becomes one Parquet file for each hour of arrival, nearly always one; see
//! [`rendezvous_archive::files`] for their names. Records that are permanently unreadable, or
//! unwritable as Parquet, are kept whole in quarantine, one file for each batch, and the others are
//! archived. Only while a dependency is unavailable is a batch not acknowledged: then all of it is
//! delivered again.

mod quarantine;
pub mod rows;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use aws_lambda_events::{
    dynamodb,
    event::streams::{DynamoDbEventResponse, KinesisEventResponse},
    kinesis::KinesisEvent,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use rendezvous_archive::{
    Unwritable,
    files::{self, Hour},
    write,
};
use rendezvous_aws::batch;
use rendezvous_core::{
    Endpoint, EndpointCache, EndpointName, Invalid, Timestamp, Unavailable,
    mutation::{Mutation, mutated},
    now,
    ports::{Archive, EndpointTable, Stored, Telemetry},
};

use quarantine::Record;
use rows::{Evaluate, Version};

/// The Lambda function of the decoy.
pub struct Decoy<A, E, T> {
    archive: Arc<A>,
    endpoints: EndpointCache<E>,
    telemetry: Arc<T>,
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

/// The report of one batch. Files that an earlier attempt has stored do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoyReport {
    /// The stream or the table that the batch came from.
    pub source: &'static str,
    /// Rows in the new files.
    pub rows: usize,
    /// Records that are permanently unreadable or unwritable, newly kept in quarantine.
    pub quarantined: usize,
    /// New files, quarantine included.
    pub files: usize,
    /// Their bytes.
    pub bytes: usize,
    /// From the arrival of the oldest record to now.
    pub lag: Duration,
}

/// A file to store, and what is in it.
struct File {
    name: String,
    body: Bytes,
    rows: usize,
    quarantined: usize,
}

/// A row, and the index of its record in the batch.
type Indexed<R> = (usize, R);

/// How many configurations are read at a time.
const READS_AT_ONCE: usize = 16;

impl<A: Archive, E: EndpointTable, T: Telemetry<DecoyReport>> Decoy<A, E, T> {
    pub fn new(archive: Arc<A>, endpoints: Arc<E>, telemetry: Arc<T>) -> Self {
        Self { archive, endpoints: EndpointCache::new(endpoints), telemetry }
    }

    /// Archives a batch of a stream. The batch is acknowledged when every record is in a file that
    /// is stored; else Lambda delivers all of it again.
    pub async fn handle_stream(&self, stream: Stream, event: KinesisEvent) -> KinesisEventResponse {
        let (source, records) = (stream.as_str(), &event.records);
        let stored = match stream {
            Stream::Input => self.archive(source, records, rows::request, write).await,
            Stream::Scores => self.archive(source, records, rows::score, write).await,
        };
        let failed = (!stored).then_some(0);
        batch::response(&event, failed.into_iter())
    }

    /// The same for a batch of a table's changes.
    pub async fn handle_changes(
        &self,
        table: Table,
        event: dynamodb::Event,
    ) -> DynamoDbEventResponse {
        let (source, records) = (table.as_str(), &event.records);
        let stored = match table {
            Table::Ledger => self.archive(source, records, rows::decision, write).await,
            Table::Outcomes => self.archive(source, records, rows::outcome, write).await,
        };
        let failed = (!stored).then_some(0);
        batch::changes_response(&event, failed.into_iter())
    }

    /// Returns whether every record is in a file that is stored.
    async fn archive<'a, C: Record, R: Evaluate>(
        &self,
        source: &'static str,
        records: &'a [C],
        read: impl Fn(&'a C) -> Result<Option<R>, Invalid> + Send,
        write: impl Fn(&[&R]) -> Result<Bytes, Unwritable> + Send,
    ) -> bool {
        let oldest = records.iter().map(|record| record.place().arrived).min();
        let lag = oldest.map_or(Duration::ZERO, |oldest| now().since(oldest));
        let mut report = DecoyReport { source, lag, ..DecoyReport::default() };
        let stored = match self.files(source, records, read, write).await {
            Ok(files) => self.store(&files, &mut report).await,
            Err(unavailable) => Err(unavailable),
        };
        match &stored {
            Ok(()) => tracing::debug!(source, records = records.len(), ?report, "archived"),
            Err(unavailable) => {
                tracing::error!(
                    source,
                    records = records.len(),
                    %unavailable,
                    "a batch is not archived and will be delivered again"
                );
            }
        }
        self.telemetry.record(&report);
        stored.is_ok()
    }

    /// The files that a batch becomes.
    async fn files<'a, C: Record, R: Evaluate>(
        &self,
        source: &str,
        records: &'a [C],
        read: impl Fn(&'a C) -> Result<Option<R>, Invalid> + Send,
        write: impl Fn(&[&R]) -> Result<Bytes, Unwritable> + Send,
    ) -> Result<Vec<File>, Unavailable> {
        let (mut rows, mut rejected) = (Vec::with_capacity(records.len()), BTreeMap::new());
        for (index, record) in records.iter().enumerate() {
            match read(record) {
                Ok(row) => rows.extend(row.map(|row| (index, row))),
                Err(invalid) => drop(rejected.insert(index, invalid)),
            }
        }
        self.evaluate(&mut rows).await?;
        let mut hours: BTreeMap<Hour, Vec<&Indexed<R>>> = BTreeMap::new();
        for row in &rows {
            hours.entry(Hour::of(arrived(&records[row.0]))).or_default().push(row);
        }
        let mut files = Vec::with_capacity(hours.len() + 1);
        for (hour, rows) in hours {
            table_files(hour, records, &rows, &write, &mut files, &mut rejected);
        }
        if !rejected.is_empty() {
            let places = rejected.keys().map(|index| place(&records[*index]));
            let name = files::quarantine_file(source, places);
            // A reason may quote its record, so it is written only beside the record.
            tracing::warn!(name, records = rejected.len(), "records are kept in quarantine");
            let lines = rejected.iter().map(|(index, invalid)| (&records[*index], invalid));
            let body = quarantine::write(lines);
            files.push(File { name, rows: 0, quarantined: rejected.len(), body });
        }
        Ok(files)
    }

    /// Sets the value of each row. A row whose configuration does not exist has none; while the
    /// table of configurations cannot be read, nothing is archived.
    async fn evaluate<R: Evaluate>(&self, rows: &mut [Indexed<R>]) -> Result<(), Unavailable> {
        let key = |row: &R| Some((row.endpoint().clone(), row.version()?));
        let wanted: BTreeSet<(EndpointName, Version)> =
            rows.iter().filter_map(|(_, row)| key(row)).collect();
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
        for (_, row) in rows {
            if let Some(Some(endpoint)) = key(row).and_then(|key| known.get(&key)) {
                row.evaluate(&endpoint.configuration);
            }
        }
        Ok(())
    }

    /// Stores the files, all at once, and counts those in `report` that are new.
    async fn store(&self, files: &[File], report: &mut DecoyReport) -> Result<(), Unavailable> {
        let puts = files.iter().map(|file| self.archive.put(&file.name, file.body.clone()));
        let mut result = Ok(());
        for (file, stored) in files.iter().zip(join_all(puts).await) {
            let File { name, rows, quarantined, body } = file;
            match stored {
                Ok(Stored::New) => {
                    report.rows += rows;
                    report.quarantined += quarantined;
                    report.files += 1;
                    report.bytes += body.len();
                }
                Ok(Stored::Already) => tracing::info!(name, "a file is already stored"),
                Err(_) if mutated(Mutation::AcknowledgeUnstored) => {}
                Err(unavailable) => result = Err(unavailable),
            }
        }
        result
    }
}

/// The files of the rows that arrived within an hour: one, unless some rows cannot be written. Then
/// each half is written on its own, and so on, until such rows are alone and are `rejected`.
///
/// The division depends on the rows only: a batch that is delivered again becomes the same files.
fn table_files<T: Record, R: Evaluate>(
    hour: Hour,
    records: &[T],
    rows: &[&Indexed<R>],
    write: &impl Fn(&[&R]) -> Result<Bytes, Unwritable>,
    files: &mut Vec<File>,
    rejected: &mut BTreeMap<usize, Invalid>,
) {
    let body = write(&rows.iter().map(|(_, row)| row).collect::<Vec<_>>());
    match (body, rows) {
        (_, []) => {}
        (Ok(body), rows) => {
            let places = rows.iter().map(|(index, _)| place(&records[*index]));
            let name = files::table_file::<R>(hour, places);
            files.push(File { name, rows: rows.len(), quarantined: 0, body });
        }
        (Err(unwritable), [(index, _)]) => {
            rejected.insert(*index, Invalid::new(unwritable.to_string()));
        }
        (Err(unwritable), rows) => {
            tracing::warn!(%unwritable, rows = rows.len(), "rows are divided to isolate the cause");
            let (first, second) = rows.split_at(rows.len() / 2);
            table_files(hour, records, first, write, files, rejected);
            table_files(hour, records, second, write, files, rejected);
        }
    }
}

fn arrived(record: &impl Record) -> Timestamp {
    record.place().arrived
}

fn place(record: &impl Record) -> files::Place<'_> {
    let batch::Place { shard, sequence, event_id, .. } = record.place();
    files::Place { shard, sequence_number: sequence, event_id }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::kinesis::KinesisEventRecord;
    use chrono::DateTime;
    use rendezvous_archive::{RequestRow, read};
    use rendezvous_core::memory::{MemoryArchive, MemoryEndpoints, MemoryTelemetry};

    use super::*;

    fn record(number: i64, arrived: i64) -> KinesisEventRecord {
        let id = format!("0199aaaa-0000-7000-8000-{number:012}");
        let mut record = KinesisEventRecord::default();
        record.kinesis.data.0 = format!(
            "{{\"v\":1,\"envelope\":{{\"id\":\"{id}\",\"endpoint\":\"e\",\"config\":1,\"arm\":\"main\",\
             \"key\":\"k\",\"received_us\":1,\"deadline_us\":2}},\"payload\":{number}}}"
        )
        .into_bytes();
        record.kinesis.sequence_number = format!("{number:020}");
        record.event_id = Some(format!("shardId-000000000000:{number:020}"));
        *record.kinesis.approximate_arrival_timestamp =
            DateTime::from_timestamp_micros(arrived).unwrap();
        record
    }

    type TestDecoy = Decoy<MemoryArchive, MemoryEndpoints, MemoryTelemetry<DecoyReport>>;

    fn decoy(archive: &Arc<MemoryArchive>) -> TestDecoy {
        Decoy::new(archive.clone(), Arc::default(), Arc::default())
    }

    fn last(decoy: &TestDecoy) -> DecoyReport {
        decoy.telemetry.last().unwrap()
    }

    /// Fails like the Parquet writer, of which no row is known that it refuses.
    fn refuse(bad: &[&str], rows: &[&RequestRow<'_>]) -> Result<Bytes, Unwritable> {
        if rows.iter().any(|row| bad.contains(&&*row.payload)) {
            let error = parquet::errors::ParquetError::General("too odd".to_owned());
            return Err(error.into());
        }
        write(rows)
    }

    #[tokio::test]
    async fn rows_that_cannot_be_written_are_kept_in_quarantine_and_all_others_are_archived() {
        let archive = Arc::new(MemoryArchive::default());
        let decoy = decoy(&archive);
        // Number 40 and later arrive in the next hour.
        let records: Vec<_> = (0..50).map(|n| record(n, n / 40 * 3_600_000_000)).collect();
        let bad = ["0", "17", "18", "49"];
        let attempt = async || {
            let write = |rows: &[&RequestRow<'_>]| refuse(&bad, rows);
            decoy.archive("input", &records, rows::request, write).await
        };
        let (stored, archived) = (attempt().await, last(&decoy));
        assert!(stored, "the batch would be delivered again for ever");
        assert_eq!((archived.rows, archived.quarantined), (46, 4));

        let files = archive.files();
        let (tables, quarantine): (Vec<_>, Vec<_>) =
            files.iter().partition(|(name, _)| name.starts_with("requests/"));
        let mut numbers: Vec<i64> = Vec::new();
        for (_, body) in &tables {
            let rows: Vec<RequestRow<'_>> = read(body.clone()).unwrap();
            numbers.extend(rows.iter().map(|row| row.payload.parse::<i64>().unwrap()));
        }
        numbers.sort_unstable();
        let expected: Vec<i64> = (0..50).filter(|n| !bad.contains(&&*n.to_string())).collect();
        assert_eq!(numbers, expected);
        let [(name, lines)] = &quarantine[..] else { panic!("{quarantine:?}") };
        let start =
            "quarantine/input/shardId-000000000000-00000000000000000000-00000000000000000049-";
        assert!(name.starts_with(start), "{name}");
        let lines: Vec<serde_json::Value> = std::str::from_utf8(lines)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1]["sequence_number"], format!("{:020}", 17));
        assert!(lines[1]["reason"].as_str().unwrap().ends_with("too odd"), "{lines:?}");

        // Delivered again, the batch becomes the same files.
        let (stored, archived) = (attempt().await, last(&decoy));
        assert!(stored && archived.files == 0, "{archived:?}");
    }

    #[tokio::test]
    async fn a_batch_of_nothing_but_unwritable_rows_is_acknowledged() {
        let archive = Arc::new(MemoryArchive::default());
        let decoy = decoy(&archive);
        let records = [record(1, 0), record(2, 0)];
        let write = |rows: &[&RequestRow<'_>]| refuse(&["1", "2"], rows);
        let stored = decoy.archive("input", &records, rows::request, write).await;
        let archived = last(&decoy);
        assert!(stored);
        assert_eq!((archived.rows, archived.quarantined, archived.files), (0, 2, 1));
    }
}
