//! The committed flights models, compared with scikit-learn's predictions for the same requests.

use std::{collections::HashMap, fs, path::PathBuf};

use rendezvous_core::Json;
use rendezvous_model::Model;
use rendezvous_onnx::{OnnxModel, cards};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-5;

fn flights() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "flights"].iter().collect()
}

#[derive(Deserialize)]
struct Line {
    payload: Box<serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Score {
    delay_probability: f64,
}

fn sample() -> Vec<String> {
    let sample = fs::read(flights().join("sample.ndjson.zst")).unwrap();
    let sample = zstd::decode_all(&sample[..]).unwrap();
    String::from_utf8(sample).unwrap().lines().map(str::to_owned).collect()
}

fn payload(line: &str) -> Json {
    let line: Line = serde_json::from_str(line).unwrap();
    Json::parse(line.payload.get()).unwrap()
}

/// For each model, lines of the sample and scikit-learn's predictions for them.
fn expected() -> HashMap<String, Vec<(usize, f64)>> {
    let csv = fs::read_to_string(flights().join("expected.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(','));
    let models: Vec<&str> = lines.next().unwrap().skip(1).collect();
    let mut expected: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
    for mut row in lines {
        let line = row.next().unwrap().parse().unwrap();
        for (model, score) in models.iter().zip(row) {
            let scores = expected.entry((*model).to_owned()).or_default();
            scores.push((line, score.parse().unwrap()));
        }
    }
    expected
}

fn number(score: &Json) -> f64 {
    serde_json::from_str::<Score>(score.as_str()).unwrap().delay_probability
}

#[tokio::test]
async fn a_model_names_the_hash_of_its_file() {
    let model = OnnxModel::load(&flights().join("prior.json")).await.unwrap();
    let expected = format!("sha256:{}", model.card().provenance.sha256);
    assert_eq!(model.artifact().unwrap().as_str(), expected);
}

#[tokio::test]
async fn every_model_agrees_with_scikit_learn() {
    let (sample, mut expected) = (sample(), expected());
    let cards = cards(&flights()).unwrap();
    assert_eq!(cards.len(), 5);
    for card in cards {
        let model = OnnxModel::load(&card).await.unwrap();
        let id = model.profile().id.as_str().to_owned();
        let expected = expected.remove(&id).unwrap();
        assert_eq!(expected.len(), 1_000);
        let asked: Vec<Json> = expected.iter().map(|(line, _)| payload(&sample[*line])).collect();
        // Batches of any size give the same scores as single requests.
        for size in [173, 1] {
            let mut scores = Vec::new();
            for batch in asked.chunks(size) {
                scores.extend(model.score(batch).await);
            }
            for ((line, expected), score) in expected.iter().zip(scores) {
                let off = (number(&score.unwrap()) - expected).abs();
                assert!(off <= TOLERANCE, "{id}, line {line} of the sample: {off} off");
            }
        }
    }
    assert!(expected.is_empty(), "expected scores of models without a card");
}

#[tokio::test]
async fn one_payload_that_does_not_fit_fails_alone() {
    let model = OnnxModel::load(&flights().join("gbt.json")).await.unwrap();
    let good = payload(&sample()[0]);
    let bad = Json::parse(r#"{"hour":99}"#).unwrap();
    let alone = model.score(std::slice::from_ref(&good)).await.remove(0).unwrap();
    let together = model.score(&[bad.clone(), good.clone(), bad]).await;
    assert!(together[0].is_err() && together[2].is_err());
    assert_eq!(together[1].as_ref().unwrap(), &alone);
}

#[tokio::test]
async fn a_file_with_another_hash_than_the_cards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("prior.json");
    fs::copy(flights().join("prior.json"), &card).unwrap();
    fs::copy(flights().join("timetable.onnx"), folder.path().join("prior.onnx")).unwrap();
    let error = OnnxModel::load(&card).await.err().unwrap().to_string();
    assert!(error.contains("sha256") && error.contains("prior.onnx"), "{error}");
}
