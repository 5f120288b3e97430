//! Sketches and drift on real values: a year of flights, and the scores of five models on 1,000 of them.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
};

use rendezvous_evidence::{
    Confidence, Sketch,
    drift::{feature, numbers},
    window::{Feature, Features, Merge},
};
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../functions/models/flights", name].iter().collect()
}

const POINTERS: [&str; 3] = ["/distance", "/weather/temp", "/carrier"];

/// The features of each month, merged from days.
fn months() -> BTreeMap<String, Features> {
    let sample = fs::File::open(file("sample.ndjson.zst")).unwrap();
    let mut days: BTreeMap<String, Features> = BTreeMap::new();
    for line in BufReader::new(zstd::Decoder::new(sample).unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let day = &line["at"].as_str().unwrap()[..10];
        let seed = days.len() as u64;
        let features = days.entry(day.to_owned()).or_insert_with(|| Features::new(POINTERS, seed));
        features.push(POINTERS.map(|pointer| match line["payload"].pointer(pointer) {
            Some(Value::Number(number)) => Feature::Number(number.as_f64().unwrap()),
            Some(Value::String(text)) => Feature::Text(text),
            _ => Feature::Missing,
        }));
    }
    let mut months: BTreeMap<String, Features> = BTreeMap::new();
    for (day, features) in days {
        let month = months.entry(day[..7].to_owned()).or_default();
        month.merge(&features);
    }
    months
}

#[test]
fn the_weather_drifts_with_the_seasons_and_the_airlines_do_not() {
    let months = months();
    assert_eq!(months.values().map(Features::requests).sum::<u64>(), 168_388);
    let of = |from: &str, to: &str, pointer: &str| {
        feature(months[from].get(pointer).unwrap(), months[to].get(pointer).unwrap())
    };
    // Of all values, computed in Python: distance and index.
    for (from, to, distance, index) in [
        ("2013-01", "2013-02", 0.1396, 0.4312),
        ("2013-02", "2013-12", 0.1933, 0.3670),
        ("2013-06", "2013-07", 0.3887, 1.1483),
        ("2013-01", "2013-05", 0.8908, 7.3779),
    ] {
        let drift = of(from, to, "/weather/temp").numbers.unwrap();
        assert!(drift.is_drift() && (drift.distance - distance).abs() < 0.02, "{drift:?}");
        assert!((drift.index - index).abs() < 0.03 + 0.05 * index, "{drift:?}");
    }
    let distance = of("2013-01", "2013-05", "/distance").numbers.unwrap();
    assert!(!distance.is_drift(), "{distance:?}");
    let carrier = of("2013-01", "2013-05", "/carrier");
    assert!(!carrier.texts.unwrap().is_drift() && carrier.numbers.is_none(), "{carrier:?}");
}

fn exact_distance(first: &[f64], second: &[f64]) -> f64 {
    let up_to = |values: &[f64], x: f64| {
        values.iter().filter(|value| **value <= x).count() as f64 / values.len() as f64
    };
    let differences =
        first.iter().chain(second).map(|x| (up_to(first, *x) - up_to(second, *x)).abs());
    differences.fold(0.0, f64::max)
}

#[test]
fn distances_of_real_scores_are_exact_up_to_the_rank_errors() {
    let scores = fs::read_to_string(file("expected.csv")).unwrap();
    let mut columns = vec![Vec::new(); 5];
    for line in scores.lines().skip(1) {
        for (column, value) in columns.iter_mut().zip(line.split(',').skip(1)) {
            #[expect(clippy::cast_possible_truncation, reason = "as values are kept")]
            column.push(f64::from(value.parse::<f64>().unwrap() as f32));
        }
    }
    let sketch = |seed: usize| {
        let mut sketch = Sketch::new(seed as u64);
        for value in &columns[seed] {
            sketch.push(*value);
        }
        sketch
    };
    for first in 0..5 {
        for second in 0..5 {
            let (one, two) = (sketch(first), sketch(second));
            let off = one.rank_error(Confidence::DEFAULT) + two.rank_error(Confidence::DEFAULT);
            let exact = exact_distance(&columns[first], &columns[second]);
            let distance = numbers(&one, &two).unwrap().distance;
            assert!((distance - exact).abs() <= off && off < 0.03, "{distance} {exact} {off}");
        }
    }
}
