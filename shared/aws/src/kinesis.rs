//! The port `Stream` on Kinesis.

use std::{ops::Range, time::Duration};

use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};
use rendezvous_core::{
    Timestamp, Unavailable, UnavailableKind, now,
    ports::{Record, Rejected, Stream},
    random,
};
use tokio::time::{sleep, timeout};

use crate::unavailable;

/// The most of one call: records, and bytes of data and keys.
#[derive(Clone, Copy, Debug)]
struct Most {
    records: usize,
    bytes: usize,
}

impl Most {
    /// "Each `PutRecords` request can support up to 500 records", and 10 MiB "including partition keys".
    const ALLOWED: Self = Self { records: 500, bytes: 10 * 1024 * 1024 };

    fn halved(self) -> Self {
        Self { records: (self.records / 2).max(1), bytes: self.bytes / 2 }
    }
}

/// Pauses before rejected records are sent again: at most 10 ms at first, twice as long each time,
/// and never more than half a second. Throttling is counted by the second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The name of the dependency in errors.
const STREAM: &str = "stream";

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

    /// One call.
    async fn put_records(&self, records: &[&Record], until: Timestamp) -> Result<(), Refused> {
        let entry = |record: &&Record| {
            PutRecordsRequestEntry::builder()
                .partition_key(record.key.as_str())
                // The SDK takes ownership of a copy.
                .data(Blob::new(record.data.as_ref()))
                .build()
        };
        let all =
            |cause, for_good| Refused { indexes: (0..records.len()).collect(), cause, for_good };
        let entries = records.iter().map(entry).collect::<Result<_, _>>().map_err(|error| {
            tracing::error!(%error, "an entry cannot be built");
            all(Unavailable::down(STREAM, "an entry cannot be built"), true)
        })?;
        let call = self.client.put_records().stream_name(&self.name).set_records(Some(entries));
        match timeout(until.since(now()), call.send()).await {
            Ok(Ok(output)) => rejected(output.records()),
            Ok(Err(error)) => {
                let cause = unavailable(STREAM, &error);
                // No stream, no permission, no such key: permanent, so fail at once.
                let for_good = !cause.is_throttled()
                    && error.raw_response().is_some_and(|raw| raw.status().is_client_error());
                Err(all(cause, for_good))
            }
            Err(_) => Err(all(Unavailable::timed_out(STREAM, ""), false)),
        }
    }
}

/// Which records of one call were not taken.
#[derive(Debug, PartialEq)]
struct Refused {
    /// Positions in the records of the call.
    indexes: Vec<usize>,
    cause: Unavailable,
    /// A retry cannot succeed.
    for_good: bool,
}

impl Stream for KinesisStream {
    async fn put(&self, records: Vec<Record>, until: Timestamp) -> Result<(), Rejected> {
        put_all(&records, until, |part: Vec<&Record>| async move {
            self.put_records(&part, until).await
        })
        .await
    }
}

/// Puts `records` by as few calls of `put` as the limits allow, and again those that are rejected,
/// until `until`. After a call that has timed out, calls are half as large: a call that is always too large for
/// the time that it has would never succeed.
async fn put_all<'a, F: Future<Output = Result<(), Refused>>>(
    records: &'a [Record],
    until: Timestamp,
    put: impl Fn(Vec<&'a Record>) -> F,
) -> Result<(), Rejected> {
    let mut pending: Vec<usize> = (0..records.len()).collect();
    let (mut pause, mut most) = (FIRST_PAUSE, Most::ALLOWED);
    loop {
        let mut again: Vec<usize> = Vec::new();
        let (mut last, mut timed_out) = (None, false);
        let size = |&i: &usize| records[i].data.len() + records[i].key.as_str().len();
        for call in calls(pending.iter().map(size), most) {
            let indexes = &pending[call];
            if let Err(refused) = put(indexes.iter().map(|&i| &records[i]).collect()).await {
                again.extend(refused.indexes.iter().filter_map(|&i| indexes.get(i)));
                timed_out |= refused.cause.kind == UnavailableKind::TimedOut;
                last = Some((refused.cause, refused.for_good));
            }
        }
        let Some((cause, for_good)) = last else { return Ok(()) };
        let jittered = pause.mul_f64(random::fraction("retry of PutRecords", ""));
        if for_good || now() + jittered >= until {
            return Err(Rejected { indexes: again, cause });
        }
        sleep(jittered).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        most = if timed_out { most.halved() } else { most };
        pending = again;
    }
}

