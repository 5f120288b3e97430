//! The model card: a JSON file beside the ONNX file that says what the model is called, how a
//! payload becomes a row of its input tensor, and where the model comes from.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rendezvous_core::{EndpointName, Invalid, ModelId};
use rendezvous_model::{
    Profile,
    time::{MAX_FUNCTION_TIMEOUT, longest_model_timeout},
};
use serde::Deserialize;

use crate::{
    LoadError,
    input::{Input, add_samples},
    output::Output,
};

/// A model card that has been checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Where the schema is, for editors.
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    /// `onnx`, or nothing.
    engine: Option<String>,
    pub model: ModelId,
    /// One sentence for people.
    pub about: String,
    pub endpoints: HashSet<EndpointName>,
    /// The name of the model's file, which is in the card's folder.
    pub onnx: String,
    timeout_ms: u64,
    /// Score requests whose deadline has passed, too, instead of answering `expired`.
    #[serde(default)]
    scores_expired: bool,
    pub(crate) inputs: Vec<Input>,
    outputs: Vec<Output>,
    pub provenance: Provenance,
}

/// Where the model comes from. The card may say more, for people.
#[derive(Clone, Debug, Deserialize)]
pub struct Provenance {
    /// Of the ONNX file, in lower-case hexadecimal.
    pub sha256: String,
}

impl Card {
    /// Reads and checks the card in a file, without the model's own file.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let wrong = |source| LoadError::Card { path: path.to_owned(), source };
        let bytes =
            fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let text = str::from_utf8(&bytes).map_err(|_| wrong(Invalid::new("not UTF-8")))?;
        Self::parse(text).map_err(wrong)
    }

    /// Reads and checks a card. Errors begin with the JSON pointer of the mistake.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let card: Self = rendezvous_model::card::read(text)?;
        card.check()?;
        Ok(card)
    }

    fn check(&self) -> Result<(), Invalid> {
        // The time-out of the model's function limits it further.
        let max = longest_model_timeout(MAX_FUNCTION_TIMEOUT).as_millis();
        if self.timeout_ms == 0 || u128::from(self.timeout_ms) > max {
            return Err(Invalid::new(format!("/timeout_ms: must be 1 to {max}")));
        }
        if self.engine.as_deref().is_some_and(|engine| engine != "onnx") {
            return Err(Invalid::new("/engine: must be \"onnx\", or left out"));
        }
        if self.endpoints.is_empty() {
            return Err(Invalid::new("/endpoints: must name at least one endpoint"));
        }
        if self.onnx.starts_with("s3://") {
            return Err(Invalid::new(
                "/onnx: must be the name of a file in the card's folder; the address of a file in S3 is the parameter \
                 OnnxFile of the model's stack",
            ));
        }
        if self.onnx.contains(['/', '\\']) {
            return Err(Invalid::new("/onnx: must be the name of a file in the card's folder"));
        }
        if self.outputs.is_empty() {
            return Err(Invalid::new("/outputs: must have at least one entry"));
        }
        for (i, output) in self.outputs.iter().enumerate() {
            if self.outputs[..i].iter().any(|other| other.name() == output.name()) {
                return Err(Invalid::new(format!("/outputs/{i}: has the name of another entry")));
            }
        }
        if self.inputs.is_empty() {
            return Err(Invalid::new("/inputs: must have at least one entry"));
        }
        for (i, input) in self.inputs.iter().enumerate() {
            input.check().map_err(|wrong| Invalid::new(format!("/inputs/{i}/{wrong}")))?;
        }
        Ok(())
    }

    /// How long one call of the model may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// What the runtime must know about the model.
    pub fn profile(&self) -> Profile {
        Profile {
            id: self.model.clone(),
            endpoints: self.endpoints.clone(),
            timeout: self.timeout(),
            scores_expired: self.scores_expired,
        }
    }
}

/// A payload that the models of all these cards accept, for people to try; its values mean nothing.
pub fn sample_payload<'a>(cards: impl Iterator<Item = &'a Card>) -> String {
    let mut payload = serde_json::Value::Object(serde_json::Map::new());
    cards.for_each(|card| add_samples(&card.inputs, &mut payload));
    payload.to_string()
}

