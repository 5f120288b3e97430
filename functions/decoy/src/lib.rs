//! The decoy: looks like a model, produces no score, archives every request of the stream `input`
//! exactly as the models saw it.
//!
//! A batch becomes one Parquet file for each hour of arrival (nearly always one),
//! `requests/date=YYYY-MM-DD/hour=HH/{shard}-{first}-{last}.parquet`. The name comes from the place
//! on the stream, and a file is written once, so that a batch that comes again changes nothing.
//! A record that cannot be read is kept whole under `quarantine/input/`.

mod table;

use std::{collections::BTreeMap, sync::Arc};

use aws_lambda_events::{
    event::streams::KinesisEventResponse,
    kinesis::{KinesisEvent, KinesisEventRecord},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::DateTime;
use rendezvous_aws::batch::{self, Place};
use rendezvous_core::{
    Invalid, RequestMessage, Timestamp, Unavailable,
    ports::{Archive, Stored},
};
use serde::Serialize;

/// The Lambda function of the decoy.
#[derive(Debug)]
pub struct Decoy<A> {
    archive: Arc<A>,
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
}

impl<A: Archive> Decoy<A> {
    pub fn new(archive: Arc<A>) -> Self {
        Self { archive }
    }

    /// Archives a batch of the stream `input`. It is acknowledged when all of it is stored; else
    /// all of it comes again.
    pub async fn handle(&self, event: KinesisEvent) -> KinesisEventResponse {
        match self.archive(&event).await {
            Ok(()) => KinesisEventResponse::default(),
            Err(failure) => {
                tracing::error!(records = event.records.len(), %failure, "a batch comes again");
                batch::response(&event, std::iter::once(0))
            }
        }
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
