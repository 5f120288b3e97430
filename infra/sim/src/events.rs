//! The records of a stream as the events with which Lambda invokes a function.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use rendezvous_aws::{
    batch::{self, Data, Image, ItemChange, Record, Response, StreamBatch, TableBatch},
    items::{
        ledger,
        outcome::{self, Reported},
    },
};
use rendezvous_core::{
    EndpointName, Mailbox,
    memory::{Change, MemoryLedger, StoredOutcome, StoredRecord},
};
use serde::{Deserialize, Serialize};

/// What the records of a stream carry. It determines a function's event and its response.
pub trait Carried: Sized + Send + Sync + 'static {
    /// An event borrows from the records: each is handed to several functions.
    type Event<'a>: Serialize + Send + Sync;
    type Response: Send;

    /// The event of a batch of one shard.
    fn event<'a>(source: &Source, records: &'a Batch<Self>) -> Self::Event<'a>;

    /// The identifiers of the records that a function names as failed.
    fn failed(response: &Self::Response) -> impl Iterator<Item = Option<&str>>;

    /// `envelope.endpoint`, by which mappings filter; none where the record is not JSON or has no
    /// endpoint there. A change has none: the envelope in an item is a text, not a map.
    fn endpoint(&self) -> Option<EndpointName> {
        None
    }

    /// Whether it is a change of a mailbox with a decision, by which mappings filter.
    fn is_decided(&self) -> bool {
        false
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

/// A Kinesis stream.
impl Carried for Bytes {
    type Event<'a> = StreamBatch<'a>;
    type Response = Response;

    fn event<'a>(source: &Source, records: &'a Batch<Self>) -> StreamBatch<'a> {
        let record = |stored: &'a Arc<StoredRecord<Self>>| Record {
            sequence: stored.sequence_number().into(),
            event_id: stored.event_id().into(),
            arrived: stored.arrived,
            content: Data::new(stored.key.as_str(), stored.data.clone()).read_once(&stored.read),
        };
        let arn = format!("arn:aws:kinesis:local:000000000000:stream/{}", source.name);
        batch::Batch::new(arn, records.iter().map(record).collect())
    }

    fn failed(response: &Response) -> impl Iterator<Item = Option<&str>> {
        response.batch_item_failures.iter().map(|failure| Some(failure.item_identifier.as_str()))
    }

    fn endpoint(&self) -> Option<EndpointName> {
        #[derive(Deserialize)]
        struct Data {
            envelope: Envelope,
        }
        #[derive(Deserialize)]
        struct Envelope {
            endpoint: EndpointName,
        }
        serde_json::from_slice::<Data>(self).ok().map(|data| data.envelope.endpoint)
    }
}

/// A table's change stream: each record holds the item as it was written.
impl Carried for Change {
    type Event<'a> = TableBatch<'a>;
    type Response = Response;

    fn event<'a>(source: &Source, records: &'a Batch<Self>) -> TableBatch<'a> {
        let record = |stored: &'a Arc<StoredRecord<Self>>| {
            let [keys, old, new] = images(&stored.data);
            let name = if old.is_empty() { "INSERT" } else { "MODIFY" };
            Record {
                sequence: stored.sequence_number().into(),
                event_id: stored.event_id().into(),
                arrived: stored.arrived,
                content: ItemChange { name: name.into(), keys, old, new },
            }
        };
        let arn = format!("arn:aws:dynamodb:local:000000000000:table/{}/stream/local", source.name);
        batch::Batch::new(arn, records.iter().map(record).collect())
    }

    fn failed(response: &Response) -> impl Iterator<Item = Option<&str>> {
        response.batch_item_failures.iter().map(|failure| Some(failure.item_identifier.as_str()))
    }

    fn is_decided(&self) -> bool {
        matches!(self, Self::Mailbox { new, .. } if new.decision.is_some())
    }
}

/// The keys of a changed item, its old image if there was one, and its new image.
fn images(change: &Change) -> [Image<'_>; 3] {
    match change {
        Change::Mailbox { old, new } => {
            let key = Image::MailboxKey(new.envelope.id);
            [key, old.as_ref().map(image).unwrap_or_default(), image(new)]
        }
        Change::Outcome { endpoint, id, old, new } => {
            let image = |StoredOutcome { outcome, reported }: &StoredOutcome| {
                Image::Item(outcome::item(&Reported {
                    request: *id,
                    endpoint: endpoint.clone(),
                    outcome: outcome.clone(),
                    reported: *reported,
                }))
            };
            let key = Image::Item(outcome::key(*id, endpoint));
            [key, old.as_ref().map(image).unwrap_or_default(), image(new)]
        }
    }
}

fn image(mailbox: &Mailbox) -> Image<'_> {
    let received = mailbox.envelope.received;
    Image::Mailbox { mailbox, expires_at: ledger::expires_at(received, MemoryLedger::RETENTION) }
}
