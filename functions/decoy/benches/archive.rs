//! How fast the decoy is on one core, stage by stage, and how much memory a batch takes.
//!
//! `cargo bench -p rendezvous-decoy` prints the figures; with `-- FOLDER` it also leaves the files
//! that it has written there, for `pyarrow_compare.py`.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{env, fs, hint::black_box, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use rendezvous_archive::write;
use rendezvous_aws::batch::{Batch, Data, Record, StreamBatch};
use rendezvous_core::{
    Arm, Configuration, Envelope, Json, Payload, Provenance, RequestId, RequestMessage, Score,
    ScoreMessage, ScoreReader, Timestamp, Unavailable,
    conformance::samples::CONFIGURATION,
    memory::{MemoryEndpoints, MemoryPayloads},
    ports::{Archive, ArchiveFiles, EndpointTable, NoTelemetry, Stored, StoredFile},
};
use rendezvous_decoy::{Decoy, Stream, rows};
use tokio::{runtime::Builder, time::Instant};

/// The largest batch that Lambda delivers.
const BATCH_BYTES: usize = 6_000_000;

/// Keeps nothing in this process, like an archive in S3.
struct Sink;

impl Archive for Sink {
    async fn put(&self, _: &str, body: Bytes) -> Result<Stored, Unavailable> {
        black_box(body);
        Ok(Stored::New)
    }
}

/// There are no tombstones, and nothing else is read.
impl ArchiveFiles for Sink {
    async fn folders(&self, _: &str) -> Result<Vec<String>, Unavailable> {
        Ok(Vec::new())
    }

    async fn list(&self, _: &str) -> Result<Vec<StoredFile>, Unavailable> {
        Ok(Vec::new())
    }

    async fn read(&self, name: &str, _: Range<u64>) -> Result<Bytes, Unavailable> {
        Err(Unavailable::down("archive", format!("{name} is not there")))
    }
}

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let endpoints = Arc::new(MemoryEndpoints::default());
    let configuration = Configuration::parse(CONFIGURATION).unwrap();
    let (name, provenance) = ("e".parse().unwrap(), Provenance::new("bench", "").unwrap());
    runtime.block_on(endpoints.publish(&name, configuration, provenance, None)).unwrap();
    let (archive, payloads) = (Arc::new(Sink), Arc::new(MemoryPayloads::default()));
    let decoy = Decoy::new(archive, endpoints, payloads, Arc::new(NoTelemetry));
    let batches = [
        ("requests of 230 B", Stream::Input, requests(flight)),
        ("requests of 2 KB", Stream::Input, requests(text)),
        ("scores", Stream::Scores, scores()),
    ];
    // Memory first: the high-water mark does not fall again.
    for (name, stream, batch) in &batches {
        let batch = batch.clone();
        let before = resident("VmRSS:");
        runtime.block_on(decoy.handle_stream(*stream, batch));
        let extra = resident("VmHWM:").saturating_sub(before);
        println!("{name}: peak memory beside the batch {:.1} MB", extra as f64 / 1e3);
    }
    let folder = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, stream, batch) in &batches {
        let records: Vec<_> = batch.records().iter().flatten().collect();
        let payload: usize = records.iter().map(|record| payload(*stream, record)).sum();
        println!("{name}: {} rows, {:.2} MB of JSON", records.len(), payload as f64 / 1e6);
        let line = |stage: &str, time: Duration| {
            let rate = payload as f64 / 1e6 / time.as_secs_f64();
            println!("  {stage:<24} {:>7.1} ms  {rate:>7.1} MB/s", time.as_secs_f64() * 1e3);
        };
        let file = match stream {
            Stream::Input => {
                let read = || records.iter().map(|r| rows::request(r).unwrap().unwrap().0);
                line("read", time(|| (), |()| read().collect::<Vec<_>>()));
                let all: Vec<_> = read().collect();
                let all: Vec<_> = all.iter().collect();
                line("sort, encode, compress", time(|| (), |()| write(&all).unwrap()));
                write(&all).unwrap()
            }
            Stream::Scores | Stream::Replays => {
                let read = || {
                    let mut reader = ScoreReader::default();
                    records.iter().map(move |r| rows::score(r, &mut reader).unwrap().unwrap())
                };
                line("read", time(|| (), |()| read().collect::<Vec<_>>()));
                let all: Vec<_> = read().collect();
                let all: Vec<_> = all.iter().collect();
                line("sort, encode, compress", time(|| (), |()| write(&all).unwrap()));
                write(&all).unwrap()
            }
        };
        let whole = |batch| runtime.block_on(decoy.handle_stream(*stream, batch));
        line("all of a batch", time(|| batch.clone(), whole));
        println!("  file {:.2} MB", file.len() as f64 / 1e6);
        if let Some(folder) = &folder {
            let name = format!("{folder}/{}.parquet", name.replace(' ', "-"));
            fs::write(name, file).unwrap();
        }
    }
}

/// The shortest of many times: other programs on the machine only add to it.
fn time<I, O>(input: impl Fn() -> I, run: impl Fn(I) -> O) -> Duration {
    let once = |_| {
        let input = input();
        let start = Instant::now();
        let output = run(input);
        let took = start.elapsed();
        drop(black_box(output));
        took
    };
    (0..40).map(once).min().unwrap_or_default()
}

