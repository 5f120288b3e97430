//! A batch of Kinesis records or of changes of a `DynamoDB` table, as Lambda's event source mapping
//! hands it over, and the partial batch response that says from where to hand it over again.
//!
//! [`Event`] is what Lambda sends. It is read into a [`Batch`], whose records are each read on
//! their own: a record that cannot be read is [`Unreadable`] and leaves the others as they are.

mod image;
mod read;
mod write;

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use rendezvous_core::{
    Invalid, ReadOnce, RequestMessage, ScoreMessage, ScoreReader, Timestamp,
    mutation::{Mutation, mutated},
    now,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

pub use image::Image;
pub use read::{Event, Unread};

/// Records of one source, in the order of their shard.
#[derive(Clone, Debug)]
pub struct Batch<'a, T> {
    source: Cow<'a, str>,
    records: Vec<Result<Record<'a, T>, Unreadable<'a>>>,
    /// The earliest arrival of all records.
    oldest: Option<Timestamp>,
}

/// A batch of a Kinesis stream.
pub type StreamBatch<'a> = Batch<'a, Data<'a>>;

/// A batch of the changes of a table.
pub type TableBatch<'a> = Batch<'a, ItemChange<'a>>;

/// A record of a batch; `T` is what its source carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a, T> {
    pub sequence: Cow<'a, str>,
    /// What the event calls the record; no other has it, on whatever shard.
    pub event_id: Cow<'a, str>,
    /// When the stream accepted the record.
    pub arrived: Timestamp,
    pub content: T,
}

/// What a record of a Kinesis stream carries.
#[derive(Clone, Debug)]
pub struct Data<'a> {
    pub partition_key: Cow<'a, str>,
    pub bytes: Bytes,
    /// What other functions of this process have read of `bytes`.
    read: Option<&'a ReadOnce>,
}

/// Two are equal when they carry the same.
impl PartialEq for Data<'_> {
    fn eq(&self, other: &Self) -> bool {
        (&self.partition_key, &self.bytes) == (&other.partition_key, &other.bytes)
    }
}

/// What a record of a table's change stream carries, with the item before and after the change.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemChange<'a> {
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub name: Cow<'a, str>,
    pub keys: Image<'a>,
    pub old: Image<'a>,
    pub new: Image<'a>,
}

/// A record that lacks what every record has, or that has it in another form.
#[derive(Clone, Debug)]
pub struct Unreadable<'a> {
    pub reason: Invalid,
    /// The record, whole.
    pub text: &'a RawValue,
    /// Empty where the record does not say it.
    sequence: String,
    event_id: String,
}

/// The position of a record on its stream, read or unreadable. Each part may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// `shardId-000000000000`; empty for a change, whose event does not name the shard.
    pub shard: &'a str,
    pub sequence: &'a str,
    pub event_id: &'a str,
}

