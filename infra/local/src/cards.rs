//! Models from a folder of cards. A card that is saved while the system runs brings its model up.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use rendezvous_core::{EndpointName, Invalid, ModelId};
use rendezvous_onnx::{Card, LoadError, OnnxModel, sample_payload};
use rendezvous_remote::{RemoteCard, RemoteModel};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    folder::{Differing, JsonFolder, Look, look},
    function::FunctionCard,
};

/// A folder of model cards with their ONNX files.
pub(crate) struct Cards {
    folder: JsonFolder,
    /// The models that are up.
    up: BTreeMap<ModelId, AnyCard>,
    /// The model of each file whose card was taken.
    models: BTreeMap<PathBuf, ModelId>,
    /// The ONNX files of cards whose model could not be loaded. It is tried again when they differ.
    failed: BTreeMap<PathBuf, (PathBuf, Look)>,
}

/// The card of a model, by the engine that runs it.
#[derive(Clone, Debug)]
pub(crate) enum AnyCard {
    Onnx(Box<Card>),
    Function(Box<FunctionCard>),
    Remote(Box<RemoteCard>),
}

impl AnyCard {
    /// Reads the card in a file.
    fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        Self::parse(&text).map_err(|wrong| wrong.to_string())
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        Ok(match engine(text)? {
            Engine::Onnx => Self::Onnx(Card::parse(text)?.into()),
            Engine::Function => Self::Function(FunctionCard::parse(text)?.into()),
            Engine::Remote => Self::Remote(RemoteCard::parse(text)?.into()),
        })
    }

    /// The sample payload that the card itself gives.
    fn sample(&self) -> Option<&Value> {
        match self {
            Self::Onnx(_) => None,
            Self::Function(card) => card.sample.as_ref(),
            Self::Remote(card) => card.sample.as_ref(),
        }
    }

    pub(crate) fn model(&self) -> &ModelId {
        match self {
            Self::Onnx(card) => &card.model,
            Self::Function(card) => &card.model,
            Self::Remote(card) => &card.model,
        }
    }

    /// The endpoints whose requests the model scores.
    pub(crate) fn endpoints(&self) -> Vec<EndpointName> {
        match self {
            Self::Onnx(card) => card.endpoints.iter().cloned().collect(),
            Self::Function(card) => card.endpoints.iter().cloned().collect(),
            Self::Remote(card) => card.endpoints.iter().cloned().collect(),
        }
    }
}

