//! Records that are permanently unreadable or unwritable, kept whole.
//!
//! One file for each batch: a producer that sends nothing but garbage costs one put for each
//! batch, like any other.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rendezvous_aws::batch::{Batch, Content, Data, ItemChange, Place, Record};
use rendezvous_core::{Invalid, Timestamp};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// What a batch carries, and how a record of it is kept in quarantine.
pub(crate) trait Keep<'a>: Content<'a> + Sync {
    /// All that the event says of the record.
    fn keep<'b>(
        batch: &'b Batch<'a, Self>,
        number: usize,
        record: &'b Record<'a, Self>,
    ) -> Kept<'b>;
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Kept<'b> {
    Data {
        partition_key: &'b str,
        data_base64: String,
    },
    Change {
        change: Option<Box<RawValue>>,
    },
    /// As Lambda has sent it.
    Unreadable {
        record: &'b RawValue,
    },
}

impl<'a> Keep<'a> for Data<'a> {
    fn keep<'b>(_: &'b Batch<'a, Self>, _: usize, record: &'b Record<'a, Self>) -> Kept<'b> {
        Kept::Data {
            partition_key: &record.content.partition_key,
            data_base64: BASE64_STANDARD.encode(&record.content.bytes),
        }
    }
}

impl<'a> Keep<'a> for ItemChange<'a> {
    fn keep<'b>(batch: &'b Batch<'a, Self>, number: usize, _: &'b Record<'a, Self>) -> Kept<'b> {
        // It is read from JSON, so that it can be written as JSON.
        Kept::Change { change: to_raw_value(&batch.record_as_sent(number)).ok() }
    }
}

/// One line of JSON for each record, with its reason.
pub(crate) fn write<'a, 'r, T: Keep<'a>>(
    batch: &Batch<'a, T>,
    rejected: impl Iterator<Item = (usize, &'r Invalid)>,
) -> Bytes {
    #[derive(Serialize)]
    struct Line<'a> {
        reason: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        shard: &'a str,
        sequence_number: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        arrived_us: Option<Timestamp>,
        #[serde(flatten)]
        kept: Kept<'a>,
    }
    let mut lines = Vec::new();
    for (number, invalid) in rejected {
        let Place { shard, sequence, .. } = batch.place(number);
        let (arrived, kept) = match &batch.records()[number] {
            Ok(record) => (Some(record.arrived), T::keep(batch, number, record)),
            Err(unreadable) => (None, Kept::Unreadable { record: unreadable.text }),
        };
        let line = Line {
            reason: invalid.to_string(),
            shard,
            sequence_number: sequence,
            arrived_us: arrived,
            kept,
        };
        match serde_json::to_vec(&line) {
            Ok(line) => {
                lines.extend(line);
                lines.push(b'\n');
            }
            // The failure is permanent: the other records must not wait for it.
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
