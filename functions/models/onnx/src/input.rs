//! The columns of a graph's inputs: which value of a payload each is, and how it becomes a number.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use crate::graph::Texts;

/// The most columns of one entry.
const MAX_LENGTH: usize = 65_536;

/// One column of an input of the graph, or as many as an array has items.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names are the card's")]
pub(crate) struct Input {
    /// The JSON pointer (RFC 6901) of its value in the payload.
    field: String,
    /// The graph's input that it is a column of; if the graph has one only, it need not be named.
    pub(crate) input: Option<String>,
    /// What the value is. Without it, it is a number.
    #[serde(rename = "type")]
    pub(crate) kind: Option<Type>,
    /// The value is an array of so many items, each of which is a column.
    length: Option<usize>,
    /// The value is a string and becomes its position in this list; one that is absent or not in
    /// the list becomes -1.
    categories: Option<Arc<Categories>>,
    /// The value is a whole number between these two, both included.
    range: Option<(i64, i64)>,
    /// Replaces a value that is absent or `null`. Without it such a payload fails.
    impute: Option<Impute>,
    /// A value that is absent or `null` is for the graph to impute: a number is NaN, a text is empty.
    #[serde(default)]
    optional: bool,
}

/// What a value of a payload is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Type {
    F32,
    I64,
    Bool,
    Text,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "expected a number or a string")]
enum Impute {
    Number(f32),
    Text(String),
}

