//! What it costs to read a batch of 100 records and to walk it as the rendezvous function does:
//! `cargo bench -p rendezvous-aws`. For comparison the same with the types of `aws_lambda_events`,
//! with which the times of arrival must be read a second time: its version 1.2 reads the fraction of
//! 1763794344.5 as 5 ms.

#![expect(clippy::expect_used, reason = "a bench that cannot begin must not go on")]

use std::{hint::black_box, time::Duration};

use aws_lambda_events::{event::streams::KinesisEventResponse, kinesis::KinesisEvent};
use chrono::DateTime;
use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use rendezvous_aws::batch::{Batch, Data, Event, Record};
use rendezvous_core::{Timestamp, now};
use serde::Deserialize;
use serde_json::value::RawValue;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const RECORDS: usize = 100;

/// A batch of scores, some 600 bytes each, in the form in which Lambda sends it.
fn sent() -> String {
    let record = |i: usize| {
        let data = format!("{{\"v\":1,\"number\":{i},\"rest\":\"{}\"}}", "x".repeat(570));
        let content = Data::new("k".repeat(36), data.into());
        let arrived =
            Timestamp::from_micros(1_763_794_344_120_000 + 1_000 * i64::try_from(i).unwrap_or(0));
        Record::new("shardId-000000000003", format!("49545{i:051}"), arrived, content)
    };
    let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/rendezvous-scores";
    let batch = Batch::new(arn, (0..RECORDS).map(record).collect());
    serde_json::to_string(&batch).expect("JSON")
}

/// Stands for the parsing of a message, which is not measured here.
fn parse(data: &[u8]) -> usize {
    data.len()
}

#[divan::bench]
fn batch(bencher: Bencher) {
    let sent = sent();
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let event: Event = serde_json::from_str(black_box(&sent)).expect("an event");
        let batch = event.batch::<Data<'_>>().expect("a batch");
        let messages = batch.messages(|data| Ok(parse(&data.bytes)));
        let response = batch.response([7].into_iter());
        (messages.len(), batch.lag(), response)
    });
}

#[divan::bench]
fn aws_lambda_events_types(bencher: Bencher) {
    let sent = sent();
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let event = event_of_the_crate(black_box(&sent));
        let read = event.records.iter().enumerate();
        let messages: Vec<(usize, usize)> =
            read.map(|(number, record)| (number, parse(&record.kinesis.data))).collect();
        let arrived = event.records.iter().map(|record| {
            let arrived = record.kinesis.approximate_arrival_timestamp.timestamp_micros();
            Timestamp::from_micros(arrived)
        });
        let lag = arrived.min().map_or(Duration::ZERO, |arrived| now().since(arrived));
        let mut response = KinesisEventResponse::default();
        response.add_failure(event.records[7].kinesis.sequence_number.as_str());
        (messages.len(), lag, response)
    });
}

fn event_of_the_crate(sent: &str) -> KinesisEvent {
    #[derive(Deserialize)]
    struct Batch {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    }
    #[derive(Deserialize)]
    struct Record {
        kinesis: Arrival,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Arrival {
        approximate_arrival_timestamp: f64,
    }
    let text: Box<RawValue> = serde_json::from_str(sent).expect("JSON");
    let mut event: KinesisEvent = serde_json::from_str(text.get()).expect("an event");
    let times: Batch = serde_json::from_str(text.get()).expect("an event");
    for (record, time) in event.records.iter_mut().zip(times.records) {
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let micros = (time.kinesis.approximate_arrival_timestamp * 1e6).round() as i64;
        let arrived = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        record.kinesis.approximate_arrival_timestamp.0 = arrived;
    }
    event
}