/// A line of /proc/self/status, in KB; zero where there is none.
fn resident(line: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|text| text.strip_prefix(line));
    value.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The bytes that count: a request's payload, or, since a score is small, its whole record.
fn payload(stream: Stream, record: &Record<'_, Data<'_>>) -> usize {
    let data = &record.content.bytes;
    match stream {
        Stream::Input => match RequestMessage::parse(data).unwrap().payload {
            Payload::Inline(json) => json.get().len(),
            Payload::Stored(_) => 0,
        },
        Stream::Scores | Stream::Replays => data.len(),
    }
}

fn requests(payload: impl Fn(&mut Rng) -> String) -> StreamBatch<'static> {
    batch(|random, envelope| {
        RequestMessage::write(envelope, &Json::parse(&payload(random)).unwrap()).unwrap()
    })
}

fn scores() -> StreamBatch<'static> {
    batch(|random, envelope| {
        let score = Json::parse(&format!("{{\"p\":{:.6}}}", random.f64())).unwrap();
        let score = Score {
            model: ["a@1", "b@1", "c@1", "d@1"][random.usize(..4)].parse().unwrap(),
            started: envelope.received + Duration::from_micros(random.u64(500..5_000)),
            finished: envelope.received + Duration::from_micros(random.u64(5_000..9_000)),
            result: Ok(score),
        };
        let request = RequestMessage::write(envelope, &Json::parse("0").unwrap()).unwrap();
        let request = RequestMessage::parse(&request).unwrap();
        ScoreMessage::write(request.raw_envelope, &score, None).unwrap()
    })
}

/// A full batch, at a thousand requests a second.
fn batch(data: impl Fn(&mut Rng, &Envelope) -> Bytes) -> StreamBatch<'static> {
    let mut random = Rng::with_seed(7);
    let mut records = Vec::new();
    let (mut micros, mut bytes) = (1_763_794_344_000_000_u64, 0);
    let mut sequence = 49_545_115_243_490_985_018_280_067_714_973_144_u128 * 1_000
        + u128::from(random.u64(..1_000));
    loop {
        micros += random.u64(..2_000);
        sequence += u128::from(random.u64(1..1 << 40));
        let received = Timestamp::from_micros(i64::try_from(micros).unwrap());
        let id: RequestId = format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            (micros / 1_000) >> 16,
            (micros / 1_000) & 0xffff,
            random.u64(..0x1000),
            0x8000 | random.u64(..0x4000),
            random.u64(..1 << 48),
        )
        .parse()
        .unwrap();
        let envelope = Envelope {
            id,
            endpoint: "e".parse().unwrap(),
            config: 1,
            arm: Arm::main(),
            key: id.to_key(),
            received,
            deadline: received + Duration::from_millis(200),
            traceparent: Some(format!("00-{:032x}-{:016x}-01", random.u128(..), random.u64(..))),
            skip: Vec::new(),
            replay: None,
        };
        let data = data(&mut random, &envelope);
        bytes += data.len();
        if bytes > BATCH_BYTES {
            return Batch::new("", records);
        }
        let data = Data::new(envelope.key.to_string(), data);
        // 56 digits, as Kinesis gives them.
        let sequence = format!("49545{sequence:051}");
        let arrived =
            Timestamp::from_micros(i64::try_from(micros).unwrap() / 1_000 * 1_000 + 20_000);
        records.push(Record::new("shardId-000000000003", sequence, arrived, data));
    }
}

/// A payload of the flights example.
fn flight(random: &mut Rng) -> String {
    let carrier = ["UA", "AA", "B6", "DL", "EV", "MQ"][random.usize(..6)];
    let origin = ["EWR", "JFK", "LGA"][random.usize(..3)];
    let dest = ["IAH", "MIA", "ATL", "ORD", "FLL", "IAD", "MCO", "TPA"][random.usize(..8)];
    format!(
        "{{\"carrier\":\"{carrier}\",\"flight\":{},\"origin\":\"{origin}\",\"dest\":\"{dest}\",\"weekday\":{},\
         \"hour\":{},\"distance\":{},\"weather\":{{\"temp\":{:.2},\"dewp\":{:.2},\"humid\":{:.2},\"wind_dir\":{},\
         \"wind_speed\":{:.5},\"precip\":0.0,\"visib\":10.0,\"pressure\":{:.1}}}}}",
        random.u32(1..6_000),
        random.u32(1..8),
        random.u32(5..24),
        random.u32(80..2_600),
        20.0 + 70.0 * random.f64(),
        10.0 + 60.0 * random.f64(),
        30.0 + 70.0 * random.f64(),
        random.u32(..36) * 10,
        20.0 * random.f64(),
        990.0 + 40.0 * random.f64(),
    )
}

/// 2 KB of features, named and numbered.
fn text(random: &mut Rng) -> String {
    let feature = |i| format!("\"feature_{i:03}\":{:.6}", random.f64());
    let features: Vec<String> = (0..82).map(feature).collect();
    format!("{{{}}}", features.join(","))
}
