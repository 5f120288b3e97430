//! The columns of the input tensor: which value of a payload each is, and how it becomes a number.

use std::collections::HashMap;

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
    categories: Option<Categories>,
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
            (Some(categories), ..) => categories.first.clone().into(),
            (None, Some((low, high)), _) => low.midpoint(high).into(),
            (None, None, Some(number)) => {
                number.to_string().parse().map_or(Value::Null, Value::Number)
            }
            (None, None, None) => 1.into(),
        }
    }

    /// The names that lead from the payload to the value.
    pub(crate) fn steps(&self) -> impl Iterator<Item = String> {
        self.field.split('/').skip(1).map(unescaped)
    }

    /// What this input makes of a string.
    pub(crate) fn category(&self, text: &str) -> Found {
        let Some(categories) = &self.categories else { return Found::Other };
        categories.positions.get(text).map_or(Found::Unknown, |position| Found::Category(*position))
    }

    /// The number for what was found, or what is wrong with it, without quoting it. The message begins
    /// with the field.
    #[expect(clippy::cast_possible_truncation, reason = "the tensor is of f32")]
    pub(crate) fn number(&self, found: Found) -> Result<f32, String> {
        let wrong = |what: &str| Err(format!("{} {what}", self.field));
        if self.categories.is_some() {
            return match found {
                Found::Category(position) => Ok(position),
                Found::Nothing | Found::Unknown => Ok(-1.0),
                Found::Number(_) | Found::Other => wrong("is not a string"),
            };
        }
        let number = match found {
            Found::Number(number) => number,
            Found::Nothing => return self.impute.map_or_else(|| wrong("is missing"), Ok),
            _ => return wrong("is not a number"),
        };
        if let Some((low, high)) = self.range {
            let whole = number.fract() == 0.0 && (low as f64..=high as f64).contains(&number);
            if !whole {
                return wrong(&format!("is not a whole number from {low} to {high}"));
            }
        }
        let number = number as f32;
        if number.is_finite() { Ok(number) } else { wrong("is too large") }
    }
}

/// What a payload has in the place of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    /// Nothing, or null.
    Nothing,
    Number(f64),
    /// The position of a category.
    Category(f32),
    /// A string that is no category of this input.
    Unknown,
    /// What no input accepts.
    Other,
}

/// Strings, each of which stands for its position.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Vec<String>")]
struct Categories {
    first: String,
    positions: HashMap<String, f32>,
}

impl From<Vec<String>> for Categories {
    fn from(names: Vec<String>) -> Self {
        let first = names.first().cloned().unwrap_or_default();
        // Of equal names the first counts.
        let positions = names.into_iter().enumerate().rev();
        Self { first, positions: positions.map(|(i, name)| (name, i as f32)).collect() }
    }
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
            let steps: Vec<String> = input.steps().collect();
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

#[cfg(test)]
pub(crate) mod tests {
    use rendezvous_core::Json;

    use super::*;
    use crate::row::Rows;

    pub(crate) const INPUTS: &str = r#"[
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
            Rows::new(inputs).push(&payload, &mut Vec::new(), &mut Vec::new()).unwrap();
        }
    }

    #[test]
    fn every_input_accepts_its_sample() {
        let inputs: Vec<Input> = serde_json::from_str(INPUTS).unwrap();
        assert_eq!(sample_row(&inputs), [0.0, 0.0, 0.0, 50.5]);
    }
}
