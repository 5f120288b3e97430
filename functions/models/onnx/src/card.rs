//! The model card: a JSON file beside the ONNX file that says what the model is called, how a
//! payload becomes a row of its input tensor, and where the model comes from.

use std::{collections::HashSet, time::Duration};

use rendezvous_core::{
    EndpointName, Failure, FailureKind, Invalid, Json, ModelId, limits::MAX_DEADLINE,
};
use rendezvous_model::Profile;
use serde::Deserialize;
use serde_json::Value;

/// A model card that has been checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub model: ModelId,
    /// One sentence for people.
    pub about: String,
    pub endpoints: HashSet<EndpointName>,
    /// The file of the model, beside the card.
    pub onnx: String,
    timeout_ms: u64,
    /// Score requests past their deadline too, instead of answering `expired`.
    #[serde(default)]
    scores_expired: bool,
    inputs: Vec<Input>,
    outputs: Vec<String>,
    pub provenance: Provenance,
}

/// Where the model comes from. There is more in the card, for people.
#[derive(Clone, Debug, Deserialize)]
pub struct Provenance {
    /// Of the ONNX file, in lower-case hex.
    pub sha256: String,
}

/// One column of the input tensor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Where in the payload its value stands (RFC 6901).
    field: String,
    /// The value is a text and becomes its place in this list; an unknown or absent one, -1.
    categories: Option<Vec<String>>,
    /// The value is a whole number between these, both included.
    range: Option<(i64, i64)>,
    /// Stands for an absent value or `null`; without it that is a failure.
    impute: Option<f32>,
}

impl Card {
    /// Reads a card and checks it; says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let card: Self =
            serde_json::from_str(text).map_err(|error| Invalid::new(error.to_string()))?;
        card.check()?;
        Ok(card)
    }

    fn check(&self) -> Result<(), Invalid> {
        let max = MAX_DEADLINE.as_millis();
        if self.timeout_ms == 0 || u128::from(self.timeout_ms) > max {
            return Err(Invalid::new(format!("timeout_ms must be 1 to {max}")));
        }
        if self.endpoints.is_empty() {
            return Err(Invalid::new("endpoints is empty: the model would never be asked"));
        }
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return Err(Invalid::new("inputs and outputs need at least one entry each"));
        }
        if self.onnx.contains(['/', '\\']) {
            return Err(Invalid::new("onnx must name a file beside the card"));
        }
        for input in &self.inputs {
            let wrong = |what: &str| Err(Invalid::new(format!("input {:?}: {what}", input.field)));
            if !input.field.starts_with('/') {
                return wrong("field must be a JSON pointer, beginning with '/'");
            }
            if input.categories.is_some() && (input.range.is_some() || input.impute.is_some()) {
                return wrong("categories go with neither range nor impute");
            }
            if let Some((low, high)) = input.range
                && low > high
            {
                return wrong("the range is empty");
            }
        }
        Ok(())
    }

    /// How many columns the input tensor has.
    pub fn columns(&self) -> usize {
        self.inputs.len()
    }

    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// What the runtime must know.
    pub fn profile(&self) -> Profile {
        Profile {
            id: self.model.clone(),
            endpoints: self.endpoints.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
            scores_expired: self.scores_expired,
        }
    }

    /// Appends the row of one payload to `tensor`, or leaves it as it was.
    pub fn push_row(&self, payload: &Json, tensor: &mut Vec<f32>) -> Result<(), Failure> {
        let value: Value = serde_json::from_str(payload.as_str())
            .map_err(|error| invalid(format!("the payload cannot be read: {error}")))?;
        let start = tensor.len();
        for input in &self.inputs {
            match input.number(value.pointer(&input.field)) {
                Ok(number) => tensor.push(number),
                Err(what) => {
                    tensor.truncate(start);
                    return Err(invalid(format!("{} {what}", input.field)));
                }
            }
        }
        Ok(())
    }

    /// A row that every input accepts, to try the model with.
    pub fn sample_row(&self) -> Vec<f32> {
        let sample = |input: &Input| match (input.impute, input.range) {
            (Some(number), _) => number,
            (None, Some((low, _))) => low as f32,
            (None, None) => 0.0,
        };
        self.inputs.iter().map(sample).collect()
    }
}

