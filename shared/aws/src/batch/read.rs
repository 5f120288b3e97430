//! Reading an event.
//!
//! The event's text is kept; what is read borrows from it. All data of a batch is decoded into one
//! allocation, so that the number of allocations does not depend on the number of records.

use std::borrow::Cow;

use base64::{DecodeSliceError, Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use rendezvous_core::{Invalid, Timestamp};
use serde::{Deserialize, Deserializer, Serializer, de::Error};
use serde_dynamo::Item;
use serde_json::value::{RawValue, Value};

use super::{Batch, Content, Data, ItemChange, Record, Unreadable, write};

/// An event as Lambda sends it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Event(Box<RawValue>);

/// The records of an event, not yet read: their source says what they carry.
#[derive(Debug)]
pub struct Unread<'a> {
    source: Cow<'a, str>,
    records: Vec<&'a RawValue>,
}

impl Event {
    /// The event's records. Fails when it is not an event of records at all.
    pub fn records(&self) -> Result<Unread<'_>, Invalid> {
        #[derive(Deserialize)]
        struct Records<'a> {
            #[serde(rename = "Records", borrow)]
            records: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Source<'a> {
            #[serde(rename = "eventSourceARN", borrow)]
            arn: Cow<'a, str>,
        }
        let Records { records } = serde_json::from_str(self.0.get()).map_err(invalid)?;
        // All records of an event come from one source.
        let mut sources = records.iter().filter_map(|record| {
            serde_json::from_str::<Source<'_>>(record.get()).ok().map(|source| source.arn)
        });
        Ok(Unread { source: sources.next().unwrap_or_default(), records })
    }

    /// The event as a `T`, where it is not one of records.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Invalid> {
        serde_json::from_str(self.0.get()).map_err(invalid)
    }

    /// The event's records, which carry `T`.
    pub fn batch<'a, T: Content<'a>>(&'a self) -> Result<Batch<'a, T>, Invalid> {
        Ok(self.records()?.read())
    }
}

impl<'a> Unread<'a> {
    /// The ARN of the stream, or of the table's change stream; empty where no record says it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Reads the records, which carry `T`.
    pub fn read<T: Content<'a>>(self) -> Batch<'a, T> {
        let Self { source, records: texts } = self;
        let bytes = texts.iter().map(|text| text.get().len()).sum();
        let mut decoder = Decoder { bytes, free: BytesMut::new() };
        let mut oldest: Option<Timestamp> = None;
        let mut records = Vec::with_capacity(texts.len());
        for text in texts {
            let record = T::read(text.get(), &mut decoder);
            if let Ok(Record { arrived, .. }) = record {
                oldest = Some(oldest.map_or(arrived, |oldest| oldest.min(arrived)));
            }
            records.push(record.map_err(|reason| unreadable::<T>(reason, text)));
        }
        Batch { source, records, oldest }
    }
}

