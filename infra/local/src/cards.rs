//! Models from a folder of cards. A card that is saved while the system runs brings its model up.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use rendezvous_core::ModelId;
use rendezvous_onnx::{Card, LoadError, OnnxModel};

use crate::folder::{Differing, JsonFolder, Look, look};

/// A folder of model cards with their ONNX files.
pub(crate) struct Cards {
    folder: JsonFolder,
    /// The models that are up.
    up: BTreeMap<ModelId, Card>,
    /// The model of each file whose card was taken.
    models: BTreeMap<PathBuf, ModelId>,
    /// The ONNX files of cards whose model could not be loaded. It is tried again when they differ.
    failed: BTreeMap<PathBuf, (PathBuf, Look)>,
}

/// What became of a file.
pub(crate) enum CardChange {
    /// The model is loaded and has to be brought up.
    Loaded(Box<OnnxModel>),
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
    pub(crate) fn up(&self) -> &BTreeMap<ModelId, Card> {
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
                Ok(model) => CardChange::Loaded(Box::new(model)),
                Err(why) => CardChange::Skipped { file: name, why },
            });
        }
        Ok(changes)
    }

    /// Loads the model of a card, or says why it is not brought up.
    async fn load(&mut self, file: &Path) -> Result<OnnxModel, String> {
        self.failed.remove(file);
        let card = Card::read(file).map_err(why)?;
        let other =
            self.models.iter().find(|(other, model)| **model == card.model && *other != file);
        if let Some((other, model)) = other {
            let other = JsonFolder::name(other);
            return Err(format!(
                "{model} is also the model of {other}, which stays: a model id may be on one card only"
            ));
        }
        if self.up.contains_key(&card.model) {
            let model = &card.model;
            return Err(format!(
                "{model} is up already and stays as it was loaded: give the changed model another \
                 version, or restart"
            ));
        }
        let onnx = file.with_file_name(&card.onnx);
        let seen = look(&onnx);
        let model = match OnnxModel::load(file).await {
            Ok(model) => model,
            Err(error) => {
                self.failed.insert(file.to_owned(), (onnx, seen));
                return Err(why(error));
            }
        };
        self.models.insert(file.to_owned(), card.model.clone());
        self.up.insert(card.model, model.card().clone());
        Ok(model)
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
mod tests {
    use std::fs;

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
            CardChange::Loaded(model) => format!("{} is loaded", model.card().model),
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