/// What the records of a source carry.
pub trait Content<'a>: Sized {
    /// The name of the member of a record that holds its content and its sequence number, and the
    /// name of the latter.
    const MEMBERS: [&'static str; 2];

    /// Reads one record of an event.
    fn read(text: &'a str, decoder: &mut read::Decoder) -> Result<Record<'a, Self>, Invalid>;

    /// Writes a record of this source in the form in which Lambda sends it.
    fn write<S: Serializer>(
        record: &Record<'a, Self>,
        source: &str,
        to: S,
    ) -> Result<S::Ok, S::Error>;

    /// The name of the shard in a record's event id.
    fn shard(event_id: &str) -> &str;
}

impl<'a, T: Content<'a>> Batch<'a, T> {
    /// A batch of the source with this ARN.
    pub fn new(source: impl Into<Cow<'a, str>>, records: Vec<Record<'a, T>>) -> Self {
        let oldest = records.iter().map(|record| record.arrived).min();
        Self { source: source.into(), records: records.into_iter().map(Ok).collect(), oldest }
    }

    /// The ARN of the stream, or of the table's change stream.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The records, in order. The number of a record is its position here.
    pub fn records(&self) -> &[Result<Record<'a, T>, Unreadable<'a>>] {
        &self.records
    }

    /// How far behind its source the batch is: the time since its oldest record arrived.
    pub fn lag(&self) -> Duration {
        self.oldest.map_or(Duration::ZERO, |oldest| now().since(oldest))
    }

    /// The position of a record on its stream.
    pub fn place(&self, number: usize) -> Place<'_> {
        let (sequence, event_id): (&str, &str) = match self.records.get(number) {
            Some(Ok(record)) => (&record.sequence, &record.event_id),
            Some(Err(unreadable)) => (&unreadable.sequence, &unreadable.event_id),
            None => ("", ""),
        };
        Place { shard: T::shard(event_id), sequence, event_id }
    }

    /// Tells Lambda to hand the batch over again from the first of the `failed` records on.
    ///
    /// Only one is named: "Lambda uses the lowest sequence number as the checkpoint". An identifier
    /// that is empty, where the record does not say its sequence number, fails the whole batch.
    pub fn response(&self, failed: impl Iterator<Item = usize>) -> Response {
        let failed = lowest(failed).filter(|number| *number < self.records.len());
        let name = |number| self.place(number).sequence.to_owned();
        let failures = failed.map(|number| ItemFailure { item_identifier: name(number) });
        Response { batch_item_failures: failures.into_iter().collect() }
    }
}

fn lowest(failed: impl Iterator<Item = usize>) -> Option<usize> {
    if mutated(Mutation::WrongLowestFailure) { failed.max() } else { failed.min() }
}

impl<'a> Data<'a> {
    pub fn new(partition_key: impl Into<Cow<'a, str>>, bytes: Bytes) -> Self {
        Self { partition_key: partition_key.into(), bytes, read: None }
    }

    /// The same, where several functions of one process read the same bytes.
    #[must_use]
    pub fn read_once(self, read: &'a ReadOnce) -> Self {
        Self { read: Some(read), ..self }
    }

    /// The request that it carries.
    pub fn request(&self) -> Result<RequestMessage<'_>, Invalid> {
        match self.read {
            Some(read) => read.request(&self.bytes),
            None => RequestMessage::parse(&self.bytes),
        }
    }

    /// The score of a live request that it carries. `reader` has read those before it.
    pub fn live_score<'b>(&'b self, reader: &mut ScoreReader<'b>) -> Result<ScoreMessage, Invalid> {
        match self.read {
            Some(read) => read.live_score(&self.bytes, reader),
            None => reader.read_live(&self.bytes),
        }
    }
}

impl<'a> StreamBatch<'a> {
    /// The requests in the batch: see [`Self::messages`].
    pub fn requests(&self) -> Vec<(usize, RequestMessage<'_>)> {
        self.messages(Data::request)
    }

    /// The scores of live requests in the batch: see [`Self::messages`].
    pub fn live_scores(&self) -> Vec<(usize, ScoreMessage)> {
        let mut reader = ScoreReader::default();
        self.messages(|data| data.live_score(&mut reader))
    }

    /// Reads every record of the batch with `parse`. A record that cannot be read is permanently
    /// unreadable: it is logged and skipped, so that it does not block its shard; the decoy keeps
    /// it. The number beside each message is that of its record.
    pub fn messages<'b, M>(
        &'b self,
        mut parse: impl FnMut(&'b Data<'a>) -> Result<M, Invalid>,
    ) -> Vec<(usize, M)> {
        let mut messages = Vec::with_capacity(self.records.len());
        for (number, record) in self.records.iter().enumerate() {
            let message = record.as_ref().ok().and_then(|record| parse(&record.content).ok());
            if let Some(message) = message {
                messages.push((number, message));
                continue;
            }
            // The reason may quote the record, so that it stands only beside the record, in quarantine.
            let Place { shard, sequence, .. } = self.place(number);
            tracing::warn!(shard, sequence, "a record cannot be read and is skipped");
        }
        messages
    }
}

