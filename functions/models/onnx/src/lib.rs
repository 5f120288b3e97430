//! A model given by two files, an ONNX graph and a model card. A new model needs no code.
//!
//! The graph takes one tensor `[N, columns]` of `f32` and returns one of `[N, outputs]`. A batch of
//! requests becomes one such tensor, at about a tenth of the cost of one tensor per request. A graph
//! that takes one row only is called once per request.

mod card;
mod engine;
mod input;
mod row;
mod workers;

use std::{
    fmt::{Display, Write},
    fs, io,
    path::{Path, PathBuf},
};

use rendezvous_core::{Failure, FailureKind, Invalid, Json};
use rendezvous_model::{Model, Profile};
use rten::Dimension;
use sha2::{Digest, Sha256};

use crate::{engine::Engine, input::sample_row, row::Rows, workers::Workers};

pub use {
    card::{Card, Provenance, cards, sample_payload},
    workers::{Compute, on_compute_thread},
};

/// The most rows of one tensor. Larger tensors cost no less per row.
const LARGEST_BATCH: usize = 256;

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Card { path: PathBuf, source: Invalid },
    #[error("{}: {what}", path.display())]
    Onnx { path: PathBuf, what: String },
}

/// An ONNX model and its card, loaded and tried.
pub struct OnnxModel {
    card: Card,
    profile: Profile,
    rows: Rows,
    engine: Engine,
    largest_batch: usize,
}

impl OnnxModel {
    /// Loads the model of a card: checks the ONNX file's hash, and scores sample rows to find out
    /// how many rows the graph takes.
    pub async fn load(card_path: &Path) -> Result<Self, LoadError> {
        let card = Card::read(card_path)?;
        let path = card_path.with_file_name(&card.onnx);
        let bytes =
            fs::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let wrong_file = |what: String| LoadError::Onnx { path: path.clone(), what };
        let sha256 = hex(&Sha256::digest(&bytes));
        if sha256 != card.provenance.sha256 {
            let expected = &card.provenance.sha256;
            return Err(wrong_file(format!("sha256 is {sha256}, but the card says {expected}")));
        }
        let ends = !may_loop(&bytes);
        let graph = rten::Model::load(bytes).map_err(|error| wrong_file(error.to_string()))?;
        let declared = declared_rows(&graph);
        let (columns, outputs) = (card.inputs.len(), card.outputs().len());
        let engine = Engine::new(graph, ends, columns, outputs, Workers::shared());
        let largest_batch = largest_batch(&card, declared, &engine).await.map_err(wrong_file)?;
        let rows = Rows::new(card.inputs.clone());
        Ok(Self { profile: card.profile(), card, rows, engine, largest_batch })
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The JSON of one row of the output.
    fn score(&self, row: &[f32]) -> Result<Json, Failure> {
        let failed = |what: &dyn Display| Failure::new(FailureKind::Failed, what);
        let mut text = String::with_capacity(48);
        for (name, number) in self.card.outputs().iter().zip(row) {
            if !number.is_finite() {
                return Err(failed(&format_args!("{name} is not a finite number")));
            }
            text.push(if text.is_empty() { '{' } else { ',' });
            let entry = (serde_json::to_string(name), serde_json::to_string(number));
            let (Ok(name), Ok(number)) = entry else {
                return Err(failed(&"the score cannot be written as JSON"));
            };
            text = text + &name + ":" + &number;
        }
        text.push('}');
        Json::parse(&text).map_err(|invalid| failed(&invalid))
    }
}

impl Model for OnnxModel {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.largest_batch
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let mut tensor = Vec::with_capacity(payloads.len() * self.rows.columns());
        let mut found = Vec::new();
        let read = payloads.iter().map(|payload| self.rows.push(payload, &mut found, &mut tensor));
        let read: Vec<Result<(), Failure>> = read.collect();
        let count = read.iter().filter(|read| read.is_ok()).count();
        let output = if count == 0 { Ok(Vec::new()) } else { self.engine.run(count, tensor).await };
        let mut rows = output.as_deref().map(|rows| rows.chunks(self.card.outputs().len()));
        let row = |read: Result<(), Failure>| {
            read?;
            match &mut rows {
                Ok(rows) => self.score(rows.next().unwrap_or_default()),
                Err(what) => Err(Failure::new(FailureKind::Failed, what)),
            }
        };
        read.into_iter().map(row).collect()
    }
}

/// Whether a file can hold a loop. The name of an operator is text in an ONNX file; the same text
/// elsewhere only means that the graph is never run in place.
fn may_loop(onnx: &[u8]) -> bool {
    let contains = |name: &[u8]| onnx.windows(name.len()).any(|window| window == name);
    contains(b"Loop") || contains(b"Scan")
}

/// How many rows the graph's input has, when the file fixes their number.
fn declared_rows(graph: &rten::Model) -> Option<usize> {
    match graph.input_shape(0)?.first()? {
        Dimension::Fixed(rows) => Some(*rows),
        Dimension::Symbolic(_) => None,
    }
}

/// The most rows that the graph takes at a time, found out with sample rows: a file can leave the
/// number of rows open and the graph still work with one row only.
async fn largest_batch(
    card: &Card,
    declared: Option<usize>,
    engine: &Engine,
) -> Result<usize, String> {
    if let Some(rows) = declared
        && rows != 1
    {
        return Err(format!(
            "the input has a fixed first dimension of {rows}, but batches have any number of rows: \
             export the model with a dynamic first dimension, or with 1 to score one request per call"
        ));
    }
    let row = sample_row(&card.inputs);
    engine.run(1, row.clone()).await.map_err(|error| {
        format!("the graph cannot score one row of the card's {} inputs: {error}", row.len())
    })?;
    if declared.is_some() {
        return Ok(1);
    }
    match engine.run(2, row.repeat(2)).await {
        Ok(_) => Ok(LARGEST_BATCH),
        Err(error) => {
            tracing::warn!(
                model = %card.model,
                error,
                "the graph cannot score two rows, so that each request is scored by a call of its own, which is slower"
            );
            Ok(1)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
