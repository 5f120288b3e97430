//! What the monitor costs: its calls of the table of windows are counted for an hour, and priced by list.
//!
//! `cargo test --workspace --test scenarios cost -- --ignored --nocapture` prints the figures of infra/README.md.

use std::{
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rendezvous_core::{
    Minute, Unavailable,
    memory::{MemoryWindows, Position},
    now,
    ports::{Entry, EntryKey, WindowTable},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    window::{Feature, Features, Window},
};
use rendezvous_sim::{Size, mapping::Mapping};
use rendezvous_tests::{Does::Number, World};
use tokio::time::{Instant, sleep, sleep_until};

use crate::alarms::{baseline, uniform};

const MODELS: [&str; 4] = ["a@1", "b@1", "c@1", "d@1"];

const CONFIGURATION: &str = r#"{
    "schedule": { "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 300 } ], "deadline_ms": 500 },
    "observers": [ { "model": "c@1", "role": "canary" }, { "model": "d@1", "role": "challenger" } ],
    "value": "/p",
    "features": ["/x"]
}"#;

/// Requests a second.
const RATE: u32 = 16;

/// List prices of us-east-1, November 2026, in dollars, as in tests/aws/localstack/faults/cost.py.
const WRITE: f64 = 0.625e-6;
const READ: f64 = 0.125e-6;
const INVOCATION: f64 = 0.20e-6;
const GB_SECOND: f64 = 16.6667e-6;
const POLLED_KB: f64 = 0.04e-6;

/// How long a call of the table takes on AWS, which is assumed, and the function's memory.
const CALL_SECONDS: f64 = 0.006;
const GB: f64 = 0.25;

/// What calls use, as DynamoDB counts: a write for each KB of an item, half a read for each 4 KB of a query.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    batches: u64,
    calls: u64,
    entries: u64,
    bytes: u64,
    writes: u64,
    queries: u64,
    half_reads: u64,
}

/// A table of windows that counts.
#[derive(Default)]
struct Counted {
    windows: MemoryWindows,
    used: Mutex<Used>,
}

