//! The port `Stream` on Kinesis.

use std::{ops::Range, time::Duration};

use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};
use rendezvous_core::{
    Timestamp, Unavailable, now,
    ports::{Record, Rejected, Stream},
};
use tokio::time::{sleep, timeout};

use crate::unavailable;

/// "Each `PutRecords` request can support up to 500 records", and 10 MiB "including partition keys".
const MAX_RECORDS: usize = 500;
const MAX_BYTES: usize = 10 * 1024 * 1024;

/// Pauses before rejected records are sent again: at most 10 ms at first, twice as long each time,
/// and never more than half a second. Throttling is counted by the second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A Kinesis stream, by name.
#[derive(Clone, Debug)]
pub struct KinesisStream {
    client: Client,
    name: String,
}

impl KinesisStream {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// One call; the positions in `records` that were rejected, and why.
    async fn put_records(
        &self,
        records: &[&Record],
        until: Timestamp,
    ) -> Result<(), (Vec<usize>, Unavailable)> {
        let entry = |record: &&Record| {
            PutRecordsRequestEntry::builder()
                .partition_key(record.key.as_str())
                // The SDK takes ownership of a copy.
                .data(Blob::new(record.data.as_ref()))
                .build()
        };
        let all = || (0..records.len()).collect();
        let entries = records.iter().map(entry).collect::<Result<_, _>>().map_err(|error| {
            tracing::error!(%error, "an entry cannot be built");
            (all(), Unavailable::Down("stream".into()))
        })?;
        let call = self.client.put_records().stream_name(&self.name).set_records(Some(entries));
        match timeout(until.since(now()), call.send()).await {
            Ok(Ok(output)) => rejected(output.records()),
            Ok(Err(error)) => Err((all(), unavailable("stream", &error))),
            Err(_) => Err((all(), Unavailable::Down("stream (no answer in time)".into()))),
        }
    }
}

impl Stream for KinesisStream {
    async fn put(&self, records: Vec<Record>, until: Timestamp) -> Result<(), Rejected> {
        let mut pending: Vec<usize> = (0..records.len()).collect();
        let mut pause = FIRST_PAUSE;
        loop {
            let mut again = Vec::new();
            let mut cause = None;
            let sizes =
                pending.iter().map(|&i| records[i].data.len() + records[i].key.as_str().len());
            for call in calls(sizes) {
                let indexes = &pending[call];
                let part: Vec<&Record> = indexes.iter().map(|&i| &records[i]).collect();
                if let Err((rejected, why)) = self.put_records(&part, until).await {
                    again.extend(rejected.into_iter().filter_map(|i| indexes.get(i)));
                    cause = Some(why);
                }
            }
            let Some(cause) = cause else { return Ok(()) };
            let jittered = pause.mul_f64(fastrand::f64());
            if now() + jittered >= until {
                return Err(Rejected { indexes: again, cause });
            }
            sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            pending = again;
        }
    }
}

/// Cuts records of these sizes, in bytes, into as few calls as the limits allow.
fn calls(sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (i, size) in sizes.enumerate() {
        match calls.last_mut() {
            Some(call) if call.len() < MAX_RECORDS && bytes + size <= MAX_BYTES => call.end += 1,
            _ => {
                bytes = 0;
                calls.push(i..i + 1);
            }
        }
        bytes += size;
    }
    calls
}

/// Which entries a call has rejected, by its response.
fn rejected(entries: &[PutRecordsResultEntry]) -> Result<(), (Vec<usize>, Unavailable)> {
    let code =
        |(i, entry): (usize, &PutRecordsResultEntry)| Some((i, entry.error_code()?.to_owned()));
    let failures: Vec<(usize, String)> = entries.iter().enumerate().filter_map(code).collect();
    let Some((_, code)) = failures.first() else { return Ok(()) };
    tracing::warn!(rejected = failures.len(), of = entries.len(), code, "records were rejected");
    // The other code is InternalFailure.
    let throttled = failures.iter().all(|(_, code)| code.contains("ThroughputExceeded"));
    let cause = if throttled {
        Unavailable::Throttled("stream".into())
    } else {
        Unavailable::Down("stream".into())
    };
    Err((failures.into_iter().map(|(i, _)| i).collect(), cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_into_calls_by_count_and_by_bytes() {
        assert!(calls([].into_iter()).is_empty());
        assert_eq!(calls([1].into_iter().cycle().take(1_001)), [0..500, 500..1_000, 1_000..1_001]);
        let million = 1_000_000;
        assert_eq!(calls([million].into_iter().cycle().take(11)), [0..10, 10..11]);
        assert_eq!(calls([MAX_BYTES, 1, MAX_BYTES - 1, 1].into_iter()), [0..1, 1..3, 3..4]);
    }

    #[test]
    fn only_the_rejected_entries_of_a_response_are_sent_again() {
        let entry = |code: Option<&str>| {
            PutRecordsResultEntry::builder().set_error_code(code.map(str::to_owned)).build()
        };
        assert_eq!(rejected(&[entry(None), entry(None)]), Ok(()));
        let throttled = entry(Some("ProvisionedThroughputExceededException"));
        let (indexes, cause) =
            rejected(&[entry(None), throttled.clone(), throttled.clone()]).unwrap_err();
        assert_eq!(indexes, [1, 2]);
        assert!(matches!(cause, Unavailable::Throttled(_)));
        let (_, cause) = rejected(&[throttled, entry(Some("InternalFailure"))]).unwrap_err();
        assert!(matches!(cause, Unavailable::Down(_)));
    }
}