impl<'a> Record<'a, Data<'a>> {
    /// A record of a Kinesis stream, with the event id that Kinesis gives it.
    pub fn new(
        shard: &str,
        sequence: impl Into<Cow<'a, str>>,
        arrived: Timestamp,
        content: Data<'a>,
    ) -> Self {
        let sequence = sequence.into();
        let event_id = [shard, ":", &sequence].concat().into();
        Self { sequence, event_id, arrived, content }
    }
}

impl<'a, T: Content<'a>> Record<'a, T> {
    /// The shard, or nothing: see [`Place`].
    pub fn shard(&self) -> &str {
        T::shard(&self.event_id)
    }
}

/// The partial batch response: without failures, the batch is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub batch_item_failures: Vec<ItemFailure>,
}

impl Response {
    /// What a function has returned. Lambda takes as a complete success also `null`, an empty object, and `null` in the place
    /// of the list.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(serde_json::from_slice::<Option<Self>>(body)?.unwrap_or_default())
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<ItemFailure>, D::Error> {
    Ok(Option::deserialize(list)?.unwrap_or_default())
}

/// A record from which on the batch is to be handed over again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// Its sequence number.
    pub item_identifier: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: &[&'static str]) -> StreamBatch<'static> {
        let record = |(i, data): (usize, &&'static str)| {
            let content = Data::new("k", data.as_bytes().into());
            let arrived = now() + Duration::from_secs(10) - Duration::from_secs(i as u64);
            Record::new("shardId-000000000003", i.to_string(), arrived, content)
        };
        Batch::new("arn", records.iter().enumerate().map(record).collect())
    }

    #[test]
    fn what_lambda_takes_as_a_complete_success_is_one() {
        let all = ["null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#];
        for body in all {
            assert_eq!(Response::parse(body.as_bytes()).unwrap(), Response::default(), "{body}");
        }
        let one = Response::parse(br#"{"batchItemFailures":[{"itemIdentifier":"7"}]}"#).unwrap();
        assert_eq!(one.batch_item_failures[0].item_identifier, "7");
        Response::parse(b"7").unwrap_err();
    }

    #[test]
    fn unreadable_records_are_skipped_and_the_others_keep_their_numbers() {
        let batch = batch(&["1", "x", "3"]);
        let parse = |data: &Data<'_>| {
            let text = std::str::from_utf8(&data.bytes).map_err(|_| Invalid::new("not UTF-8"))?;
            text.parse::<u8>().map_err(|error| Invalid::new(error.to_string()))
        };
        assert_eq!(batch.messages(parse), [(0, 1), (2, 3)]);
        assert_eq!(batch.place(2).shard, "shardId-000000000003");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_as_far_behind_as_its_oldest_record() {
        rendezvous_core::clock::simulate(now());
        let batch = batch(&["1", "2", "3"]);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(batch.lag(), Duration::from_secs(12), "the third arrives after eight seconds");
        let sent = serde_json::to_string(&batch).unwrap();
        let event: Event = serde_json::from_str(&sent).unwrap();
        let read = event.batch::<Data<'_>>().unwrap();
        assert_eq!(read.lag().as_secs(), 12);
        assert_eq!(Batch::<Data<'_>>::new("arn", Vec::new()).lag(), Duration::ZERO);
    }

    #[test]
    fn the_lowest_failed_record_is_named_and_success_names_none() {
        let batch = batch(&["1", "2", "3"]);
        let response = |failed: &[usize]| {
            serde_json::to_string(&batch.response(failed.iter().copied())).unwrap()
        };
        assert_eq!(response(&[2, 1]), r#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#);
        assert_eq!(response(&[]), r#"{"batchItemFailures":[]}"#);
    }
}
