//! The decoy: reads the streams like a model, produces no score, and archives everything.
//!
//! | source | table | a row |
//! | --- | --- | --- |
//! | stream `input` | `requests` | a request, exactly as the models saw it |
//! | stream `scores` | `scores` | a model's score of a request, or its failure |
//! | the scores of replays | `replays` | a model's score of an archived request, or its failure |
//! | changes of the ledger | `decisions` | the decision of a request |
//! | changes of the table `outcomes` | `outcomes` | an outcome that a client has reported |
//!
//! A batch becomes one Parquet file for each hour of arrival, nearly always one; see
//! [`rendezvous_archive::files`] for their names. A payload that is stored outside of its message is archived as
//! if it were in it, in a file of its own or with a few others. Records that are permanently unreadable, or
//! unwritable as Parquet, are kept whole in quarantine, one file for each batch, and the others are
//! archived. Only while a dependency is unavailable is a batch not acknowledged: then all of it is
//! delivered again.
//!
//! Of a request that is erased nothing is archived while its records can be delivered again: the decoy obeys the
//! [tombstones](rendezvous_archive::tombstones) of the archive, which it reads at most once a minute.

mod erased;
mod payloads;
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
    Endpoint, EndpointCache, EndpointName, Invalid, PayloadRef, ScoreReader, Unavailable,
    mutation::{Mutation, mutated},
    ports::{Archive, ArchiveFiles, EndpointTable, Payloads, Stored, Telemetry},
};

use erased::Erased;
use payloads::{complete, portions};
use quarantine::Keep;
use rows::{Evaluate, Version, WithReference};

/// The Lambda function of the decoy.
pub struct Decoy<A, E, P, T> {
    archive: Arc<A>,
    endpoints: EndpointCache<E>,
    payloads: Arc<P>,
    telemetry: Arc<T>,
    erased: Erased,
}

/// A Kinesis stream that the decoy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Input,
    Scores,
    /// The scores of requests that are replayed.
    Replays,
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
            Self::Replays => "replays",
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
    /// Where the payload is that the row lacks.
    reference: Option<PayloadRef>,
}

/// How many configurations are read at a time.
const READS_AT_ONCE: usize = 16;

