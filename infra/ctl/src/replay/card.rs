//! The model of a card in a folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rendezvous_core::{EndpointName, ModelId};
use rendezvous_onnx::cards;
use serde::Deserialize;

use crate::failure::Failure;

/// A card of the model that is wanted.
#[derive(Debug)]
pub struct Found {
    pub file: PathBuf,
    pub text: String,
    pub engine: Engine,
}

/// What runs a model.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    #[default]
    Onnx,
    Function,
    Remote,
}

/// Finds the card of a model, which must be for the endpoint.
pub fn find(folder: &Path, model: &ModelId, endpoint: &EndpointName) -> Result<Found, Failure> {
    #[derive(Deserialize)]
    struct Card {
        model: ModelId,
        endpoints: Vec<EndpointName>,
        #[serde(default)]
        engine: Engine,
    }
    let files =
        cards(folder).map_err(|error| Failure::Usage(format!("{}: {error}", folder.display())))?;
    for file in files {
        // A folder may hold other JSON files than cards.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let Ok(Card { model: of, endpoints, engine }) = serde_json::from_str(&text) else {
            continue;
        };
        if of != *model {
            continue;
        }
        if !endpoints.contains(endpoint) {
            let file = file.display();
            return Err(Failure::Usage(format!("{file}: {model} does not score {endpoint}")));
        }
        return Ok(Found { file, text, engine });
    }
    let folder = folder.display();
    Err(Failure::Usage(format!(
        "{folder}: there is no card of {model}; name its folder with --models"
    )))
}