impl Counted {
    fn used(&self) -> Used {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut Used)) {
        count(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The names and values of an item's attributes: the minute has ten digits, the time to live is a number.
fn size(EntryKey { series, part, .. }: &EntryKey, body: usize) -> u64 {
    let names = "series".len() + "entry".len() + "body".len() + "expires_at".len();
    (names + series.len() + 11 + part.len() + body + 6) as u64
}

/// A call of `BatchWriteItem` takes 25 items.
fn calls(items: usize) -> u64 {
    items.div_ceil(25) as u64
}

impl WindowTable for Counted {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        let of_batch = |entry: &Entry| {
            ["e/decisions", "e/models", "e/arrivals"].contains(&entry.key.series.as_str())
        };
        self.count(|used| {
            used.batches += u64::from(entries.iter().any(of_batch));
            used.calls += calls(entries.len());
            used.entries += entries.len() as u64;
            for Entry { key, body, .. } in &entries {
                let size = size(key, body.len());
                used.bytes += size;
                used.writes += size.div_ceil(1_024);
            }
        });
        self.windows.put(entries).await
    }

    async fn delete(&self, keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        self.count(|used| {
            used.calls += calls(keys.len());
            used.writes += keys.len() as u64;
        });
        self.windows.delete(keys).await
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        let entries = self.windows.read(series, minutes, limit).await?;
        let bytes: u64 = entries.iter().map(|entry| size(&entry.key, entry.body.len())).sum();
        self.count(|used| {
            used.calls += 1;
            used.queries += 1;
            used.half_reads += bytes.div_ceil(4_096).max(1);
        });
        Ok(entries)
    }
}

/// What an hour has used, a million requests each.
struct Cost {
    used: Used,
    minutes: f64,
    millions: f64,
    /// KB of messages, each a whole number of them.
    polled: f64,
}

impl Cost {
    fn million(&self, count: u64) -> f64 {
        count as f64 / self.millions
    }

    fn parts(&self) -> [(&'static str, f64); 5] {
        let Self { used, minutes, millions, polled } = self;
        let invocations = used.batches as f64 + minutes;
        let seconds = used.calls as f64 * CALL_SECONDS / millions;
        [
            ("invocations", invocations / millions * INVOCATION),
            ("Lambda's time", seconds * GB * GB_SECOND),
            ("writes", self.million(used.writes) * WRITE),
            ("reads", self.million(used.half_reads) * 0.5 * READ),
            ("polled", polled / millions * POLLED_KB),
        ]
    }

    fn dollars(&self) -> f64 {
        self.parts().iter().map(|(_, dollars)| dollars).sum()
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { used, minutes, polled, .. } = self;
        let invocations = used.batches as f64 + minutes;
        writeln!(f, "a million requests, {RATE} a second, {} models, one shard:", MODELS.len())?;
        writeln!(f, "  {:.0} invocations", invocations / self.millions)?;
        let [entries, bytes, writes] =
            [used.entries, used.bytes, used.writes].map(|of| self.million(of));
        writeln!(f, "  {entries:.0} entries written, {:.1} MB, {writes:.0} writes", bytes / 1e6)?;
        let [queries, halves] = [used.queries, used.half_reads].map(|of| self.million(of));
        writeln!(f, "  {queries:.0} queries, {:.0} reads", halves / 2.0)?;
        writeln!(f, "  {:.2} GB polled", polled / self.millions / 1e6)?;
        let parts = self.parts();
        let parts = parts.iter().map(|(name, dollars)| format!("{name} {dollars:.4}"));
        let parts = parts.collect::<Vec<_>>().join(", ");
        writeln!(f, "  ${:.3}: {parts}", self.dollars())
    }
}

/// What the day and the week before have left: windows of each hour, and how many requests came in each minute.
async fn past(world: &World<rendezvous_core::memory::MemoryArchive, Counted>) {
    let this = Minute::of(now());
    let entry = |series: &str, minute, part: String, body: Option<Vec<u8>>| Entry {
        key: EntryKey { series: series.to_owned(), minute, part },
        body: body.unwrap().into(),
        expires: Some(now() + Duration::from_hours(48)),
    };
    let mut entries = Vec::new();
    for back in 1..=24 {
        let start = this.minus(this_of_hour(this) + 60 * back);
        for id in MODELS {
            let mut window = Window::new(u64::from(back));
            (0..5_000).for_each(|i| window.score(Duration::from_millis(20), Some(uniform(id, i))));
            entries.push(entry("e/hours", start, format!("models/{id}"), to_bytes(&window)));
        }
        let mut features = Features::new(["/x"], u64::from(back));
        (0..5_000).for_each(|i| features.push([Feature::Number(uniform("/x", i))]));
        entries.push(entry("e/hours", start, "features".to_owned(), to_bytes(&features)));
    }
    for days in [1, 7] {
        for minute in 0..180 {
            let minute = this.minus(days * 24 * 60).plus(minute).minus(60);
            let part = "1/shardId-000000000000:1".to_owned();
            entries.push(entry("e/arrivals", minute, part, to_bytes(&(u64::from(RATE) * 60))));
        }
    }
    world.system.windows.put(entries).await.unwrap();
}

/// Which minute of its hour a minute is.
fn this_of_hour(minute: Minute) -> u32 {
    u32::try_from(minute.start().as_micros() / 60_000_000 % 60).unwrap()
}

/// Requests for some time. Nobody waits for the answer before the next.
async fn traffic(world: &World<rendezvous_core::memory::MemoryArchive, Counted>, time: Duration) {
    let (mut at, mut asked) = (Instant::now(), 0);
    let end = at + time;
    while at < end {
        let x = uniform("cost", asked);
        world.ask(&format!("{{\"x\":{x}}}")).await;
        asked += 1;
        at += Duration::from_secs(1) / RATE;
        sleep_until(at).await;
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "prints figures for a document, in a minute"]
async fn the_monitor_costs_cents_for_a_million_requests() {
    let mapping = Mapping {
        batch_size: 10_000,
        maximum_batching_window: Duration::from_mins(1),
        starting_position: Position::TrimHorizon,
        ..Mapping::default()
    };
    let size = Size { shards: 1, monitor: Some(mapping), ..Size::default() };
    let world = World::with_windows(Counted::default(), CONFIGURATION, size).await;
    for id in MODELS {
        world.model(id, Number(20, "/x"));
    }
    baseline(&world, &MODELS).await;
    past(&world).await;
    // Until a whole hour has begun, and its predecessor is merged.
    let until = Minute::of(now());
    let until = until.plus(60 - this_of_hour(until) + 5).start();
    traffic(&world, until.since(now())).await;
    let before = world.system.windows.used();
    traffic(&world, Duration::from_hours(1)).await;
    let after = world.system.windows.used();
    sleep(Duration::from_mins(2)).await;
    let requests = f64::from(RATE) * 3_600.0;
    let cost = Cost {
        used: Used {
            batches: after.batches - before.batches,
            calls: after.calls - before.calls,
            entries: after.entries - before.entries,
            bytes: after.bytes - before.bytes,
            writes: after.writes - before.writes,
            queries: after.queries - before.queries,
            half_reads: after.half_reads - before.half_reads,
        },
        minutes: 60.0,
        millions: requests / 1e6,
        // A request and a score of each model, each below 1 KB here and counted as one.
        polled: requests * (1 + MODELS.len()) as f64,
    };
    println!("{cost}");
    assert!(cost.used.batches >= 3 * 60, "{cost}");
    let without_polls = cost.dollars() - cost.parts()[4].1;
    assert!(without_polls < 0.10, "{cost}");
}
