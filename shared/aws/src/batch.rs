//! A batch of Kinesis records or of changes of a `DynamoDB` table, as Lambda's event source mapping
//! hands it over, and the partial batch response that says from where to hand it over again.

use std::time::Duration;

use aws_lambda_events::{
    dynamodb,
    event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse, KinesisEventResponse},
    kinesis::{KinesisEvent, KinesisEventRecord},
};
use chrono::DateTime;
use rendezvous_core::{
    Invalid, Timestamp,
    mutation::{Mutation, mutated},
    now,
};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

/// Where a record, or a change, stands on its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// `shardId-000000000000`, or nothing: the events of a table's stream do not say.
    pub shard: &'a str,
    pub sequence: &'a str,
    /// What the event calls the record; no other has it, on whatever shard.
    pub event_id: &'a str,
    /// When the stream accepted the record.
    pub arrived: Timestamp,
}

impl<'a> Place<'a> {
    pub fn of(record: &'a KinesisEventRecord) -> Self {
        // An event id is "shardId-000000000000:49545115243490985018280067714973144582180062593244200961".
        let event_id = record.event_id.as_deref().unwrap_or_default();
        let (shard, _) = event_id.split_once(':').unwrap_or_default();
        let arrived = record.kinesis.approximate_arrival_timestamp.timestamp_micros();
        Self {
            shard,
            sequence: &record.kinesis.sequence_number,
            event_id,
            arrived: Timestamp::from_micros(arrived),
        }
    }

    pub fn of_change(record: &'a dynamodb::EventRecord) -> Self {
        let change = &record.change;
        Self {
            shard: "",
            sequence: change.sequence_number.as_deref().unwrap_or_default(),
            event_id: &record.event_id,
            arrived: Timestamp::from_micros(
                change.approximate_creation_date_time.timestamp_micros(),
            ),
        }
    }
}

/// A batch of a stream as Lambda sends it, with the records' times of arrival as they are.
///
/// `aws_lambda_events` 1.2 reads the fraction of 1763794344.5 as 5 ms: one time in ten comes out
/// wrong, by up to 0.9 s. So they are read here once more.
#[derive(Debug)]
pub struct StreamBatch(pub KinesisEvent);

impl<'de> Deserialize<'de> for StreamBatch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Batch {
            #[serde(rename = "Records")]
            records: Vec<Record>,
        }
        #[derive(Deserialize)]
        struct Record {
            kinesis: Arrival,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Arrival {
            approximate_arrival_timestamp: f64,
        }
        let text = Box::<RawValue>::deserialize(from)?;
        let wrong = |error: serde_json::Error| D::Error::custom(error);
        let mut event: KinesisEvent = serde_json::from_str(text.get()).map_err(wrong)?;
        let times: Batch = serde_json::from_str(text.get()).map_err(wrong)?;
        for (record, time) in event.records.iter_mut().zip(times.records) {
            let seconds = time.kinesis.approximate_arrival_timestamp;
            // A double holds microseconds until the year 2255.
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            let micros = (seconds * 1e6).round() as i64;
            let arrived = DateTime::from_timestamp_micros(micros).unwrap_or_default();
            record.kinesis.approximate_arrival_timestamp.0 = arrived;
        }
        Ok(Self(event))
    }
}

/// Reads every record of a batch with `parse`. What cannot be read never can: it is logged and
/// passed by, so that it does not block its shard; to keep it is the decoy's business. The number beside each
/// message is its record's place in the batch.
pub fn messages<'a, T>(
    event: &'a KinesisEvent,
    parse: impl Fn(&'a [u8]) -> Result<T, Invalid>,
) -> Vec<(usize, T)> {
    let read = |(index, record): (usize, &'a KinesisEventRecord)| {
        if let Ok(message) = parse(&record.kinesis.data) {
            return Some((index, message));
        }
        // The reason may quote the record, so that it stands only beside the record, in quarantine.
        let place = Place::of(record);
        tracing::warn!(
            shard = place.shard,
            sequence = place.sequence,
            bytes = record.kinesis.data.len(),
            "a record cannot be read and is passed by"
        );
        None
    };
    event.records.iter().enumerate().filter_map(read).collect()
}

