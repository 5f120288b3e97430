//! Which models are up, and whether a configuration can rely on them.

use std::collections::{BTreeMap, BTreeSet};

use rendezvous_core::{Configuration, EndpointName, ModelId};
use rendezvous_folder::DataFolder;

use crate::failure::Failure;

/// The models that receive requests, each with the endpoints whose requests it receives; `None` stands
/// for all endpoints.
pub type Up = BTreeMap<ModelId, Option<BTreeSet<EndpointName>>>;

/// The models that the local system of a data folder has up.
pub fn read(folder: &DataFolder) -> Result<Up, String> {
    match folder.models_up() {
        Ok(Some(up)) => {
            Ok(up.into_iter().map(|(model, endpoints)| (model, Some(endpoints))).collect())
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

fn warning(up: &Up, endpoint: &EndpointName, model: &ModelId) -> Option<String> {
    match up.get(model) {
        None => Some(format!("{model} is not up: it will not answer")),
        Some(Some(names)) if !names.contains(endpoint) => Some(format!(
            "{model} does not receive the requests of {endpoint}: its card does not name the endpoint"
        )),
        Some(_) => None,
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
                .map(|(model, names)| (model.parse().unwrap(), names.map(BTreeSet::from_iter)))
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
