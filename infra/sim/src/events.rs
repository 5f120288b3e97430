//! What stands on a stream, as the events in which Lambda hands it to a function.

use std::{collections::VecDeque, sync::Arc};

use aws_lambda_events::{
    dynamodb::{self, EventRecord, StreamViewType},
    encodings::Base64Data,
    event::streams::{DynamoDbEventResponse, KinesisEventResponse},
    kinesis::{KinesisEvent, KinesisEventRecord},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rendezvous_aws::items::{
    ledger,
    outcome::{self, Reported},
};
use rendezvous_core::memory::{Change, StoredOutcome, StoredRecord};
use serde::Serialize;
use serde_dynamo::Item;

/// What the records of a stream carry: it decides which event a function gets, and which answer it
/// gives.
pub trait Carried: Sized + Send + Sync + 'static {
    type Event: Serialize + Send + Sync;
    type Response: Send;

    /// The event of a batch of one shard.
    fn event(source: &Source, records: &Batch<Self>) -> Self::Event;

    /// The identifiers of the records that a function names as failed.
    fn failed(response: &Self::Response) -> impl Iterator<Item = Option<&str>>;
}

/// Records of one shard, in order.
pub type Batch<T> = VecDeque<Arc<StoredRecord<T>>>;

/// Where a batch comes from.
#[derive(Debug)]
pub struct Source {
    /// The stream, or the table whose changes they are.
    pub name: &'static str,
    pub shard: String,
}

/// As on AWS a decimal number that is to be treated as text, growing along a shard.
pub fn sequence_number<T>(record: &StoredRecord<T>) -> String {
    format!("{:020}", record.sequence)
}

fn arrived<T>(record: &StoredRecord<T>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(record.arrived.as_micros()).unwrap_or_default()
}

/// A Kinesis stream.
impl Carried for Bytes {
    type Event = KinesisEvent;
    type Response = KinesisEventResponse;

    fn event(source: &Source, records: &Batch<Self>) -> KinesisEvent {
        let arn = format!("arn:aws:kinesis:local:000000000000:stream/{}", source.name);
        let mut event = KinesisEvent::default();
        event.records.reserve_exact(records.len());
        for stored in records {
            let sequence = sequence_number(stored);
            let mut record = KinesisEventRecord::default();
            record.aws_region = Some("local".to_owned());
            record.event_id = Some([&source.shard, ":", &sequence].concat());
            record.event_name = Some("aws:kinesis:record".to_owned());
            record.event_source = Some("aws:kinesis".to_owned());
            record.event_source_arn = Some(arn.clone());
            record.event_version = Some("1.0".to_owned());
            record.kinesis.data = Base64Data::default();
            record.kinesis.data.0 = stored.data.to_vec();
            record.kinesis.kinesis_schema_version = Some("1.0".to_owned());
            stored.key.as_str().clone_into(&mut record.kinesis.partition_key);
            record.kinesis.sequence_number = sequence;
            *record.kinesis.approximate_arrival_timestamp = arrived(stored);
            event.records.push(record);
        }
        event
    }

    fn failed(response: &KinesisEventResponse) -> impl Iterator<Item = Option<&str>> {
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_deref())
    }
}

/// A table's change stream: each record holds the item as it was written.
impl Carried for Change {
    type Event = dynamodb::Event;
    type Response = DynamoDbEventResponse;

    fn event(source: &Source, records: &Batch<Self>) -> dynamodb::Event {
        let arn = format!("arn:aws:dynamodb:local:000000000000:table/{}/stream/local", source.name);
        let mut event = dynamodb::Event::default();
        event.records.reserve_exact(records.len());
        for stored in records {
            let sequence = sequence_number(stored);
            let mut record = EventRecord::default();
            "local".clone_into(&mut record.aws_region);
            record.event_id = [&source.shard, ":", &sequence].concat();
            record.event_source = Some("aws:dynamodb".to_owned());
            record.event_source_arn = Some(arn.clone());
            record.event_version = Some("1.1".to_owned());
            record.change.approximate_creation_date_time = arrived(stored);
            let (keys, old, new) = images(&stored.data);
            let name = if old.is_some() { "MODIFY" } else { "INSERT" };
            name.clone_into(&mut record.event_name);
            (record.change.keys, record.change.new_image) = (keys, new);
            record.change.old_image = old.unwrap_or_default();
            record.change.sequence_number = Some(sequence);
            record.change.stream_view_type = Some(StreamViewType::NewAndOldImages);
            event.records.push(record);
        }
        event
    }

    fn failed(response: &DynamoDbEventResponse) -> impl Iterator<Item = Option<&str>> {
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_deref())
    }
}

/// The keys of a changed item, its old image if there was one, and its new image.
fn images(change: &Change) -> (Item, Option<Item>, Item) {
    match change {
        Change::Mailbox { old, new } => {
            let old = old.as_ref().map(ledger::item);
            (ledger::key(new.envelope.id), old, ledger::item(new))
        }
        Change::Outcome { endpoint, id, old, new } => {
            let item = |StoredOutcome { outcome, reported }: &StoredOutcome| {
                outcome::item(&Reported {
                    request: *id,
                    endpoint: endpoint.clone(),
                    outcome: outcome.clone(),
                    reported: *reported,
                })
            };
            (outcome::key(*id, endpoint), old.as_ref().map(item), item(new))
        }
    }
}
