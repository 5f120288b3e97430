//! The records of a stream as the events with which Lambda invokes a function.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

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
use rendezvous_core::{
    Mailbox,
    memory::{Change, MemoryLedger, StoredOutcome, StoredRecord},
};
use serde::{Deserialize, Serialize};
use serde_dynamo::Item;

/// What the records of a stream carry. It determines a function's event and its response.
pub trait Carried: Sized + Send + Sync + 'static {
    type Event: Serialize + Send + Sync;
    type Response: Send;

    /// The event of a batch of one shard.
    fn event(source: &Source, records: &Batch<Self>) -> Self::Event;

    /// The identifiers of the records that a function names as failed.
    fn failed(response: &Self::Response) -> impl Iterator<Item = Option<&str>>;

    /// `envelope.endpoint`, by which mappings filter; none where the record is not JSON or has no
    /// such field. A change has none: the envelope in an item is a text, not a map.
    fn endpoint(&self) -> Option<Cow<'_, str>> {
        None
    }
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

/// A decimal number, as on AWS. Leading zeros let it grow along a shard as a text, too.
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

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            envelope: Envelope<'a>,
        }
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            endpoint: Cow<'a, str>,
        }
        serde_json::from_slice::<Data>(self).ok().map(|data| data.envelope.endpoint)
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
            let item = |mailbox: &Mailbox| {
                let mut item = ledger::item(mailbox);
                let received = mailbox.envelope.received;
                let expires_at = ledger::expires_at(received, MemoryLedger::RETENTION);
                ledger::EXPIRES_AT.put(&expires_at, &mut item);
                item
            };
            (ledger::key(new.envelope.id), old.as_ref().map(item), item(new))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rendezvous_core::{
        Json, Write,
        conformance::samples,
        memory::{MemoryOutcomes, Position, Subscription},
        now,
        ports::{Ledger, OutcomeTable},
    };

    use super::*;

    async fn events(lane: &Subscription<Change>) -> Vec<EventRecord> {
        let records = lane.next(10, usize::MAX, Duration::ZERO).await;
        let source = Source { name: "t", shard: "shardId-000000000000".to_owned() };
        Change::event(&source, &records.into()).records
    }

    #[tokio::test]
    async fn a_change_has_the_images_of_the_item_before_and_after() {
        let (table, endpoint) = (MemoryLedger::default(), samples::endpoint());
        let lane = &table.changes.subscribe(Position::TrimHorizon, 1)[0];
        let (new, known) = (samples::envelope(&endpoint), samples::envelope(&endpoint));
        let filed = Write::file(&known, &[samples::score("a@1", "1")]);
        let old = table.write(&filed).await.unwrap().into_mailbox().unwrap();
        for envelope in [&new, &known] {
            table.write(&samples::fallback(&endpoint, envelope)).await.unwrap();
        }
        let [insert, modify] = &events(lane).await[..] else { panic!("not two events") };
        assert_eq!((&*insert.event_name, &*modify.event_name), ("INSERT", "MODIFY"));
        assert_eq!(insert.change.keys, ledger::key(new.id));
        assert!(insert.change.old_image.is_empty());
        let decided = ledger::mailbox(&insert.change.new_image).unwrap();
        assert_eq!((decided.envelope, decided.scores.len()), (new, 0));
        assert!(decided.decision.is_some());
        assert_eq!(ledger::mailbox(&modify.change.old_image), Ok(old.clone()));
        let decided = ledger::mailbox(&modify.change.new_image).unwrap();
        assert_eq!(decided.scores, old.scores);
        assert!(decided.decision.is_some());
        assert!(ledger::EXPIRES_AT.is_in(&modify.change.new_image));
    }

    #[tokio::test]
    async fn an_outcome_that_is_reported_again_modifies_its_item() {
        let (outcomes, endpoint) = (MemoryOutcomes::default(), samples::endpoint());
        let lane = &outcomes.changes.subscribe(Position::TrimHorizon, 1)[0];
        let id = samples::envelope(&endpoint).id;
        for text in ["1", "2"] {
            let outcome = Json::parse(text).unwrap();
            outcomes.put(&endpoint.name, id, outcome, now()).await.unwrap();
        }
        let [insert, modify] = &events(lane).await[..] else { panic!("not two events") };
        assert_eq!((&*insert.event_name, &*modify.event_name), ("INSERT", "MODIFY"));
        assert_eq!(modify.change.old_image, insert.change.new_image);
        let read = |image: &Item| outcome::read(image).unwrap().outcome.as_str().to_owned();
        assert_eq!([&modify.change.old_image, &modify.change.new_image].map(read), ["1", "2"]);
    }

    #[test]
    fn the_endpoint_of_a_message_is_read_without_the_rest() {
        let endpoint = |text: &'static str| Bytes::from(text).endpoint().map(Cow::into_owned);
        let found = Some("e".to_owned());
        assert_eq!(endpoint(r#"{"payload":[1e999],"envelope":{"id":7,"endpoint":"e"}}"#), found);
        assert_eq!(endpoint(r#"{"envelope":{"endpoint":"\u0065"}}"#), found);
        for other in ["", "e", "{", r#"{"envelope":{"endpoint":7}}"#, r#"{"endpoint":"e"}"#, "[]"] {
            assert_eq!(endpoint(other), None, "{other}");
        }
    }
}
