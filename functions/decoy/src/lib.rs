//! The decoy: looks like a model, produces no score, archives every request of the stream `input`
//! exactly as the models saw it.
//!
//! A batch becomes one Parquet file for each hour of arrival (nearly always one),
//! `requests/date=YYYY-MM-DD/hour=HH/{shard}-{first}-{last}.parquet`. The name comes from the place
//! on the stream, and a file is written once, so that a batch that comes again changes nothing.
//! A record that cannot be read is kept whole under `quarantine/input/`.

mod table;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_lambda_events::{
    dynamodb,
    event::streams::{DynamoDbEventResponse, KinesisEventResponse},
    kinesis::{KinesisEvent, KinesisEventRecord},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::DateTime;
use rendezvous_aws::batch::{self, Place};
use rendezvous_core::{
    Endpoints, Invalid, RequestMessage, Timestamp, Unavailable,
    ports::{Archive, EndpointTable, Stored},
};
use serde::Serialize;

/// The Lambda function of the decoy.
pub struct Decoy<A, E> {
    archive: Arc<A>,
    #[expect(dead_code, reason = "the tables that follow need it")]
    endpoints: Endpoints<E>,
}

/// A Kinesis stream that the decoy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Input,
    Scores,
}

/// A table whose change stream the decoy reads.
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

/// One request and where it stood on the stream.
struct Row<'a> {
    message: RequestMessage<'a>,
    place: Place<'a>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Archive(#[from] Unavailable),
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("this source is not archived yet")]
    Unread,
}

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
        let stored = match stream {
            Stream::Input => self.archive(&event).await,
            Stream::Scores => Err(Failure::Unread),
        };
        let response = match stored {
            Ok(()) => KinesisEventResponse::default(),
            Err(failure) => {
                tracing::error!(records = event.records.len(), %failure, "a batch comes again");
                batch::response(&event, std::iter::once(0))
            }
        };
        (response, Archived::default())
    }

    /// The same for a batch of a table's change stream, with new and old images.
    pub async fn handle_changes(
        &self,
        _table: Table,
        event: dynamodb::Event,
    ) -> (DynamoDbEventResponse, Archived) {
        let response = batch::changes_response(&event, std::iter::once(0));
        (response, Archived::default())
    }

    async fn archive(&self, event: &KinesisEvent) -> Result<(), Failure> {
        let mut hours: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for record in &event.records {
            let place = Place::of(record);
            match RequestMessage::parse(&record.kinesis.data) {
                Ok(message) => {
                    hours.entry(hour(place.arrived)).or_default().push(Row { message, place });
                }
                Err(invalid) => self.quarantine(record, &place, &invalid).await?,
            }
        }
        for (hour, rows) in hours {
            let name = file_name(&hour, &rows);
            let (count, file) = (rows.len(), table::write(rows)?);
            let bytes = file.len();
            match self.archive.put(&name, file).await? {
                Stored::New => tracing::debug!(name, count, bytes, "archived"),
                Stored::Already => tracing::info!(name, count, "archived before"),
            }
        }
        Ok(())
    }

    /// Keeps a record that cannot be read as it came, with the reason.
    async fn quarantine(
        &self,
        record: &KinesisEventRecord,
        place: &Place<'_>,
        invalid: &Invalid,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Quarantined<'a> {
            reason: String,
            shard: &'a str,
            sequence_number: &'a str,
            arrived_us: Timestamp,
            partition_key: &'a str,
            data_base64: String,
        }
        let quarantined = Quarantined {
            reason: invalid.to_string(),
            shard: place.shard,
            sequence_number: place.sequence,
            arrived_us: place.arrived,
            partition_key: &record.kinesis.partition_key,
            data_base64: BASE64_STANDARD.encode(&record.kinesis.data.0),
        };
        let name = format!("quarantine/input/{}-{}.json", place.shard, place.sequence);
        tracing::warn!(name, %invalid, "a record cannot be read and is kept in quarantine");
        self.archive.put(&name, Bytes::from(serde_json::to_vec(&quarantined)?)).await?;
        Ok(())
    }
}

/// `date=YYYY-MM-DD/hour=HH`, in UTC.
fn hour(arrived: Timestamp) -> String {
    let time = DateTime::from_timestamp_micros(arrived.as_micros()).unwrap_or_default();
    time.format("date=%Y-%m-%d/hour=%H").to_string()
}

fn file_name(hour: &str, rows: &[Row]) -> String {
    let (shard, first) = rows.first().map_or(("", ""), |row| (row.place.shard, row.place.sequence));
    let last = rows.last().map_or("", |row| row.place.sequence);
    format!("requests/{hour}/{shard}-{first}-{last}.parquet")
}
