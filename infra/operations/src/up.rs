//! Which models are up, and whether a configuration can rely on them.

use std::collections::{BTreeMap, BTreeSet};

use rendezvous_core::{Configuration, EndpointName, ModelId, Timestamp};
use rendezvous_folder::{DataFolder, ModelUp};
use serde::Serialize;

use crate::failure::Failure;

/// The models that a system has.
pub type Up = BTreeMap<ModelId, Model>;

/// A model that is up, or on a stack one whose event source mapping is not enabled.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// On a stack, when its function or its event source mapping was changed last.
    pub since: Option<Timestamp>,
    /// The endpoints whose requests it receives; `None` stands for all.
    pub endpoints: Option<BTreeSet<EndpointName>>,
    /// On a stack.
    pub function: Option<Function>,
}

/// The Lambda function of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Function {
    pub name: String,
    /// SHA-256 of its package, in Base64 as Lambda writes it.
    pub package: String,
    #[serde(rename = "modified_us")]
    pub modified: Option<Timestamp>,
    /// The state of the event source mapping from the stream `input`, `Enabled` when all is well, and
    /// the mapping's id.
    pub mapping: String,
    pub mapping_id: String,
    pub last_batch: String,
}

impl Model {
    /// Whether it receives requests.
    pub fn is_up(&self) -> bool {
        self.function.as_ref().is_none_or(|function| function.mapping == "Enabled")
    }
}

/// The models that the local system of a data folder has up.
pub fn read(folder: &DataFolder) -> Result<Up, String> {
    match folder.models_up() {
        Ok(Some(up)) => {
            let known = |ModelUp { since, endpoints }| Model {
                since: Some(since),
                endpoints: Some(endpoints),
                function: None,
            };
            Ok(up.into_iter().map(|(model, up)| (model, known(up))).collect())
        }
        Ok(None) => Err("no server serves this folder".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What will not work of a configuration.
pub fn warnings(
    up: &Result<Up, String>,
    endpoint: &EndpointName,
    configuration: &Configuration,
) -> Vec<String> {
    match up {
        Err(why) => vec![format!("it is not known which models are up: {why}")],
        Ok(up) => configuration.models().filter_map(|model| warning(up, endpoint, model)).collect(),
    }
}

/// Fails when a model that is to answer is not up.
pub fn require(up: &Up, endpoint: &EndpointName, model: &ModelId) -> Result<(), Failure> {
    warning(up, endpoint, model).map_or(Ok(()), |why| Err(Failure::Refused(why)))
}

/// What will not work of a model that the configuration of an endpoint lists.
pub fn warning(up: &Up, endpoint: &EndpointName, model: &ModelId) -> Option<String> {
    let Some(known) = up.get(model).filter(|known| known.is_up()) else {
        return Some(format!("{model} is not up: it will not answer"));
    };
    match &known.endpoints {
        Some(names) if !names.contains(endpoint) => Some(format!(
            "{model} does not receive the requests of {endpoint}: its card does not name the endpoint"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_not_up_or_does_not_serve_the_endpoint_is_named() {
        let text = r#"{"schedule":{"choices":[{"model":"a@1"},{"model":"b@1","after_ms":9},
            {"model":"c@1","after_ms":9},{"model":"d@1","after_ms":9}],"deadline_ms":100}}"#;
        let configuration = Configuration::parse(text).unwrap();
        let (e, f): (EndpointName, EndpointName) = ("e".parse().unwrap(), "f".parse().unwrap());
        let up: Up =
            [("a@1", Some(vec![e.clone(), f.clone()])), ("b@1", Some(vec![f])), ("d@1", None)]
                .into_iter()
                .map(|(model, names)| {
                    let endpoints = names.map(BTreeSet::from_iter);
                    (model.parse().unwrap(), Model { endpoints, ..Model::default() })
                })
                .collect();
        let warnings = warnings(&Ok(up.clone()), &e, &configuration);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("b@1 does not receive the requests of e"), "{warnings:?}");
        assert_eq!(warnings[1], "c@1 is not up: it will not answer");
        assert_eq!(require(&up, &e, &"c@1".parse().unwrap()).unwrap_err().code(), 3);
        require(&up, &e, &"d@1".parse().unwrap()).unwrap();
        let unknown = super::warnings(&Err("why".to_owned()), &e, &configuration);
        assert_eq!(unknown, ["it is not known which models are up: why"]);
    }
}
