//! Which models the server of a data folder has up.

use std::collections::{BTreeMap, BTreeSet};

use rendezvous_core::{EndpointName, ModelId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    data_folder::DataFolder,
    files::{self, FileError},
};

/// The models that a server has up.
pub type ModelsUp = BTreeMap<ModelId, ModelUp>;

/// A model that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUp {
    #[serde(rename = "since_us")]
    pub since: Timestamp,
    /// The endpoints whose requests it receives.
    pub endpoints: BTreeSet<EndpointName>,
}

impl DataFolder {
    /// The models that the server has up; none where no server serves the folder. A server that was
    /// killed may have left them behind.
    pub fn models_up(&self) -> Result<Option<ModelsUp>, FileError> {
        let path = self.models();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let up = serde_json::from_slice(&text);
        up.map(Some).map_err(|error| FileError::content(&path, error.to_string()))
    }

    /// Writes down which models this server has up.
    pub fn set_models_up(&self, up: &ModelsUp) -> Result<(), FileError> {
        let path = self.models();
        let text = serde_json::to_vec_pretty(up);
        let text = text.map_err(|error| FileError::content(&path, error.to_string()))?;
        files::replace(self.root(), &path, &text)
    }

    /// Says that this server ends.
    pub fn no_models_up(&self) -> Result<(), FileError> {
        files::remove(&self.models())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_are_read_as_they_were_written_and_none_once_the_server_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        assert_eq!(folder.models_up().unwrap(), None);
        let endpoints: BTreeSet<EndpointName> = ["e".parse().unwrap()].into();
        let model = ModelUp { since: Timestamp::from_micros(7), endpoints };
        let up: ModelsUp = [("a@1".parse().unwrap(), model)].into();
        folder.set_models_up(&up).unwrap();
        assert_eq!(folder.models_up().unwrap(), Some(up));
        folder.no_models_up().unwrap();
        folder.no_models_up().unwrap();
        assert_eq!(folder.models_up().unwrap(), None);
        std::fs::write(folder.models(), "{").unwrap();
        assert!(folder.models_up().unwrap_err().to_string().contains("models.json"));
    }
}