/// A payload that all these models accept, for people to try.
pub(crate) fn sample<'a>(cards: impl Iterator<Item = &'a AnyCard> + Clone) -> String {
    let onnx = cards.clone().filter_map(|card| match card {
        AnyCard::Onnx(card) => Some(&**card),
        AnyCard::Function(_) | AnyCard::Remote(_) => None,
    });
    let mut payload: Value = sample_payload(onnx).parse().unwrap_or_default();
    for card in cards {
        if let (Some(Value::Object(sample)), Value::Object(all)) = (card.sample(), &mut payload) {
            for (name, value) in sample {
                all.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    payload.to_string()
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Engine {
    #[default]
    Onnx,
    Function,
    Remote,
}

/// Which engine runs the model of a card.
fn engine(text: &str) -> Result<Engine, Invalid> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        engine: Option<Value>,
    }
    let named: Named =
        serde_json::from_str(text).map_err(|error| Invalid::new(error.to_string()))?;
    let Some(name) = named.engine else { return Ok(Engine::default()) };
    Engine::deserialize(&name).map_err(|_| {
        Invalid::new(
            "/engine: must be \"onnx\", which it is without one, \"function\" or \"remote\"",
        )
    })
}

/// A model that is to be brought up.
pub(crate) enum Loaded {
    Onnx(Box<OnnxModel>),
    /// A function, and the folder of its card.
    Function(Box<FunctionCard>, PathBuf),
    Remote(Box<RemoteModel>),
}

/// What became of a file.
pub(crate) enum CardChange {
    /// The model is loaded and has to be brought up.
    Loaded(ModelId, Loaded),
    /// The file changes nothing; why.
    Skipped {
        file: String,
        why: String,
    },
    Deleted {
        file: String,
        model: Option<ModelId>,
    },
}

impl Cards {
    pub(crate) fn new(path: PathBuf) -> Self {
        let folder = JsonFolder::new(path);
        Self { folder, up: BTreeMap::new(), models: BTreeMap::new(), failed: BTreeMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The cards of the models that are up, by model.
    pub(crate) fn up(&self) -> &BTreeMap<ModelId, AnyCard> {
        &self.up
    }

    /// What was saved or deleted since the last call. The caller must bring loaded models up.
    pub(crate) async fn changes(&mut self) -> io::Result<Vec<CardChange>> {
        let Differing { deleted, mut saved } = self.folder.differing()?;
        let again = self.failed.iter().filter(|(_, (onnx, seen))| look(onnx) != *seen);
        saved.extend(again.map(|(card, _)| card.clone()).filter(|card| !deleted.contains(card)));
        saved.sort();
        saved.dedup();
        let mut changes = Vec::new();
        for file in deleted {
            self.failed.remove(&file);
            let model = self.models.remove(&file);
            changes.push(CardChange::Deleted { file: JsonFolder::name(&file), model });
        }
        for file in saved {
            let name = JsonFolder::name(&file);
            changes.push(match self.load(&file).await {
                Ok((model, loaded)) => CardChange::Loaded(model, loaded),
                Err(why) => CardChange::Skipped { file: name, why },
            });
        }
        Ok(changes)
    }

    /// Loads the model of a card, or says why it is not brought up.
    async fn load(&mut self, file: &Path) -> Result<(ModelId, Loaded), String> {
        self.failed.remove(file);
        let card = AnyCard::read(file)?;
        let model = card.model().clone();
        let other = self.models.iter().find(|(other, known)| **known == model && *other != file);
        if let Some((other, model)) = other {
            let other = JsonFolder::name(other);
            return Err(format!(
                "{model} is also the model of {other}, which stays: a model id may be on one card only"
            ));
        }
        if self.up.contains_key(&model) {
            return Err(format!(
                "{model} is up already and stays as it was loaded: give the changed model another \
                 version, or restart"
            ));
        }
        let loaded = match &card {
            AnyCard::Onnx(card) => Loaded::Onnx(Box::new(self.load_onnx(file, card).await?)),
            AnyCard::Remote(card) => {
                let model =
                    RemoteModel::new((**card).clone()).map_err(|wrong| wrong.to_string())?;
                Loaded::Remote(Box::new(model))
            }
            AnyCard::Function(card) => {
                let folder = std::path::absolute(file).map_err(|error| error.to_string())?;
                Loaded::Function(card.clone(), folder.with_file_name(""))
            }
        };
        self.models.insert(file.to_owned(), model.clone());
        self.up.insert(model.clone(), card);
        Ok((model, loaded))
    }

    /// Loads a graph. When that fails, it is tried again once its file has changed.
    async fn load_onnx(&mut self, file: &Path, card: &Card) -> Result<OnnxModel, String> {
        let onnx = file.with_file_name(&card.onnx);
        let seen = look(&onnx);
        OnnxModel::load(file).await.map_err(|error| {
            self.failed.insert(file.to_owned(), (onnx, seen));
            why(error)
        })
    }
}

/// An error without the name of the card, which the line begins with.
fn why(error: LoadError) -> String {
    match error {
        LoadError::Card { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod schema;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Cards) {
        let folder = tempfile::tempdir().unwrap();
        let cards = Cards::new(folder.path().to_owned());
        (folder, cards)
    }

    /// Copies a flights model into the folder, under the id and the file name that are given.
    fn card(folder: &Path, model: &str, file: &str) {
        let flights = crate::flights::folder();
        let text = fs::read_to_string(flights.join("prior.json")).unwrap();
        fs::copy(flights.join("prior.onnx"), folder.join("prior.onnx")).unwrap();
        fs::write(folder.join(file), text.replace("prior@1", model)).unwrap();
    }

    fn told(changes: Vec<CardChange>) -> Vec<String> {
        let tell = |change| match change {
            CardChange::Loaded(model, _) => format!("{model} is loaded"),
            CardChange::Skipped { file, why } => format!("{file}: {why}"),
            CardChange::Deleted { file, model } => format!("{file} of {model:?} is deleted"),
        };
        changes.into_iter().map(tell).collect()
    }

    #[tokio::test]
    async fn a_card_that_is_added_later_is_loaded_once() {
        let (folder, mut cards) = folder();
        card(folder.path(), "a@1", "a.json");
        assert_eq!(told(cards.changes().await.unwrap()), ["a@1 is loaded"]);
        assert!(cards.changes().await.unwrap().is_empty());
        card(folder.path(), "b@1", "b.json");
        let told = told(cards.changes().await.unwrap());
        assert!(told.contains(&"b@1 is loaded".to_owned()), "{told:?}");
        assert_eq!(cards.up().len(), 2);
    }

    #[tokio::test]
    async fn a_card_waits_for_its_onnx_file() {
        let (folder, mut cards) = folder();
        card(folder.path(), "a@1", "a.json");
        let (onnx, away) = (folder.path().join("prior.onnx"), folder.path().join("away"));
        fs::rename(&onnx, &away).unwrap();
        let told_first = told(cards.changes().await.unwrap());
        assert!(told_first[0].contains("prior.onnx") && cards.up().is_empty(), "{told_first:?}");
        fs::rename(&away, &onnx).unwrap();
        assert_eq!(told(cards.changes().await.unwrap()), ["a@1 is loaded"]);
    }

    #[tokio::test]
    async fn what_is_no_card_and_a_second_card_of_a_model_are_named_and_skipped() {
        let (folder, mut cards) = folder();
        card(folder.path(), "a@1", "a.json");
        card(folder.path(), "a@1", "b.json");
        fs::write(folder.path().join("metrics.json"), "{\"auc\": 0.7}").unwrap();
        let told = told(cards.changes().await.unwrap());
        assert_eq!(told[0], "a@1 is loaded");
        assert!(told[1].starts_with("b.json: a@1 is also the model of a.json"), "{told:?}");
        assert!(told[2].starts_with("metrics.json: ") && told[2].contains("auc"), "{told:?}");
    }

    #[tokio::test]
    async fn a_changed_card_and_a_deleted_one_leave_their_model_up() {
        let (folder, mut cards) = folder();
        card(folder.path(), "a@1", "a.json");
        cards.changes().await.unwrap();
        let file = folder.path().join("a.json");
        fs::write(&file, fs::read_to_string(&file).unwrap() + "\n").unwrap();
        let told_change = told(cards.changes().await.unwrap());
        assert!(told_change[0].contains("stays as it was loaded"), "{told_change:?}");
        fs::remove_file(&file).unwrap();
        let told_deletion = told(cards.changes().await.unwrap());
        assert!(told_deletion[0].contains("a@1") && cards.up().len() == 1, "{told_deletion:?}");
    }
}
