//! What windows cost: counting a score and a request, merging and reading, and a guard's verdict.
//!
//! `cargo bench -p rendezvous-evidence --bench windows`

#![expect(clippy::unwrap_used, reason = "a bench with wrong constants ends")]

use std::time::Duration;

use divan::{Bencher, black_box, counter::ItemsCount};
use rendezvous_core::{
    Timestamp,
    arms::ArmPlan,
    decision::{Kind, Reason},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    drift,
    guard::{Since, judge},
    window::{Decisions, Feature, Features, Merge, Pair, Window, merged},
};

fn main() {
    divan::main();
}

const SCORES: u32 = 100_000;

fn score(window: &mut Window, random: &mut fastrand::Rng) {
    window.score(Duration::from_micros(random.u64(1_000..50_000)), Some(random.f64()));
}

fn minute(seed: u64) -> Window {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut window = Window::new(seed);
    (0..600).for_each(|_| score(&mut window, &mut random));
    window
}

#[divan::bench]
fn count_scores(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(SCORES))
        .with_inputs(|| fastrand::Rng::with_seed(1))
        .bench_values(|mut random| {
            let mut window = Window::new(1);
            (0..SCORES).for_each(|_| score(&mut window, &mut random));
            window
        });
}

/// Of ten features each, half of them texts.
#[divan::bench]
fn count_requests_with_features(bencher: Bencher<'_, '_>) {
    const POINTERS: [&str; 10] = ["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i", "/j"];
    const TEXTS: [&str; 16] = [
        "UA", "AA", "B6", "DL", "EV", "MQ", "US", "WN", "VX", "FL", "AS", "9E", "F9", "YV", "HA",
        "OO",
    ];
    bencher
        .counter(ItemsCount::new(10_000_u32))
        .with_inputs(|| fastrand::Rng::with_seed(1))
        .bench_values(|mut random| {
            let mut features = Features::new(POINTERS, 1);
            for _ in 0..10_000 {
                let feature = |at: usize| match at % 2 {
                    0 => Feature::Number(random.f64()),
                    _ => Feature::Text(TEXTS[random.usize(..TEXTS.len())]),
                };
                features.push((0..POINTERS.len()).map(feature));
            }
            features
        });
}

#[divan::bench]
fn write_a_minute(bencher: Bencher<'_, '_>) {
    let minute = minute(1);
    bencher.bench(|| to_bytes(black_box(&minute)));
}

/// What a reader does for the last 24 hours of one model.
#[divan::bench]
fn read_and_merge_a_day(bencher: Bencher<'_, '_>) {
    let minutes: Vec<Vec<u8>> = (0..1_440).map(|seed| to_bytes(&minute(seed)).unwrap()).collect();
    bencher
        .counter(ItemsCount::new(minutes.len()))
        .bench(|| merged::<Window>(black_box(&minutes)).unwrap());
}

#[divan::bench]
fn drift_of_a_day(bencher: Bencher<'_, '_>) {
    let day = |first: u64| {
        let mut day = minute(first);
        (1..1_440).for_each(|seed| day.merge(&minute(first + seed)));
        day
    };
    let (baseline, recent) = (day(0), day(10_000));
    bencher.bench(|| drift::numbers(black_box(baseline.values()), black_box(recent.values())));
}

#[divan::bench]
fn judge_an_arm(bencher: Bencher<'_, '_>) {
    let plan = serde_json::json!({
        "name": "gbt", "steps": [0.05, 0.25, 1.0],
        "schedule": { "choices": [{ "model": "gbt@2" }], "deadline_ms": 800 },
        "guard": { "hold_minutes": 10, "fallback_rate": 0.01, "p99_ms": 150, "disagreement": 0.2, "loss": 0.02 },
    });
    let plan: ArmPlan = serde_json::from_value(plan).unwrap();
    let (mut decisions, mut pair) = (Decisions::default(), Pair::new(0.5));
    for _ in 0..6_000 {
        decisions.push(Kind::Champion, Reason::Preferred, Duration::from_millis(20), false, true);
        pair.push(Some(0.2), Some(0.3));
        pair.outcome(Some(0.2), Some(0.3), 1.0);
    }
    let began = Timestamp::from_micros(0);
    let now = began + Duration::from_hours(1);
    bencher.bench(|| {
        let since = Since { began, arm: &decisions, main: &decisions, pair: Some(&pair) };
        judge(&plan.guard.unwrap(), black_box(&plan), now, &since)
    });
}