impl Input {
    /// The number that a value becomes, or what is wrong with it. No message quotes the value.
    #[expect(clippy::cast_possible_truncation, reason = "models count in f32")]
    fn number(&self, value: Option<&Value>) -> Result<f32, String> {
        let value = value.filter(|value| !value.is_null());
        if let Some(categories) = &self.categories {
            return match value {
                None => Ok(-1.0),
                Some(Value::String(text)) => {
                    let place = categories.iter().position(|category| category == text);
                    Ok(place.map_or(-1.0, |place| place as f32))
                }
                Some(_) => Err("is not a string".to_owned()),
            };
        }
        let Some(value) = value else {
            return self.impute.ok_or_else(|| "is missing".to_owned());
        };
        let Some(number) = value.as_f64() else {
            return Err("is not a number".to_owned());
        };
        if let Some((low, high)) = self.range {
            let whole = number.fract() == 0.0 && (low as f64..=high as f64).contains(&number);
            return if whole {
                Ok(number as f32)
            } else {
                Err(format!("is not a whole number from {low} to {high}"))
            };
        }
        let number = number as f32;
        if number.is_finite() { Ok(number) } else { Err("is too large".to_owned()) }
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"{
        "model": "m@1", "about": "A test.", "endpoints": ["e"], "onnx": "m.onnx", "timeout_ms": 50,
        "inputs": [ {"field": "/carrier", "categories": ["AA", "UA"]},
                    {"field": "/hour", "range": [0, 23]},
                    {"field": "/distance"},
                    {"field": "/weather/temp", "impute": 50.5} ],
        "outputs": ["p"],
        "provenance": { "sha256": "00", "anything": ["else"] }
    }"#;

    fn row(payload: &str) -> Result<Vec<f32>, String> {
        let card = Card::parse(CARD).unwrap();
        let mut tensor = vec![7.0];
        let result = card.push_row(&Json::parse(payload).unwrap(), &mut tensor);
        assert_eq!(tensor.len(), if result.is_ok() { 5 } else { 1 });
        result.map(|()| tensor.split_off(1)).map_err(|failure| {
            assert_eq!(failure.kind, FailureKind::Invalid);
            failure.message
        })
    }

    #[test]
    fn a_payload_becomes_a_row() {
        let payload = r#"{"carrier":"UA","hour":5,"distance":1400.5,"weather":{"temp":39.02}}"#;
        assert_eq!(row(payload).unwrap(), [1.0, 5.0, 1400.5, 39.02]);
    }

    #[test]
    fn unknown_and_absent_values_are_what_the_card_says() {
        let payload = r#"{"carrier":"ZZ","hour":0,"distance":0,"weather":{"temp":null}}"#;
        assert_eq!(row(payload).unwrap(), [-1.0, 0.0, 0.0, 50.5]);
        assert_eq!(row(r#"{"hour":23,"distance":1}"#).unwrap(), [-1.0, 23.0, 1.0, 50.5]);
    }

    #[test]
    fn a_payload_that_does_not_fit_is_a_failure_that_names_the_field() {
        for (payload, message) in [
            ("[]", "/hour is missing"),
            (r#"{"hour":5}"#, "/distance is missing"),
            (r#"{"hour":24,"distance":1}"#, "/hour is not a whole number from 0 to 23"),
            (r#"{"hour":-1,"distance":1}"#, "/hour is not a whole number from 0 to 23"),
            (r#"{"hour":5.5,"distance":1}"#, "/hour is not a whole number from 0 to 23"),
            (r#"{"hour":"5","distance":1}"#, "/hour is not a number"),
            (r#"{"hour":5,"distance":1e39}"#, "/distance is too large"),
            (r#"{"carrier":7,"hour":5,"distance":1}"#, "/carrier is not a string"),
        ] {
            assert_eq!(row(payload).unwrap_err(), message);
        }
    }

    #[test]
    fn a_card_that_cannot_work_is_refused() {
        let refused =
            |from: &str, to: &str| Card::parse(&CARD.replace(from, to)).expect_err(to).to_string();
        assert!(refused("m@1", "m").contains("name@version"));
        assert!(refused("\"timeout_ms\": 50", "\"timeout_ms\": 0").contains("timeout_ms"));
        assert!(refused("[\"e\"]", "[]").contains("endpoints"));
        assert!(refused("[\"p\"]", "[]").contains("outputs"));
        assert!(refused("/hour", "hour").contains("JSON pointer"));
        assert!(refused("[0, 23]", "[23, 0]").contains("range"));
        assert!(refused("m.onnx", "../m.onnx").contains("beside the card"));
        assert!(refused("timeout_ms", "timeout").contains("timeout"));
    }
}