/// The files in a folder that may be model cards: those whose name ends in `.json`, in the order of
/// their names.
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

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"{
        "model": "m@1", "about": "A test.", "endpoints": ["e"], "onnx": "m.onnx", "timeout_ms": 50,
        "inputs": [ {"field": "/carrier", "categories": ["AA", "UA"]},
                    {"field": "/hour", "range": [0, 23]} ],
        "outputs": ["p"],
        "provenance": { "sha256": "00", "anything": ["else"] }
    }"#;

    #[test]
    fn a_card_says_what_its_callers_need_without_the_models_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.json");
        fs::write(&path, CARD).unwrap();
        let card = Card::read(&path).unwrap();
        assert_eq!(card.model.as_str(), "m@1");
        assert_eq!(card.endpoints, HashSet::from(["e".parse().unwrap()]));
        assert_eq!(card.timeout(), Duration::from_millis(50));
    }

    #[test]
    fn members_of_an_input_that_exclude_each_other_are_refused() {
        for (members, message) in [
            (r#""type": "f64""#, "/inputs/1/type: unknown variant `f64`"),
            (r#""type": "text", "range": [0, 1]"#, "/inputs/1/range: must be of a number"),
            (
                r#""type": "text", "impute": 1"#,
                "/inputs/1/impute: must be a string, as the type is",
            ),
            (r#""impute": "a""#, "/inputs/1/impute: must be a number"),
            (r#""impute": []"#, "/inputs/1/impute: expected a number or a string"),
            (r#""type": "bool", "impute": 1"#, "/inputs/1/impute: must not be of a bool"),
            (r#""optional": true, "impute": 1"#, "/inputs/1/optional: cannot be combined"),
            (
                r#""optional": true, "type": "i64""#,
                "/inputs/1/optional: must be of a f32 or a text",
            ),
            (r#""length": 0"#, "/inputs/1/length: must be 1 to 65536"),
            (r#""length": 65537"#, "/inputs/1/length: must be 1 to 65536"),
            (r#""length": -1"#, "/inputs/1/length: invalid value"),
            (
                r#""categories": [], "type": "text""#,
                "/inputs/1/categories: cannot be combined with type",
            ),
        ] {
            let card = CARD.replace(r#""range": [0, 23]"#, members);
            let error = Card::parse(&card).expect_err(members).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_card_that_cannot_work_is_refused_with_the_place_of_the_mistake() {
        for (from, to, message) in [
            ("\"m@1\",", "\"m@1\", \"engine\": \"remote\",", "/engine: must be \"onnx\""),
            ("m@1", "m", "/model: "),
            ("[\"e\"]", "[]", "/endpoints: must name at least one endpoint"),
            ("[\"e\"]", "[\"e\", \"E E\"]", "/endpoints/1: "),
            ("m.onnx", "../m.onnx", "/onnx: must be the name of a file in the card's folder"),
            (
                "m.onnx",
                "s3://b/m.onnx",
                "/onnx: must be the name of a file in the card's folder; the address of a file in S3 is",
            ),
            ("50", "0", "/timeout_ms: must be 1 to 894000"),
            ("50", "894001", "/timeout_ms: must be 1 to 894000"),
            ("[\"p\"]", "[]", "/outputs: must have at least one entry"),
            ("/hour", "hour", "/inputs/1/field: must be a JSON pointer, beginning with '/'"),
            ("[0, 23]", "[23, 0]", "/inputs/1/range: must not end before it begins"),
            ("[0, 23]", "[0, \"a\"]", "/inputs/1/range/1: invalid type"),
            (
                "\"UA\"]",
                "\"UA\"], \"impute\": 1",
                "/inputs/0/categories: cannot be combined with range or impute",
            ),
            ("timeout_ms", "timeout", "/timeout: unknown field"),
            ("\"outputs\": [\"p\"],", "", "missing field `outputs`"),
            ("\"00\"", "7", "/provenance/sha256: invalid type"),
            ("[\"p\"]", "[\"p\", {\"name\": \"p\"}]", "/outputs/1: has the name of another entry"),
            ("[\"p\"]", "[{\"output\": \"y\"}]", "/outputs/0: missing field `name`"),
            ("[\"p\"]", "[{\"name\": \"p\", \"columns\": 1}]", "/outputs/0/columns: unknown field"),
            ("[\"p\"]", "[{\"name\": \"p\", \"column\": -1}]", "/outputs/0/column: invalid value"),
            ("[\"p\"]", "[7]", "/outputs/0: invalid type: integer `7`, expected a name"),
        ] {
            assert!(CARD.contains(from));
            let error = Card::parse(&CARD.replace(from, to)).expect_err(to).to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(Card::parse(&format!("{CARD} {{}}")).unwrap_err().to_string().contains("trailing"));
    }
}
