//! What scikit-learn, `LightGBM`, `XGBoost` and `PyTorch` export, compared with their own scores for the same
//! requests.
//!
//! `exports/make.py` and `exports/make_torch.py` write the files. To compare the times, with an optimised build:
//!
//!     cargo test --release -p rendezvous-onnx --test onnx exports -- --ignored --nocapture
//!     venv/bin/python functions/models/onnx/tests/exports/onnxruntime_times.py

use std::{
    fs,
    path::{Path, PathBuf},
};

use rendezvous_core::{Failure, Json};
use rendezvous_model::Model;
use rendezvous_onnx::{OnnxModel, cards, on_compute_thread};
use serde_json::{Map, Value};

/// The largest difference between scores; of large ones it is relative, since tensors are of f32.
const TOLERANCE: f64 = 1e-5;

fn exports() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "exports"].iter().collect()
}

fn lines(name: &str) -> Vec<String> {
    let bytes = fs::read(exports().join(format!("{name}.ndjson.zst"))).unwrap();
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The payloads that a card's scores are of.
fn payloads(card: &Path) -> Vec<Json> {
    let card: Value = serde_json::from_str(&fs::read_to_string(card).unwrap()).unwrap();
    let name = card["provenance"]["payloads"].as_str().unwrap();
    lines(name).iter().map(|line| Json::parse(line).unwrap()).collect()
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

/// How far a score is from the expected one. Labels are equal, or it is infinite. If `null` is expected,
/// the request must fail.
fn difference(score: &Result<Json, Failure>, expected: &str) -> f64 {
    let score = match score {
        Ok(score) if expected != "null" => score.as_str(),
        Err(failure) if expected == "null" => {
            assert!(failure.message.contains("a value is none of its categories"), "{failure:?}");
            return 0.0;
        }
        _ => return f64::INFINITY,
    };
    let (score, expected) = (object(score), object(expected));
    assert!(score.keys().eq(expected.keys()), "{score:?}");
    let pairs = expected.iter().zip(score.values());
    pairs.fold(0.0, |largest, ((_, expected), score)| {
        let off = match (expected.as_f64(), score.as_f64()) {
            (Some(expected), Some(score)) if expected.fract() != 0.0 => {
                (score - expected).abs() / expected.abs().max(1.0)
            }
            _ if score.as_f64() == expected.as_f64() && score.as_str() == expected.as_str() => 0.0,
            (Some(expected), Some(score)) => (score - expected).abs() / expected.abs().max(1.0),
            _ => f64::INFINITY,
        };
        off.max(largest)
    })
}

/// The scores of a model in batches of a size.
async fn scores(model: &OnnxModel, payloads: &[Json], size: usize) -> Vec<Result<Json, Failure>> {
    let mut scores = Vec::new();
    for batch in payloads.chunks(size) {
        scores.extend(model.score(batch).await);
    }
    scores
}

#[tokio::test]
async fn every_export_agrees_with_the_library_that_trained_it() {
    let cards = cards(&exports()).unwrap();
    assert_eq!(cards.len(), 23);
    for card in cards {
        let name = card.file_stem().unwrap().to_str().unwrap().to_owned();
        let model = OnnxModel::load(&card).await.unwrap();
        let (payloads, expected) = (payloads(&card), lines(&name));
        assert_eq!((payloads.len(), expected.len()), (1_000, 1_000));
        assert!(model.largest_batch() > 1, "{name} takes one row at a time");
        // Batches of any size and single requests.
        for size in [173, 1] {
            let scores = scores(&model, &payloads, size).await;
            for (i, (score, expected)) in scores.iter().zip(&expected).enumerate() {
                let off = difference(score, expected);
                assert!(off <= TOLERANCE, "{name}, row {i}: {score:?} instead of {expected}");
            }
        }
    }
}

#[test]
#[ignore = "prints times, which depend on the machine"]
fn times() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    println!(
        "| model | largest difference | one row, µs | of a hundred, µs a row |\n| --- | --- | --- | --- |"
    );
    for card in cards(&exports()).unwrap() {
        let name = card.file_stem().unwrap().to_str().unwrap().to_owned();
        // As the functions run it: on a thread on which a quick graph runs in place.
        let (off, one, hundred) = on_compute_thread(|| {
            runtime.block_on(async {
                let (payloads, expected) = (payloads(&card), lines(&name));
                let model = OnnxModel::load(&card).await.unwrap();
                let scores = scores(&model, &payloads, 100).await;
                let off = scores.iter().zip(&expected).map(|(a, b)| difference(a, b));
                let off = off.fold(0.0, f64::max);
                (off, time(&model, &payloads, 1).await, time(&model, &payloads, 100).await)
            })
        });
        println!("| {name} | {off:.1e} | {one:.1} | {hundred:.2} |");
    }
}

/// The median time of a row in batches of a size, in microseconds: from payload to score, both as JSON.
#[expect(clippy::disallowed_methods, reason = "the true time")]
async fn time(model: &OnnxModel, payloads: &[Json], size: usize) -> f64 {
    let mut times = Vec::new();
    for _ in 0..5 {
        for batch in payloads.chunks(size) {
            let start = std::time::Instant::now();
            let scores = model.score(batch).await;
            times.push(start.elapsed().as_secs_f64() * 1e6 / scores.len() as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
