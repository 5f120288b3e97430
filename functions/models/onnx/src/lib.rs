//! A model given by two files, an ONNX graph and a model card: no code is needed to add one.
//!
//! The graph takes one tensor `[N, columns]` of `f32` and gives one `[N, outputs]`. A batch of
//! requests is one such tensor, which costs a tenth of scoring row by row.

mod card;
mod engine;

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use rendezvous_core::{Failure, FailureKind, Invalid, Json};
use rendezvous_model::{Model, Profile};
use sha2::{Digest, Sha256};

use crate::engine::Engine;

pub use card::{Card, Provenance};

/// The most rows of one tensor. Larger ones are no cheaper a row.
const LARGEST_BATCH: usize = 256;

/// A model that cannot be loaded, and why.
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
    engine: Engine,
}

impl OnnxModel {
    /// Loads the model of a card: checks the ONNX file's hash and scores a sample row.
    pub async fn load(card_path: &Path) -> Result<Self, LoadError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
        };
        let wrong_card = |source| LoadError::Card { path: card_path.to_owned(), source };
        let text = String::from_utf8(read(card_path)?)
            .map_err(|_| wrong_card(Invalid::new("the card is not UTF-8")))?;
        let card = Card::parse(&text).map_err(wrong_card)?;

        let path = card_path.with_file_name(&card.onnx);
        let bytes = read(&path)?;
        let wrong_file = |what: String| LoadError::Onnx { path: path.clone(), what };
        let sha256 = hex(&Sha256::digest(&bytes));
        if sha256 != card.provenance.sha256 {
            let expected = &card.provenance.sha256;
            return Err(wrong_file(format!("sha256 is {sha256}, but the card says {expected}")));
        }
        let graph = rten::Model::load(bytes).map_err(|error| wrong_file(error.to_string()))?;
        let engine = Engine::start(graph, card.columns(), card.outputs().len())
            .map_err(|error| wrong_file(error.to_string()))?;
        engine.run(1, card.sample_row()).await.map_err(wrong_file)?;
        Ok(Self { profile: card.profile(), card, engine })
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The JSON of one row of the output.
    fn score(&self, row: &[f32]) -> Result<Json, Failure> {
        let failed = |what: &dyn std::fmt::Display| Failure::new(FailureKind::Failed, what);
        let mut text = String::with_capacity(48);
        for (name, number) in self.card.outputs().iter().zip(row) {
            if !number.is_finite() {
                return Err(failed(&format_args!("{name} is not a finite number")));
            }
            text.push(if text.is_empty() { '{' } else { ',' });
            let entry = (serde_json::to_string(name), serde_json::to_string(number));
            let (Ok(name), Ok(number)) = entry else {
                return Err(failed(&"the score cannot be written"));
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
        LARGEST_BATCH
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let mut tensor = Vec::with_capacity(payloads.len() * self.card.columns());
        let read: Vec<Result<(), Failure>> =
            payloads.iter().map(|payload| self.card.push_row(payload, &mut tensor)).collect();
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The model cards in a folder: every `.json` file, in the order of their names.
pub fn cards(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut cards = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            cards.push(path);
        }
    }
    cards.sort();
    Ok(cards)
}
