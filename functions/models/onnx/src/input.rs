//! How a payload becomes a row of the input tensor.

use rendezvous_core::{Failure, FailureKind, Json};
use serde::Deserialize;
use serde_json::Value;

/// One column of the input tensor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The JSON pointer (RFC 6901) of its value in the payload.
    field: String,
    /// The value is a string and becomes its position in this list; one that is absent or not in
    /// the list becomes -1.
    categories: Option<Vec<String>>,
    /// The value is a whole number between these two, both included.
    range: Option<(i64, i64)>,
    /// Replaces a value that is absent or `null`. Without it such a payload fails.
    impute: Option<f32>,
}

impl Input {
    /// What is wrong with this part of the card, after the name of the member that it is about.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !self.field.starts_with('/') {
            return Err("field: must be a JSON pointer, beginning with '/'");
        }
        if self.categories.is_some() && (self.range.is_some() || self.impute.is_some()) {
            return Err("categories: cannot be combined with range or impute");
        }
        if self.range.is_some_and(|(low, high)| low > high) {
            return Err("range: must not end before it begins");
        }
        Ok(())
    }

    /// A value that the input accepts.
    fn sample(&self) -> Value {
        match (&self.categories, self.range, self.impute) {
            (Some(categories), ..) => categories.first().map_or("", String::as_str).into(),
            (None, Some((low, high)), _) => low.midpoint(high).into(),
            (None, None, Some(number)) => {
                number.to_string().parse().map_or(Value::Null, Value::Number)
            }
            (None, None, None) => 1.into(),
        }
    }

    /// The number for a value, or what is wrong with the value, without quoting it.
    #[expect(clippy::cast_possible_truncation, reason = "the tensor is of f32")]
    fn number(&self, value: Option<&Value>) -> Result<f32, String> {
        let value = value.filter(|value| !value.is_null());
        if let Some(categories) = &self.categories {
            return match value {
                None => Ok(-1.0),
                Some(Value::String(text)) => {
                    let position = categories.iter().position(|category| category == text);
                    Ok(position.map_or(-1.0, |position| position as f32))
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

/// Appends the row of one payload to `tensor`, or leaves it unchanged.
pub(crate) fn push_row(
    inputs: &[Input],
    payload: &Json,
    tensor: &mut Vec<f32>,
) -> Result<(), Failure> {
    let value: Value = serde_json::from_str(payload.as_str())
        .map_err(|error| invalid(format!("the payload cannot be read: {error}")))?;
    let start = tensor.len();
    for input in inputs {
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
pub(crate) fn sample_row(inputs: &[Input]) -> Vec<f32> {
    let sample = |input: &Input| match (input.impute, input.range) {
        (Some(number), _) => number,
        (None, Some((low, _))) => low as f32,
        (None, None) => 0.0,
    };
    inputs.iter().map(sample).collect()
}

/// Sets, in a payload for people to try, the value of each input that has none yet.
pub(crate) fn add_samples(inputs: &[Input], payload: &mut Value) {
    for input in inputs {
        if payload.pointer(&input.field).is_none() {
            let steps: Vec<String> = input.field.split('/').skip(1).map(unescaped).collect();
            set(payload, &steps, input.sample());
        }
    }
}

/// Sets the value at a path. What the path leads through becomes an object, or an array if all its
/// steps are numbers from 0 on.
fn set(payload: &mut Value, steps: &[String], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *payload = value;
        return;
    };
    if let Ok(index) = step.parse::<usize>() {
        if payload.is_null() && index == 0 {
            *payload = Value::Array(Vec::new());
        }
        if let Value::Array(items) = payload
            && index <= items.len()
        {
            if index == items.len() {
                items.push(Value::Null);
            }
            return set(&mut items[index], rest, value);
        }
    }
    if !payload.is_object() {
        *payload = Value::Object(serde_json::Map::new());
    }
    set(&mut payload[step], rest, value);
}

/// A step of a JSON pointer as it is in the payload (RFC 6901, section 4).
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: &str = r#"[
        {"field": "/carrier", "categories": ["AA", "UA"]},
        {"field": "/hour", "range": [0, 23]},
        {"field": "/distance"},
        {"field": "/weather/temp", "impute": 50.5}
    ]"#;

    #[test]
    fn a_sample_is_accepted_by_the_inputs_that_it_is_made_for() {
        let inputs: Vec<Input> = serde_json::from_str(INPUTS).unwrap();
        let list =
            r#"[{"field": "/x/0"}, {"field": "/x/1"}, {"field": "/y/1"}, {"field": "/a~1b"}]"#;
        let list: Vec<Input> = serde_json::from_str(list).unwrap();
        let mut payload = Value::Null;
        add_samples(&inputs, &mut payload);
        add_samples(&list, &mut payload);
        let text = r#"{"a/b":1,"carrier":"AA","distance":1,"hour":11,"weather":{"temp":50.5},"x":[1,1],"y":{"1":1}}"#;
        assert_eq!(payload.to_string(), text);
        let payload = Json::parse(text).unwrap();
        for inputs in [inputs, list] {
            push_row(&inputs, &payload, &mut Vec::new()).unwrap();
        }
    }

    fn row(payload: &str) -> Result<Vec<f32>, String> {
        let inputs: Vec<Input> = serde_json::from_str(INPUTS).unwrap();
        let mut tensor = vec![7.0];
        let result = push_row(&inputs, &Json::parse(payload).unwrap(), &mut tensor);
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
    fn every_input_accepts_its_sample() {
        let inputs: Vec<Input> = serde_json::from_str(INPUTS).unwrap();
        assert_eq!(sample_row(&inputs), [0.0, 0.0, 0.0, 50.5]);
    }
}
