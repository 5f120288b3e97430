//! A model given by two files, an ONNX graph and a model card. A new model needs no code.
//!
//! A batch of requests becomes one tensor `[N, columns]` per input of the graph, at about a tenth of the
//! cost of one tensor per request. A graph that takes one row only is called once per request. Standard
//! operators are run by `rten`, those of `ai.onnx.ml` here.

#[cfg(feature = "aws")]
pub mod aws;
mod binding;
mod card;
mod engine;
mod fields;
mod graph;
mod input;
mod output;
mod row;
mod workers;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rendezvous_core::{Artifact, Failure, FailureKind, Invalid, Json, Sha256Digest};
use rendezvous_model::{Model, Profile};

use crate::{
    engine::Engine,
    graph::{File, Port, Texts},
    output::Scores,
    row::Rows,
    workers::Workers,
};

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
    artifact: Artifact,
    rows: Rows,
    engine: Engine,
    scores: Scores,
    texts: Arc<Texts>,
    largest_batch: usize,
}

impl OnnxModel {
    /// Loads the model of a card from the file beside it.
    pub async fn load(card_path: &Path) -> Result<Self, LoadError> {
        let card = Card::read(card_path)?;
        let path = card_path.with_file_name(&card.onnx);
        let bytes =
            fs::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let wrong = |invalid: Invalid| LoadError::Onnx { path, what: invalid.to_string() };
        Self::from_bytes(card, bytes).await.map_err(wrong)
    }

    /// The model of a card and the content of its ONNX file: checks the file's hash, compares the file
    /// with the card, and scores sample rows to find out how many rows the graph takes.
    pub async fn from_bytes(card: Card, bytes: Vec<u8>) -> Result<Self, Invalid> {
        let sha256 = Sha256Digest::of(&bytes).to_string();
        if sha256 != card.provenance.sha256 {
            let expected = &card.provenance.sha256;
            return Err(Invalid::new(format!("sha256 is {sha256}, but the card says {expected}")));
        }
        let artifact = format!("sha256:{sha256}").parse()?;
        Self::of(card, artifact, bytes).await.map_err(Invalid::new)
    }

    async fn of(card: Card, artifact: Artifact, bytes: Vec<u8>) -> Result<Self, String> {
        let ends = !may_loop(&bytes);
        let file = File::read(bytes)?;
        let declared = declared_rows(file.inputs())?;
        let (of, kinds) = binding::bind(&card.inputs, file.inputs())?;
        let mut scores = Scores::new(card.outputs(), file.outputs())?;
        let graph = file.graph(scores.wanted())?;
        let texts = graph.texts().clone();
        let rows = Rows::new(&card.inputs, &of, &kinds, &texts);
        let engine = Engine::new(graph, ends, Workers::shared());
        let largest_batch = largest_batch(&card, declared, &rows, &engine, &mut scores).await?;
        let profile = card.profile();
        Ok(Self { card, profile, artifact, rows, engine, scores, texts, largest_batch })
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The scores of one call of the graph, or why it failed.
    async fn score_together(
        &self,
        payloads: &[Json],
    ) -> Result<Vec<Result<Json, Failure>>, String> {
        let mut batch = self.rows.batch(payloads.len());
        let mut found = Vec::new();
        let read = payloads.iter().map(|payload| self.rows.push(payload, &mut found, &mut batch));
        let read: Vec<Result<(), Failure>> = read.collect();
        let tables = match batch.rows {
            0 => Vec::new(),
            _ => self.engine.run(batch).await?,
        };
        let mut row = 0;
        let score = |read: Result<(), Failure>| {
            read?;
            row += 1;
            self.scores.score(row - 1, &tables, &self.texts)
        };
        Ok(read.into_iter().map(score).collect())
    }
}

impl Model for OnnxModel {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.largest_batch
    }

    /// The hash of the ONNX file.
    fn artifact(&self) -> Option<Artifact> {
        Some(self.artifact.clone())
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let what = match self.score_together(payloads).await {
            Ok(scores) => return scores,
            Err(what) => what,
        };
        if payloads.len() == 1 {
            return vec![Err(Failure::new(FailureKind::Failed, what))];
        }
        // One request can make the graph fail, for example by a category that it refuses. The others must
        // not fail with it.
        let mut scores = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let alone = self.score_together(std::slice::from_ref(payload)).await;
            let failed = |what| vec![Err(Failure::new(FailureKind::Failed, what))];
            scores.extend(alone.unwrap_or_else(failed));
        }
        scores
    }
}

/// Whether a file can hold a loop. The name of an operator is text in an ONNX file; the same text
/// elsewhere only means that the graph is never run in place.
fn may_loop(onnx: &[u8]) -> bool {
    let contains = |name: &[u8]| onnx.windows(name.len()).any(|window| window == name);
    contains(b"Loop") || contains(b"Scan")
}

/// How many rows the graph's inputs have, when the file fixes their number: 1, or an error.
fn declared_rows(inputs: &[Port]) -> Result<Option<usize>, String> {
    let declared = inputs.iter().find_map(|port| *port.shape.as_ref()?.first()?);
    match declared {
        None | Some(1) => Ok(declared),
        Some(rows) => Err(format!(
            "the input has a fixed first dimension of {rows}, but batches have any number of rows: \
             export the model with a dynamic first dimension, or with 1 to score one request per call"
        )),
    }
}

/// The most rows that the graph takes at a time, found out with sample rows: a file can leave the
/// number of rows open and the graph still work with one row only. The first sample shows how many
/// columns the outputs have, too.
async fn largest_batch(
    card: &Card,
    declared: Option<usize>,
    rows: &Rows,
    engine: &Engine,
    scores: &mut Scores,
) -> Result<usize, String> {
    let outputs = engine.run(rows.sample(1)).await.map_err(|error| {
        let entries = card.inputs.len();
        format!("the graph cannot score one row of the card's {entries} inputs: {error}")
    })?;
    scores.find_columns(&outputs)?;
    if declared.is_some() {
        return Ok(1);
    }
    match engine.run(rows.sample(2)).await {
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