impl Input {
    /// What is wrong with this part of the card, after the name of the member that it is about.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let text = self.kind == Some(Type::Text);
        if !self.field.starts_with('/') {
            return Err("field: must be a JSON pointer, beginning with '/'");
        }
        if self.categories.is_some() && (self.range.is_some() || self.impute.is_some()) {
            return Err("categories: cannot be combined with range or impute");
        }
        if self.categories.is_some() && self.kind.is_some() {
            return Err("categories: cannot be combined with type");
        }
        if self.range.is_some_and(|(low, high)| low > high) {
            return Err("range: must not end before it begins");
        }
        if self.range.is_some() && (text || self.kind == Some(Type::Bool)) {
            return Err("range: must be of a number");
        }
        match &self.impute {
            Some(Impute::Number(_)) if text => {
                return Err("impute: must be a string, as the type is");
            }
            Some(Impute::Text(_)) if !text => return Err("impute: must be a number"),
            Some(_) if self.kind == Some(Type::Bool) => {
                return Err("impute: must not be of a bool");
            }
            _ => {}
        }
        if self.optional && (self.impute.is_some() || self.categories.is_some()) {
            return Err("optional: cannot be combined with impute or categories");
        }
        if self.optional && matches!(self.kind, Some(Type::I64 | Type::Bool)) {
            return Err("optional: must be of a f32 or a text");
        }
        if self.length.is_some_and(|length| length == 0 || length > MAX_LENGTH) {
            return Err("length: must be 1 to 65536");
        }
        Ok(())
    }

    /// Its columns: itself, or one for each item of its array.
    pub(crate) fn columns(&self) -> Vec<Self> {
        let Some(length) = self.length else { return vec![self.clone()] };
        let item = |i| Self { field: format!("{}/{i}", self.field), length: None, ..self.clone() };
        (0..length).map(item).collect()
    }

    /// How many columns it has.
    pub(crate) fn width(&self) -> usize {
        self.length.unwrap_or(1)
    }

    /// How many items its array must have, if it is one.
    pub(crate) fn length(&self) -> Option<usize> {
        self.length
    }

    /// Whether the value may be passed as missing.
    pub(crate) fn is_optional(&self) -> bool {
        self.optional
    }

    /// A value that the input accepts.
    fn sample(&self) -> Value {
        match (&self.categories, self.kind, self.range, &self.impute) {
            (Some(categories), ..) => categories.first.clone().into(),
            (_, Some(Type::Text), _, Some(Impute::Text(text))) => text.clone().into(),
            (_, Some(Type::Text), ..) => "text".into(),
            (_, Some(Type::Bool), ..) => true.into(),
            (_, _, Some((low, high)), _) => low.midpoint(high).into(),
            (_, _, None, Some(Impute::Number(number))) => {
                number.to_string().parse().map_or(Value::Null, Value::Number)
            }
            _ => 1.into(),
        }
    }

    /// A number that the input accepts, to try the model with.
    pub(crate) fn sample_number(&self) -> f32 {
        match (&self.impute, self.range) {
            (Some(Impute::Number(number)), _) => *number,
            (_, Some((low, _))) => low as f32,
            _ => 0.0,
        }
    }

    /// The names that lead from the payload to the value.
    pub(crate) fn steps(&self) -> impl Iterator<Item = String> {
        self.field.split('/').skip(1).map(unescaped)
    }

    /// What this input makes of a string.
    pub(crate) fn string(&self, text: &str, texts: &Texts) -> Found {
        if self.kind == Some(Type::Text) {
            return Found::Text(texts.code(text));
        }
        let Some(categories) = &self.categories else { return Found::Other };
        categories.positions.get(text).map_or(Found::Unknown, |position| Found::Category(*position))
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{} {what}", self.field))
    }

    /// The number for what was found, or what is wrong with it, without quoting it. The message begins
    /// with the field.
    #[expect(clippy::cast_possible_truncation, reason = "the tensor is of f32")]
    pub(crate) fn float(&self, found: Found) -> Result<f32, String> {
        if found == Found::Nothing && self.optional {
            return Ok(f32::NAN);
        }
        let number = self.number(found)? as f32;
        if number.is_finite() { Ok(number) } else { self.wrong("is too large") }
    }

    /// The same for a graph that takes whole numbers.
    #[expect(clippy::cast_possible_truncation, reason = "it is checked")]
    pub(crate) fn whole(&self, found: Found) -> Result<i32, String> {
        let number = self.number(found)?;
        let (low, high) = (f64::from(i32::MIN), f64::from(i32::MAX));
        if number.fract() == 0.0 && (low..=high).contains(&number) {
            return Ok(number as i32);
        }
        self.wrong(&format!("is not a whole number from {low} to {high}"))
    }

    /// The code of the text that was found.
    pub(crate) fn text(&self, found: Found, texts: &Texts) -> Result<i32, String> {
        match (found, &self.impute) {
            (Found::Text(code), _) => Ok(code),
            (Found::Nothing, Some(Impute::Text(text))) => Ok(texts.code(text)),
            (Found::Nothing, _) if self.optional => Ok(texts.code("")),
            (Found::Nothing, _) => self.wrong("is missing"),
            (Found::TooMany, _) => self.wrong(TOO_MANY),
            _ => self.wrong("is not a string"),
        }
    }

    fn number(&self, found: Found) -> Result<f64, String> {
        let bools = self.kind == Some(Type::Bool);
        let number = match (found, &self.categories) {
            (Found::TooMany, _) => return self.wrong(TOO_MANY),
            (Found::Category(position), Some(_)) => return Ok(f64::from(position)),
            (Found::Nothing | Found::Unknown, Some(_)) => return Ok(-1.0),
            (_, Some(_)) => return self.wrong("is not a string"),
            (Found::Nothing, None) => match self.impute {
                Some(Impute::Number(number)) => return Ok(f64::from(number)),
                _ => return self.wrong("is missing"),
            },
            (Found::Bool(value), None) if bools => return Ok(f64::from(u8::from(value))),
            (_, None) if bools => return self.wrong("is not a bool"),
            (Found::Number(number), None) => number,
            _ => return self.wrong("is not a number"),
        };
        if let Some((low, high)) = self.range {
            let whole = number.fract() == 0.0 && (low as f64..=high as f64).contains(&number);
            if !whole {
                return self.wrong(&format!("is not a whole number from {low} to {high}"));
            }
        }
        if self.kind == Some(Type::I64) && number.fract() != 0.0 {
            return self.wrong("is not a whole number");
        }
        Ok(number)
    }
}

const TOO_MANY: &str = "is in an array of more items than the model takes";

/// What a payload has in the place of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    /// Nothing, or null.
    Nothing,
    Number(f64),
    Bool(bool),
    /// The code of a text.
    Text(i32),
    /// The position of a category.
    Category(f32),
    /// A string that is no category of this input.
    Unknown,
    /// An item of an array that has more items than the input.
    TooMany,
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

/// Sets, in a payload for people to try, the value of each input that has none yet.
pub(crate) fn add_samples(inputs: &[Input], payload: &mut Value) {
    for input in inputs.iter().flat_map(Input::columns) {
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
    use crate::{graph::Kind, row::Rows};

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
            let rows = Rows::new(&inputs, &vec![0; inputs.len()], &[Kind::Float], &Arc::default());
            rows.push(&payload, &mut Vec::new(), &mut rows.batch(1)).unwrap();
        }
    }

    #[test]
    fn every_input_accepts_its_sample() {
        let inputs: Vec<Input> = serde_json::from_str(INPUTS).unwrap();
        let samples: Vec<f32> = inputs.iter().map(Input::sample_number).collect();
        assert_eq!(samples, [0.0, 0.0, 0.0, 50.5]);
    }
}
