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

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use rendezvous_archive::{
    Unwritable,
    files::{self, Hour},
    write,
};
use rendezvous_aws::batch::{self, Batch, Content, Record, Response, StreamBatch, TableBatch};
use rendezvous_core::{
    Endpoint, EndpointCache, EndpointName, Invalid, ScoreReader, Unavailable,
    mutation::{Mutation, mutated},
    ports::{Archive, EndpointTable, Stored, Telemetry},
};

use quarantine::Keep;
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

/// A row, the number of its record in the batch, and the hour within which the record arrived.
struct Numbered<R> {
    number: usize,
    hour: Hour,
    row: R,
}

/// How many configurations are read at a time.
const READS_AT_ONCE: usize = 16;

impl<A: Archive, E: EndpointTable, T: Telemetry<DecoyReport>> Decoy<A, E, T> {
    pub fn new(archive: Arc<A>, endpoints: Arc<E>, telemetry: Arc<T>) -> Self {
        Self { archive, endpoints: EndpointCache::new(endpoints), telemetry }
    }

    /// Archives a batch of a stream. The batch is acknowledged when every record is in a file that
    /// is stored; else Lambda delivers all of it again.
    pub async fn handle_stream(&self, stream: Stream, batch: StreamBatch<'_>) -> Response {
        let source = stream.as_str();
        let stored = match stream {
            Stream::Input => self.archive(source, &batch, rows::request, write).await,
            Stream::Scores => {
                let mut reader = ScoreReader::default();
                let read = |record| rows::score(record, &mut reader);
                self.archive(source, &batch, read, write).await
            }
        };
        batch.response((!stored).then_some(0).into_iter())
    }

    /// The same for a batch of a table's changes.
    pub async fn handle_changes(&self, table: Table, batch: TableBatch<'_>) -> Response {
        let source = table.as_str();
        let stored = match table {
            Table::Ledger => self.archive(source, &batch, rows::decision, write).await,
            Table::Outcomes => self.archive(source, &batch, rows::outcome, write).await,
        };
        batch.response((!stored).then_some(0).into_iter())
    }

    /// Returns whether every record is in a file that is stored.
    async fn archive<'a, C: Keep<'a>, R: Evaluate>(
        &self,
        source: &'static str,
        batch: &'a Batch<'a, C>,
        read: impl FnMut(&'a Record<'a, C>) -> Result<Option<R>, Invalid> + Send,
        write: impl Fn(&[&R]) -> Result<Bytes, Unwritable> + Send,
    ) -> bool {
        let records = batch.records().len();
        let mut report = DecoyReport { source, lag: batch.lag(), ..DecoyReport::default() };
        let stored = match self.files(source, batch, read, write).await {
            Ok(files) => self.store(&files, &mut report).await,
            Err(unavailable) => Err(unavailable),
        };
        match &stored {
            Ok(()) => tracing::debug!(source, records, ?report, "archived"),
            Err(unavailable) => {
                tracing::error!(
                    source,
                    records,
                    %unavailable,
                    "a batch is not archived and will be delivered again"
                );
            }
        }
        self.telemetry.record(&report);
        stored.is_ok()
    }

    /// The files that a batch becomes.
    async fn files<'a, C: Keep<'a>, R: Evaluate>(
        &self,
        source: &str,
        batch: &'a Batch<'a, C>,
        mut read: impl FnMut(&'a Record<'a, C>) -> Result<Option<R>, Invalid> + Send,
        write: impl Fn(&[&R]) -> Result<Bytes, Unwritable> + Send,
    ) -> Result<Vec<File>, Unavailable> {
        let records = batch.records();
        let (mut rows, mut rejected) = (Vec::with_capacity(records.len()), BTreeMap::new());
        for (number, record) in records.iter().enumerate() {
            let row = match record {
                Ok(record) => {
                    read(record).map(|row| row.map(|row| (Hour::of(record.arrived), row)))
                }
                Err(unreadable) => Err(unreadable.reason.clone()),
            };
            match row {
                Ok(row) => rows.extend(row.map(|(hour, row)| Numbered { number, hour, row })),
                Err(invalid) => drop(rejected.insert(number, invalid)),
            }
        }
        self.evaluate(&mut rows).await?;
        let mut hours: BTreeMap<Hour, Vec<&Numbered<R>>> = BTreeMap::new();
        for row in &rows {
            hours.entry(row.hour).or_default().push(row);
        }
        let mut files = Vec::with_capacity(hours.len() + 1);
        for (hour, rows) in hours {
            table_files(hour, batch, &rows, &write, &mut files, &mut rejected);
        }
        if !rejected.is_empty() {
            let places = rejected.keys().map(|number| place(batch, *number));
            let name = files::quarantine_file(source, places);
            // A reason may quote its record, so it is written only beside the record.
            tracing::warn!(name, records = rejected.len(), "records are kept in quarantine");
            let lines = rejected.iter().map(|(number, invalid)| (*number, invalid));
            let body = quarantine::write(batch, lines);
            files.push(File { name, rows: 0, quarantined: rejected.len(), body });
        }
        Ok(files)
    }