/// How far behind its stream a batch is: the time since its oldest record arrived.
pub fn lag(event: &KinesisEvent) -> Duration {
    let arrived = event.records.iter().map(|record| Place::of(record).arrived).min();
    arrived.map_or(Duration::ZERO, |arrived| now().since(arrived))
}

/// Tells Lambda to hand the batch over again from the first of the `failed` records on.
///
/// Only one is named: "Lambda uses the lowest sequence number as the checkpoint", and an identifier
/// that is empty would fail the whole batch.
pub fn response(event: &KinesisEvent, failed: impl Iterator<Item = usize>) -> KinesisEventResponse {
    let mut response = KinesisEventResponse::default();
    if let Some(record) = lowest(failed).and_then(|index| event.records.get(index)) {
        response.add_failure(record.kinesis.sequence_number.as_str());
    }
    response
}

fn lowest(failed: impl Iterator<Item = usize>) -> Option<usize> {
    if mutated(Mutation::WrongLowestFailure) { failed.max() } else { failed.min() }
}

/// The same for a batch of a table's changes.
pub fn changes_response(
    event: &dynamodb::Event,
    failed: impl Iterator<Item = usize>,
) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    if let Some(record) = lowest(failed).and_then(|index| event.records.get(index)) {
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier.clone_from(&record.change.sequence_number);
        response.batch_item_failures.push(failure);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_arrived_when_lambda_says_so_to_the_millisecond() {
        let event = |time: &str| {
            let kinesis = format!(
                r#"{{"approximateArrivalTimestamp":{time},"data":"MQ==","encryptionType":"NONE",
                    "partitionKey":"k","sequenceNumber":"1","kinesisSchemaVersion":"1.0"}}"#
            );
            format!(r#"{{"Records":[{{"eventID":"shardId-000000000000:1","kinesis":{kinesis}}}]}}"#)
        };
        for (time, micros) in [
            ("1763794344.5", 1_763_794_344_500_000),
            ("1763794344.05", 1_763_794_344_050_000),
            ("1763794344.12", 1_763_794_344_120_000),
            ("1763794344.999", 1_763_794_344_999_000),
            ("1763794344", 1_763_794_344_000_000),
        ] {
            let StreamBatch(event) = serde_json::from_str(&event(time)).unwrap();
            assert_eq!(Place::of(&event.records[0]).arrived.as_micros(), micros, "{time}");
            assert_eq!(event.records[0].kinesis.data.0, b"1");
        }
    }

    fn event(records: &[&str]) -> KinesisEvent {
        let mut event = KinesisEvent::default();
        for (i, data) in records.iter().enumerate() {
            let mut record = KinesisEventRecord::default();
            record.event_id = Some(format!("shardId-000000000003:{i}"));
            record.kinesis.sequence_number = i.to_string();
            record.kinesis.data.0 = data.as_bytes().to_vec();
            event.records.push(record);
        }
        event
    }

    #[test]
    fn unreadable_records_are_passed_by_and_the_others_keep_their_places() {
        let event = event(&["1", "x", "3"]);
        let parse = |data: &[u8]| {
            let text = std::str::from_utf8(data).map_err(|_| Invalid::new("not UTF-8"))?;
            text.parse::<u8>().map_err(|error| Invalid::new(error.to_string()))
        };
        assert_eq!(messages(&event, parse), [(0, 1), (2, 3)]);
        assert_eq!(Place::of(&event.records[2]).shard, "shardId-000000000003");
    }

    #[test]
    fn the_lowest_failed_record_is_named_and_success_names_none() {
        let event = event(&["1", "2", "3"]);
        let failures = response(&event, [2, 1].into_iter()).batch_item_failures;
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].item_identifier.as_deref(), Some("1"));
        assert!(response(&event, [].into_iter()).batch_item_failures.is_empty());
    }
}
