//! Writing an event in the form in which Lambda sends it, e.g. to an on-failure destination.

use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use rendezvous_core::Timestamp;
use serde::{Serialize, Serializer};
use serde_dynamo::Item;

use super::{Batch, Content, Data, ItemChange, Record, Unreadable};

impl<'a, T: Content<'a>> Serialize for Batch<'a, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Event<R> {
            #[serde(rename = "Records")]
            records: Vec<R>,
        }
        let records = (0..self.records.len()).map(|number| self.record_as_sent(number));
        Event { records: records.collect() }.serialize(to)
    }
}

impl<'a, T: Content<'a>> Batch<'a, T> {
    /// A record in the form in which Lambda sends it, an unreadable one as it is.
    pub fn record_as_sent(&self, number: usize) -> impl Serialize {
        AsSent { source: &self.source, record: self.records.get(number) }
    }
}

struct AsSent<'b, 'a, T> {
    source: &'b str,
    record: Option<&'b Result<Record<'a, T>, Unreadable<'a>>>,
}

impl<'a, T: Content<'a>> Serialize for AsSent<'_, 'a, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.record {
            Some(Ok(record)) => T::write(record, self.source, to),
            Some(Err(unreadable)) => unreadable.text.serialize(to),
            None => to.serialize_none(),
        }
    }
}

/// What the records of all sources have.
#[derive(Serialize)]
struct Head<'b> {
    #[serde(rename = "eventID")]
    id: &'b str,
    #[serde(rename = "eventName")]
    name: &'b str,
    #[serde(rename = "eventSource")]
    source: &'static str,
    #[serde(rename = "eventSourceARN")]
    source_arn: &'b str,
    #[serde(rename = "eventVersion")]
    version: &'static str,
    #[serde(rename = "awsRegion")]
    region: &'b str,
}

/// Whole numbers of microseconds survive as seconds: a double has 53 bits.
#[expect(clippy::cast_precision_loss, reason = "not before the year 2255")]
fn seconds(instant: Timestamp) -> f64 {
    instant.as_micros() as f64 / 1e6
}

/// `arn:aws:kinesis:{region}:…`.
fn region(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

pub(super) fn data<S: Serializer>(
    record: &Record<'_, Data<'_>>,
    source_arn: &str,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Sent<'b> {
        kinesis: Kinesis<'b>,
        #[serde(flatten)]
        head: Head<'b>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Kinesis<'b> {
        #[serde(rename = "kinesisSchemaVersion")]
        version: &'static str,
        partition_key: &'b str,
        sequence_number: &'b str,
        data: String,
        approximate_arrival_timestamp: f64,
    }
    let kinesis = Kinesis {
        version: "1.0",
        partition_key: &record.content.partition_key,
        sequence_number: &record.sequence,
        data: Base64Display::new(&record.content.bytes, &BASE64_STANDARD).to_string(),
        approximate_arrival_timestamp: seconds(record.arrived),
    };
    let head = Head {
        id: &record.event_id,
        name: "aws:kinesis:record",
        source: "aws:kinesis",
        source_arn,
        version: "1.0",
        region: region(source_arn),
    };
    Sent { kinesis, head }.serialize(to)
}

pub(super) fn change<S: Serializer>(
    record: &Record<'_, ItemChange<'_>>,
    source_arn: &str,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Sent<'b> {
        dynamodb: Change<'b>,
        #[serde(flatten)]
        head: Head<'b>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Change<'b> {
        approximate_creation_date_time: f64,
        keys: &'b Item,
        #[serde(skip_serializing_if = "is_empty")]
        old_image: &'b Item,
        #[serde(skip_serializing_if = "is_empty")]
        new_image: &'b Item,
        sequence_number: &'b str,
    }
    let ItemChange { name, keys, old, new } = &record.content;
    let dynamodb = Change {
        approximate_creation_date_time: seconds(record.arrived),
        keys: &keys.item(),
        old_image: &old.item(),
        new_image: &new.item(),
        sequence_number: &record.sequence,
    };
    let head = Head {
        id: &record.event_id,
        name,
        source: "aws:dynamodb",
        source_arn,
        version: "1.1",
        region: region(source_arn),
    };
    Sent { dynamodb, head }.serialize(to)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference to the member")]
fn is_empty(image: &&Item) -> bool {
    image.is_empty()
}