    /// Sets the value of each row. A row whose configuration does not exist has none; while the
    /// table of configurations cannot be read, nothing is archived.
    async fn evaluate<R: Evaluate>(&self, rows: &mut [Numbered<R>]) -> Result<(), Unavailable> {
        let key = |row: &R| Some((row.endpoint().clone(), row.version()?));
        let wanted: BTreeSet<(EndpointName, Version)> =
            rows.iter().filter_map(|numbered| key(&numbered.row)).collect();
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
        for Numbered { row, .. } in rows {
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
fn table_files<'a, T: Content<'a>, R: Evaluate>(
    hour: Hour,
    batch: &Batch<'a, T>,
    rows: &[&Numbered<R>],
    write: &impl Fn(&[&R]) -> Result<Bytes, Unwritable>,
    files: &mut Vec<File>,
    rejected: &mut BTreeMap<usize, Invalid>,
) {
    let body = write(&rows.iter().map(|numbered| &numbered.row).collect::<Vec<_>>());
    match (body, rows) {
        (_, []) => {}
        (Ok(body), rows) => {
            let places = rows.iter().map(|row| place(batch, row.number));
            let name = files::table_file::<R>(hour, places);
            files.push(File { name, rows: rows.len(), quarantined: 0, body });
        }
        (Err(unwritable), [row]) => {
            rejected.insert(row.number, Invalid::new(unwritable.to_string()));
        }
        (Err(unwritable), rows) => {
            tracing::warn!(%unwritable, rows = rows.len(), "rows are divided to isolate the cause");
            let (first, second) = rows.split_at(rows.len() / 2);
            table_files(hour, batch, first, write, files, rejected);
            table_files(hour, batch, second, write, files, rejected);
        }
    }
}

fn place<'b, 'a, T: Content<'a>>(batch: &'b Batch<'a, T>, number: usize) -> files::Place<'b> {
    let batch::Place { shard, sequence, event_id } = batch.place(number);
    files::Place { shard, sequence_number: sequence, event_id }
}

#[cfg(test)]
mod tests {
    use rendezvous_archive::{RequestRow, read};
    use rendezvous_aws::batch::Data;
    use rendezvous_core::{
        Timestamp,
        memory::{MemoryArchive, MemoryEndpoints, MemoryTelemetry},
    };

    use super::*;

    fn record(number: i64, arrived: i64) -> Record<'static, Data<'static>> {
        let id = format!("0199aaaa-0000-7000-8000-{number:012}");
        let bytes = format!(
            "{{\"v\":1,\"envelope\":{{\"id\":\"{id}\",\"endpoint\":\"e\",\"config\":1,\"arm\":\"main\",\
             \"key\":\"k\",\"received_us\":1,\"deadline_us\":2}},\"payload\":{number}}}"
        )
        .into();
        let data = Data { partition_key: "k".into(), bytes };
        let arrived = Timestamp::from_micros(arrived);
        Record::new("shardId-000000000000", format!("{number:020}"), arrived, data)
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
        let batch = Batch::new("", (0..50).map(|n| record(n, n / 40 * 3_600_000_000)).collect());
        let bad = ["0", "17", "18", "49"];
        let attempt = async || {
            let write = |rows: &[&RequestRow<'_>]| refuse(&bad, rows);
            decoy.archive("input", &batch, rows::request, write).await
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
        let batch = Batch::new("", vec![record(1, 0), record(2, 0)]);
        let write = |rows: &[&RequestRow<'_>]| refuse(&["1", "2"], rows);
        let stored = decoy.archive("input", &batch, rows::request, write).await;
        let archived = last(&decoy);
        assert!(stored);
        assert_eq!((archived.rows, archived.quarantined, archived.files), (0, 2, 1));
    }
}