impl<A, E, P, T> Decoy<A, E, P, T>
where
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    P: Payloads,
    T: Telemetry<DecoyReport>,
{
    pub fn new(archive: Arc<A>, endpoints: Arc<E>, payloads: Arc<P>, telemetry: Arc<T>) -> Self {
        let (endpoints, erased) = (EndpointCache::new(endpoints), Erased::default());
        Self { archive, endpoints, payloads, telemetry, erased }
    }

    /// Archives a batch of a stream. The batch is acknowledged when every record is in a file that
    /// is stored; else Lambda delivers all of it again.
    pub async fn handle_stream(&self, stream: Stream, batch: StreamBatch<'_>) -> Response {
        let source = stream.as_str();
        let stored = match stream {
            Stream::Input => self.archive(source, &batch, rows::request, write).await,
            Stream::Scores => {
                let mut reader = ScoreReader::default();
                let read = whole(|record| rows::score(record, &mut reader));
                self.archive(source, &batch, read, write).await
            }
            Stream::Replays => {
                let mut reader = ScoreReader::default();
                let read = whole(|record| rows::replay(record, &mut reader));
                self.archive(source, &batch, read, write).await
            }
        };
        batch.response((!stored).then_some(0).into_iter())
    }

    /// The same for a batch of a table's changes.
    pub async fn handle_changes(&self, table: Table, batch: TableBatch<'_>) -> Response {
        let source = table.as_str();
        let stored = match table {
            Table::Ledger => self.archive(source, &batch, whole(rows::decision), write).await,
            Table::Outcomes => self.archive(source, &batch, whole(rows::outcome), write).await,
        };
        batch.response((!stored).then_some(0).into_iter())
    }

    /// Returns whether every record is in a file that is stored.
    async fn archive<'a, C: Keep<'a>, R: Evaluate>(
        &self,
        source: &'static str,
        batch: &'a Batch<'a, C>,
        read: impl FnMut(&'a Record<'a, C>) -> Result<Option<WithReference<R>>, Invalid> + Send,
        write: impl Fn(&[&R]) -> Result<Bytes, Unwritable> + Send,
    ) -> bool {
        let records = batch.records().len();
        let mut report = DecoyReport { source, lag: batch.lag(), ..DecoyReport::default() };
        let stored = self.store_all(source, batch, read, write, &mut report).await;
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

    /// Stores the files that a batch becomes. Rows whose payload is stored elsewhere get files of their own,
    /// of limited size: only so many payloads are held at a time.
    async fn store_all<'a, C: Keep<'a>, R: Evaluate>(
        &self,
        source: &str,
        batch: &'a Batch<'a, C>,
        read: impl FnMut(&'a Record<'a, C>) -> Result<Option<WithReference<R>>, Invalid> + Send,
        write: impl Fn(&[&R]) -> Result<Bytes, Unwritable> + Send,
        report: &mut DecoyReport,
    ) -> Result<(), Unavailable> {
        let (mut rows, mut rejected) = read_rows(batch, read);
        let tombstones = self.erased.tombstones(&*self.archive).await?;
        rows.retain(|Numbered { row, .. }| !tombstones.hold(row.endpoint(), row.request_id()));
        self.evaluate(&mut rows).await?;
        // Rows are large, and usually none is stored elsewhere: they stay where they are.
        let stored: Vec<_> = rows.extract_if(.., |row| row.reference.is_some()).collect();
        for portion in portions(stored) {
            let complete = complete(&*self.payloads, portion, &mut rejected).await?;
            let files = table_files_of(batch, &complete, &write, &mut rejected);
            drop(complete);
            self.store(&files, report).await?;
        }
        let mut files = table_files_of(batch, &rows, &write, &mut rejected);
        if !rejected.is_empty() {
            let places = rejected.keys().map(|number| place(batch, *number));
            let name = files::quarantine_file(source, places);
            // A reason may quote its record, so it is written only beside the record.
            tracing::warn!(name, records = rejected.len(), "records are kept in quarantine");
            let lines = rejected.iter().map(|(number, invalid)| (*number, invalid));
            let body = quarantine::write(batch, lines);
            files.push(File { name, rows: 0, quarantined: rejected.len(), body });
        }
        self.store(&files, report).await
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

/// Reads records that have their rows whole.
fn whole<I, R>(
    mut read: impl FnMut(I) -> Result<Option<R>, Invalid>,
) -> impl FnMut(I) -> Result<Option<WithReference<R>>, Invalid> {
    move |record| Ok(read(record)?.map(|row| (row, None)))
}

/// The rows of a batch, and the records that are none.
fn read_rows<'a, C: Keep<'a>, R>(
    batch: &'a Batch<'a, C>,
    mut read: impl FnMut(&'a Record<'a, C>) -> Result<Option<WithReference<R>>, Invalid>,
) -> (Vec<Numbered<R>>, BTreeMap<usize, Invalid>) {
    let records = batch.records();
    let (mut rows, mut rejected) = (Vec::with_capacity(records.len()), BTreeMap::new());
    for (number, record) in records.iter().enumerate() {
        let row = match record {
            Ok(record) => read(record).map(|row| Some((Hour::of(record.arrived), row?))),
            Err(unreadable) => Err(unreadable.reason.clone()),
        };
        match row {
            Ok(row) => rows.extend(row.map(|(hour, (row, reference))| Numbered {
                number,
                hour,
                row,
                reference,
            })),
            Err(invalid) => drop(rejected.insert(number, invalid)),
        }
    }
    (rows, rejected)
}

/// The files of rows, for each hour of arrival.
fn table_files_of<'a, T: Content<'a>, R: Evaluate>(
    batch: &Batch<'a, T>,
    rows: &[Numbered<R>],
    write: &impl Fn(&[&R]) -> Result<Bytes, Unwritable>,
    rejected: &mut BTreeMap<usize, Invalid>,
) -> Vec<File> {
    let mut hours: BTreeMap<Hour, Vec<&Numbered<R>>> = BTreeMap::new();
    for row in rows {
        hours.entry(row.hour).or_default().push(row);
    }
    let mut files = Vec::with_capacity(hours.len() + 1);
    for (hour, rows) in hours {
        table_files(hour, batch, &rows, write, &mut files, rejected);
    }
    files
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
mod tests;