/// Cuts records of these sizes, in bytes, into as few calls as the limits allow. A record of more bytes than
/// the limit has a call of its own.
fn calls(sizes: impl Iterator<Item = usize>, most: Most) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (i, size) in sizes.enumerate() {
        match calls.last_mut() {
            Some(call) if call.len() < most.records && bytes + size <= most.bytes => call.end += 1,
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
fn rejected(entries: &[PutRecordsResultEntry]) -> Result<(), Refused> {
    let code =
        |(i, entry): (usize, &PutRecordsResultEntry)| Some((i, entry.error_code()?.to_owned()));
    let failures: Vec<(usize, String)> = entries.iter().enumerate().filter_map(code).collect();
    let Some((_, code)) = failures.first() else { return Ok(()) };
    tracing::warn!(rejected = failures.len(), of = entries.len(), code, "records were rejected");
    // The other code is InternalFailure.
    let throttled = failures.iter().all(|(_, code)| code.contains("ThroughputExceeded"));
    let cause = if throttled {
        Unavailable::throttled(STREAM, "PutRecords: ProvisionedThroughputExceeded")
    } else {
        Unavailable::down(STREAM, "PutRecords: InternalFailure")
    };
    let indexes = failures.into_iter().map(|(i, _)| i).collect();
    Err(Refused { indexes, cause, for_good: false })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use aws_sdk_kinesis::{error::SdkError, operation::put_records::PutRecordsError};

    use super::*;

    #[test]
    fn records_are_cut_into_calls_by_count_and_by_bytes() {
        let calls = |sizes: &[usize]| calls(sizes.iter().copied(), Most::ALLOWED);
        assert!(calls(&[]).is_empty());
        assert_eq!(calls(&[1; 1_001]), [0..500, 500..1_000, 1_000..1_001]);
        assert_eq!(calls(&[1_000_000; 11]), [0..10, 10..11]);
        let bytes = Most::ALLOWED.bytes;
        assert_eq!(calls(&[bytes, 1, bytes - 1, 1]), [0..1, 1..3, 3..4]);
    }

    #[test]
    fn a_call_that_the_sdk_gives_up_has_timed_out() {
        let error = SdkError::<PutRecordsError>::timeout_error("no response");
        assert_eq!(unavailable(STREAM, &error).kind, UnavailableKind::TimedOut);
        let error = SdkError::<PutRecordsError>::construction_failure("no region");
        assert_eq!(unavailable(STREAM, &error).kind, UnavailableKind::Down);
    }

    #[test]
    fn a_response_tells_which_entries_were_rejected_and_whether_by_throttling() {
        let entry = |code: Option<&str>| {
            PutRecordsResultEntry::builder().set_error_code(code.map(str::to_owned)).build()
        };
        assert_eq!(rejected(&[entry(None), entry(None)]), Ok(()));
        let throttled = entry(Some("ProvisionedThroughputExceededException"));
        let entries = [entry(None), throttled.clone(), throttled.clone()];
        let refused = rejected(&entries).unwrap_err();
        assert_eq!(refused.indexes, [1, 2]);
        assert!(refused.cause.is_throttled());
        let refused = rejected(&[throttled, entry(Some("InternalFailure"))]).unwrap_err();
        assert!(!refused.cause.is_throttled());
    }

    /// A thousand records whose data is their number, and by which numbers each call was made. `answer` gets the
    /// number of the call and how many records it has.
    async fn calls_made(
        until: Duration,
        answer: impl Fn(usize, usize) -> Result<(), Refused>,
    ) -> (Result<(), Rejected>, Vec<Vec<usize>>) {
        rendezvous_core::clock::simulate(now());
        let record = |i: usize| Record {
            key: "k".parse().unwrap(),
            data: i.to_string().into_bytes().into(),
        };
        let records: Vec<Record> = (0..1_000).map(record).collect();
        let made: Mutex<Vec<Vec<usize>>> = Mutex::default();
        let put = |part: Vec<&Record>| {
            let number = |r: &&Record| std::str::from_utf8(&r.data).unwrap().parse().unwrap();
            let mut made = made.lock().unwrap();
            made.push(part.iter().map(number).collect());
            let answer = answer(made.len(), part.len());
            async move { answer }
        };
        let result = put_all(&records, now() + until, put).await;
        (result, made.into_inner().unwrap())
    }

    fn refused(indexes: &[usize], for_good: bool) -> Result<(), Refused> {
        let cause = Unavailable::throttled(STREAM, "");
        Err(Refused { indexes: indexes.to_vec(), cause, for_good })
    }

    #[tokio::test(start_paused = true)]
    async fn only_rejected_records_are_sent_again() {
        let (result, made) = calls_made(Duration::from_secs(1), |call, _| match call {
            1 => refused(&[7], false),
            2 => refused(&[0, 499], false),
            3 => refused(&[1], false),
            _ => Ok(()),
        })
        .await;
        assert_eq!(result, Ok(()));
        assert_eq!(made[..2].iter().map(Vec::len).collect::<Vec<_>>(), [500, 500]);
        assert_eq!(made[2..], [vec![7, 500, 999], vec![500]]);
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_are_rejected_until_time_is_up_are_named() {
        let start = now();
        let (result, made) = calls_made(Duration::from_secs(1), |call, _| match call {
            1 => Ok(()),
            2 => refused(&[3], false),
            _ => refused(&[0], false),
        })
        .await;
        assert_eq!(result.unwrap_err().indexes, [503]);
        assert!(made.len() > 3, "it was tried again: {made:?}");
        assert!(now() <= start + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_call_that_has_timed_out_calls_are_half_as_large() {
        let all: Vec<usize> = (0..500).collect();
        let (result, made) = calls_made(Duration::from_mins(1), |_, records| match records {
            ..200 => Ok(()),
            records => Err(Refused {
                indexes: all[..records].to_vec(),
                cause: Unavailable::timed_out(STREAM, ""),
                for_good: false,
            }),
        })
        .await;
        assert_eq!(result, Ok(()));
        let sizes: Vec<usize> = made.iter().map(Vec::len).collect();
        assert_eq!(sizes, [vec![500; 2], vec![250; 4], vec![125; 8]].concat());
        assert_eq!(Most { records: 1, bytes: 1 }.halved().records, 1);
        assert_eq!(Most::ALLOWED.halved().bytes, 5 * 1024 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_count_as_bytes_of_a_call() {
        rendezvous_core::clock::simulate(now());
        for (bytes_of_key, calls) in [(8, 1), (9, 2)] {
            let record = Record {
                key: "k".repeat(bytes_of_key).parse().unwrap(),
                data: vec![0; 1024 * 1024 - 8].into(),
            };
            let (records, made) = (vec![record; 10], Mutex::new(0));
            let put = |_: Vec<&Record>| {
                *made.lock().unwrap() += 1;
                async { Ok(()) }
            };
            put_all(&records, now() + Duration::from_secs(1), put).await.unwrap();
            assert_eq!(made.into_inner().unwrap(), calls, "{bytes_of_key}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_not_sent_again() {
        let all: Vec<usize> = (0..500).collect();
        let (result, made) = calls_made(Duration::from_secs(1), |_, _| refused(&all, true)).await;
        assert_eq!(result.unwrap_err().indexes.len(), 1_000);
        assert_eq!(made.len(), 2, "a call for each half");
    }
}
