//! How many scores a second the monitor counts on one core, and how much memory it takes.
//!
//! `cargo bench -p rendezvous-monitor` pushes a million scores of four models through it, in batches of the
//! size that Lambda delivers at most.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{fs, sync::Arc, time::Duration};

use rendezvous_aws::batch::{Batch, Data, Record, StreamBatch};
use rendezvous_core::{
    Arm, Configuration, Envelope, Json, Provenance, RequestId, Score, ScoreMessage, Timestamp,
    conformance::samples::CONFIGURATION,
    memory::{MemoryEndpoints, MemoryLedger, MemoryWindows},
    ports::{EndpointTable, NoTelemetry},
};
use rendezvous_monitor::Monitor;
use serde_json::value::to_raw_value;
use tokio::{runtime::Builder, time::Instant};

const SCORES: u64 = 1_000_000;
/// 6 MB.
const OF_A_BATCH: u64 = 10_000;
const MODELS: [&str; 4] = ["a@1", "b@1", "c@1", "d@1"];

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let endpoints = Arc::new(MemoryEndpoints::default());
    let configuration = Configuration::parse(CONFIGURATION).unwrap();
    let (name, provenance) = ("e".parse().unwrap(), Provenance::new("bench", "").unwrap());
    runtime.block_on(endpoints.publish(&name, configuration, provenance, None)).unwrap();
    let (ledger, windows) = (Arc::new(MemoryLedger::default()), Arc::<MemoryWindows>::default());
    let keep = Duration::from_hours(48);
    let monitor = Monitor::new(endpoints, ledger, windows, Arc::new(NoTelemetry), keep);
    let (mut took, mut bytes) = (Duration::ZERO, 0);
    let of_one = resident("VmRSS:");
    for number in 0..SCORES / OF_A_BATCH {
        let batch = batch(number);
        bytes = batch.records().iter().flatten().map(|record| record.content.bytes.len()).sum();
        let start = Instant::now();
        let response = runtime.block_on(monitor.handle_scores(batch));
        took += start.elapsed();
        assert!(response.batch_item_failures.is_empty());
    }
    let rate = SCORES as f64 / took.as_secs_f64();
    println!("{SCORES} scores in batches of {OF_A_BATCH} ({:.1} MB)", bytes as f64 / 1e6);
    println!("  {rate:.0} a second");
    let (before, peak) = (of_one as f64 / 1e3, resident("VmHWM:") as f64 / 1e3);
    println!("  memory of the process {before:.1} MB before, {peak:.1} MB at most");
}

/// A line of /proc/self/status, in KB; zero where there is none.
fn resident(line: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|text| text.strip_prefix(line));
    value.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The scores of all models on a thousand requests a second.
fn batch(number: u64) -> StreamBatch<'static> {
    let models = MODELS.len() as u64;
    let requests = OF_A_BATCH / models;
    let records = (0..requests).flat_map(|request| {
        let request = number * requests + request;
        let micros = 1_763_794_344_000_000 + request * 1_000;
        let received = Timestamp::from_micros(i64::try_from(micros).unwrap());
        let id = format!("{:08x}-{:04x}-7000-8000-{request:012x}", micros >> 28, micros & 0xffff);
        let id: RequestId = id.parse().unwrap();
        let envelope = Envelope {
            id,
            endpoint: "e".parse().unwrap(),
            config: 1,
            arm: Arm::main(),
            key: id.to_key(),
            received,
            deadline: received + Duration::from_millis(200),
            traceparent: Some(format!("00-{:032x}-{:016x}-01", request + 1, request + 1)),
            skip: Vec::new(),
            replay: None,
        };
        let raw = to_raw_value(&envelope).unwrap();
        MODELS.into_iter().zip(0..).map(move |(model, at): (_, u64)| {
            let value = (request as f64 * 0.618 + at as f64 * 0.1).fract();
            let (started, finished) = (Duration::from_millis(2), Duration::from_millis(5 + at));
            let score = Score {
                model: model.parse().unwrap(),
                started: received + started,
                finished: received + finished,
                result: Ok(Json::parse(&format!("{{\"p\":{value:.6}}}")).unwrap()),
            };
            let bytes = ScoreMessage::write(&raw, &score, None).unwrap();
            let data = Data::new("k", bytes);
            let sequence = (request * models + at).to_string();
            Record::new("shardId-000000000000", sequence, received + finished, data)
        })
    });
    Batch::new("scores", records.collect())
}
