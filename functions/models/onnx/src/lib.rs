//! A model given by two files, an ONNX graph and a model card: no code is needed to add one.
//!
//! The graph takes one tensor `[N, columns]` of `f32` and gives one `[N, outputs]`. A batch of
//! requests is one such tensor, which costs a tenth of scoring row by row.

mod card;

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rendezvous_core::{Failure, FailureKind, Invalid, Json};
use rendezvous_model::{Model, Profile};
use rten::{RunOptions, ThreadPool};
use rten_tensor::{AsView, Layout, NdTensor, NdTensorView};
use sha2::{Digest, Sha256};

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
    graph: rten::Model,
    /// A pool of one thread: requests run beside each other, not the parts of a small graph.
    pool: Arc<ThreadPool>,
    options: RunOptions,
}

impl OnnxModel {
    /// Loads the model of a card: checks the ONNX file's hash and scores a sample row.
    pub fn load(card_path: &Path) -> Result<Self, LoadError> {
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
        let pool = Arc::new(ThreadPool::with_num_threads(1));
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let model = Self { profile: card.profile(), card, graph, pool, options };
        model.run(1, model.card.sample_row()).map_err(wrong_file)?;
        Ok(model)
    }

    /// Does `work` on the thread of the model's graph, and waits for it.
    ///
    /// The graph runs on a thread pool. A score that is asked for from any other thread goes there
    /// and back, which costs as much as scoring a row; from here it costs nothing. So whoever runs
    /// a model for long does it here.
    pub fn on_its_thread<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.run(work)
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Runs the graph on rows of the tensor; gives the numbers of its output, or what went wrong.
    fn run(&self, rows: usize, numbers: Vec<f32>) -> Result<Vec<f32>, String> {
        let input = NdTensor::<f32, 2>::from_data([rows, self.card.columns()], numbers);
        let output = self.graph.run_one(input.into(), Some(self.options.clone()));
        let output = output.map_err(|error| error.to_string())?;
        let output: NdTensorView<f32, 2> =
            output.as_view().try_into().map_err(|error| format!("output: {error}"))?;
        let expected = [rows, self.card.outputs().len()];
        if output.shape() != expected {
            return Err(format!("the output is {:?}, not {expected:?}", output.shape()));
        }
        Ok(output.to_vec())
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
        let output = if count == 0 { Ok(Vec::new()) } else { self.run(count, tensor) };
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
