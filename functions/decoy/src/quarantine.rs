//! Records that are permanently unreadable or unwritable, kept whole.
//!
//! One file for each batch: a producer that sends nothing but garbage costs one put for each
//! batch, like any other.

use aws_lambda_events::{dynamodb::EventRecord, kinesis::KinesisEventRecord};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rendezvous_aws::batch::Place;
use rendezvous_core::{Invalid, Timestamp};
use serde::Serialize;

/// A record of any source.
pub(crate) trait Record: Sync {
    fn place(&self) -> Place<'_>;

    /// All that the event says of it.
    fn kept(&self) -> Kept<'_>;
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Kept<'a> {
    Record { partition_key: &'a str, data_base64: String },
    Change { change: &'a EventRecord },
}

impl Record for KinesisEventRecord {
    fn place(&self) -> Place<'_> {
        Place::of(self)
    }

    fn kept(&self) -> Kept<'_> {
        Kept::Record {
            partition_key: &self.kinesis.partition_key,
            data_base64: BASE64_STANDARD.encode(&self.kinesis.data.0),
        }
    }
}

impl Record for EventRecord {
    fn place(&self) -> Place<'_> {
        Place::of_change(self)
    }

    fn kept(&self) -> Kept<'_> {
        Kept::Change { change: self }
    }
}

/// One line of JSON for each record, with its reason.
pub(crate) fn write<'a, T: Record + 'a>(
    rejected: impl Iterator<Item = (&'a T, &'a Invalid)>,
) -> Bytes {
    #[derive(Serialize)]
    struct Line<'a> {
        reason: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        shard: &'a str,
        sequence_number: &'a str,
        arrived_us: Timestamp,
        #[serde(flatten)]
        kept: Kept<'a>,
    }
    let mut lines = Vec::new();
    for (record, invalid) in rejected {
        let Place { shard, sequence, arrived, .. } = record.place();
        let line = Line {
            reason: invalid.to_string(),
            shard,
            sequence_number: sequence,
            arrived_us: arrived,
            kept: record.kept(),
        };
        match serde_json::to_vec(&line) {
            Ok(line) => {
                lines.extend(line);
                lines.push(b'\n');
            }
            // An event is read from JSON, so that it can be written as JSON. If it cannot, the
            // failure is permanent: the other records must not wait for it.
            Err(error) => tracing::error!(
                shard,
                sequence,
                %error,
                "a record cannot be written to quarantine and is lost"
            ),
        }
    }
    lines.into()
}