/// What an unreadable record nevertheless says of its position.
fn unreadable<'a, T: Content<'a>>(reason: Invalid, text: &'a RawValue) -> Unreadable<'a> {
    let record: Value = serde_json::from_str(text.get()).unwrap_or_default();
    let [content, sequence] = T::MEMBERS;
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let event_id = match said(&record["eventID"]) {
        // Files are named by the ids of their records: two of them must not be the same.
        empty if empty.is_empty() => text.get().to_owned(),
        event_id => event_id,
    };
    Unreadable { reason, text, sequence: said(&record[content][sequence]), event_id }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn invalid(error: serde_json::Error) -> Invalid {
    Invalid::new(error.to_string())
}

/// Decodes the data of a batch's records, one after the other into the same allocation.
#[derive(Debug)]
pub struct Decoder {
    /// How long the batch is as text.
    bytes: usize,
    free: BytesMut,
}

impl Decoder {
    fn decode(&mut self, base64: &str) -> Result<Bytes, Invalid> {
        let most = base64::decoded_len_estimate(base64.len());
        if self.free.capacity() < most {
            self.free = BytesMut::with_capacity(most.max(self.bytes / 4 * 3));
        }
        self.free.resize(most, 0);
        let decoded = BASE64_STANDARD.decode_slice(base64, &mut self.free);
        let wrong = |error: DecodeSliceError| Invalid::new(format!("data: {error}"));
        self.free.truncate(decoded.map_err(wrong)?);
        Ok(self.free.split().freeze())
    }
}

impl<'a> Content<'a> for Data<'a> {
    const MEMBERS: [&'static str; 2] = ["kinesis", "sequenceNumber"];

    fn read(text: &'a str, decoder: &mut Decoder) -> Result<Record<'a, Self>, Invalid> {
        #[derive(Deserialize)]
        struct Read<'a> {
            #[serde(rename = "eventID", borrow)]
            event_id: Cow<'a, str>,
            #[serde(borrow)]
            kinesis: Kinesis<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kinesis<'a> {
            #[serde(deserialize_with = "arrival")]
            approximate_arrival_timestamp: Timestamp,
            #[serde(borrow)]
            sequence_number: Cow<'a, str>,
            #[serde(borrow)]
            partition_key: Cow<'a, str>,
            #[serde(borrow)]
            data: Cow<'a, str>,
        }
        let Read { event_id, kinesis } = serde_json::from_str(text).map_err(invalid)?;
        let bytes = decoder.decode(&kinesis.data)?;
        Ok(Record {
            sequence: kinesis.sequence_number,
            event_id,
            arrived: kinesis.approximate_arrival_timestamp,
            content: Self::new(kinesis.partition_key, bytes),
        })
    }

    fn write<S: Serializer>(
        record: &Record<'a, Self>,
        source: &str,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        write::data(record, source, to)
    }

    fn shard(event_id: &str) -> &str {
        // An event id is "shardId-000000000000:49545115243490985018280067714973144582180062593244200961".
        event_id.split_once(':').map_or("", |(shard, _)| shard)
    }
}

impl<'a> Content<'a> for ItemChange<'a> {
    const MEMBERS: [&'static str; 2] = ["dynamodb", "SequenceNumber"];

    fn read(text: &'a str, _: &mut Decoder) -> Result<Record<'a, Self>, Invalid> {
        #[derive(Deserialize)]
        struct Read<'a> {
            #[serde(rename = "eventID", borrow)]
            event_id: Cow<'a, str>,
            #[serde(rename = "eventName", borrow)]
            name: Cow<'a, str>,
            #[serde(borrow)]
            dynamodb: Change<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Change<'a> {
            #[serde(deserialize_with = "arrival")]
            approximate_creation_date_time: Timestamp,
            #[serde(borrow)]
            sequence_number: Cow<'a, str>,
            keys: Option<Item>,
            old_image: Option<Item>,
            new_image: Option<Item>,
        }
        let Read { event_id, name, dynamodb } = serde_json::from_str(text).map_err(invalid)?;
        Ok(Record {
            sequence: dynamodb.sequence_number,
            event_id,
            arrived: dynamodb.approximate_creation_date_time,
            content: Self {
                name,
                keys: dynamodb.keys.unwrap_or_default().into(),
                old: dynamodb.old_image.unwrap_or_default().into(),
                new: dynamodb.new_image.unwrap_or_default().into(),
            },
        })
    }

    fn write<S: Serializer>(
        record: &Record<'a, Self>,
        source: &str,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        write::change(record, source, to)
    }

    fn shard(_: &str) -> &'static str {
        ""
    }
}

/// Reads an instant in seconds since the epoch, with a fraction.
fn arrival<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    /// The end of the year 9999, the last that the archive can name a folder by.
    const LAST: f64 = 253_402_300_799.0;
    let seconds = f64::deserialize(from)?;
    if !(0.0..=LAST).contains(&seconds) {
        return Err(D::Error::custom(format!("{seconds} s is not a time of arrival")));
    }
    // A double holds microseconds until the year 2255.
    #[expect(clippy::cast_possible_truncation, reason = "it is in the range")]
    let micros = (seconds * 1e6).round() as i64;
    Ok(Timestamp::from_micros(micros))
}
