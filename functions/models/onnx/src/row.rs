//! How a payload becomes a row of the input tensor, in one pass that keeps only the card's fields.

use std::fmt;

use rendezvous_core::{Failure, FailureKind, Json};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::input::{Found, Input};

/// Makes rows of payloads. Built once for a card.
///
/// It finds what `serde_json::Value::pointer` would find: of several members of one name the last
/// counts, and a number in a pointer is a member of an object or an item of an array.
#[derive(Debug)]
pub(crate) struct Rows {
    inputs: Vec<Input>,
    /// The first node is the payload.
    nodes: Vec<Node>,
}

/// A value of the payload that is an input, or that has inputs below it.
#[derive(Debug, Default)]
struct Node {
    /// The inputs that this value is.
    inputs: Vec<usize>,
    /// The inputs below it.
    below: Vec<usize>,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    /// Its name in an object.
    name: String,
    /// Its place in an array, if the name can be one.
    index: Option<usize>,
    node: usize,
}

impl Rows {
    pub(crate) fn new(inputs: Vec<Input>) -> Self {
        let mut nodes = vec![Node::default()];
        for (i, input) in inputs.iter().enumerate() {
            let mut at = 0;
            for name in input.steps() {
                nodes[at].below.push(i);
                let known = nodes[at].children.iter().find(|child| child.name == name);
                at = if let Some(child) = known {
                    child.node
                } else {
                    let (node, index) = (nodes.len(), index(&name));
                    nodes[at].children.push(Child { name, index, node });
                    nodes.push(Node::default());
                    node
                };
            }
            nodes[at].inputs.push(i);
        }
        Self { inputs, nodes }
    }

    /// How many numbers a row has.
    pub(crate) fn columns(&self) -> usize {
        self.inputs.len()
    }

    /// Appends the row of one payload to `tensor`, or leaves it unchanged. `found` is any vector, kept
    /// from row to row so that it is allocated once.
    pub(crate) fn push(
        &self,
        payload: &Json,
        found: &mut Vec<Found>,
        tensor: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        found.clear();
        found.resize(self.inputs.len(), Found::Nothing);
        let mut json = serde_json::Deserializer::from_str(payload.as_str());
        At { rows: self, node: 0, found: &mut *found }.deserialize(&mut json).map_err(|error| {
            let message = format!("the payload cannot be read: {error}");
            Failure::new(FailureKind::Invalid, message)
        })?;
        let start = tensor.len();
        for (input, found) in self.inputs.iter().zip(found) {
            match input.number(*found) {
                Ok(number) => tensor.push(number),
                Err(what) => {
                    tensor.truncate(start);
                    return Err(Failure::new(FailureKind::Invalid, what));
                }
            }
        }
        Ok(())
    }
}

/// The place in an array that a step of a JSON pointer stands for (RFC 6901, section 4).
fn index(name: &str) -> Option<usize> {
    let canonical = !name.starts_with('+') && (name == "0" || !name.starts_with('0'));
    if canonical { name.parse().ok() } else { None }
}

/// Reads the value of a node.
struct At<'r, 'f> {
    rows: &'r Rows,
    node: usize,
    found: &'f mut [Found],
}

impl At<'_, '_> {
    fn node(&self) -> &Node {
        &self.rows.nodes[self.node]
    }

    /// What the inputs of this node have found. Nothing is below a value that has no members.
    fn is(self, value: impl Fn(&Input) -> Found) {
        let Self { rows, node, found } = self;
        let Node { inputs, below, .. } = &rows.nodes[node];
        for i in below {
            found[*i] = Found::Nothing;
        }
        for i in inputs {
            found[*i] = value(&rows.inputs[*i]);
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.is(|_| Found::Nothing);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.is(|_| Found::Other);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.is(|_| Found::Number(number as f64));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.is(|_| Found::Number(number as f64));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.is(|_| Found::Number(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.is(|input| input.category(text));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        At { found: &mut *self.found, ..self }.is(|_| Found::Other);
        while let Some(child) = members.next_key_seed(Name(&self.node().children))? {
            match child {
                Some(node) => {
                    members.next_value_seed(At { node, found: &mut *self.found, ..self })?;
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        At { found: &mut *self.found, ..self }.is(|_| Found::Other);
        for place in 0.. {
            let child = self.node().children.iter().find(|child| child.index == Some(place));
            let more = match child.map(|child| child.node) {
                Some(node) => {
                    items.next_element_seed(At { node, found: &mut *self.found, ..self })?
                }
                None => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads the name of a member: the node of that name.
struct Name<'r>(&'r [Child]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|child| child.name == name).map(|child| child.node))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::input::tests::INPUTS;

    fn row_of(inputs: &str, payload: &str) -> Result<Vec<f32>, String> {
        let rows = Rows::new(serde_json::from_str(inputs).unwrap());
        let (mut found, mut tensor) = (vec![Found::Other; 9], vec![7.0]);
        let result = rows.push(&Json::parse(payload).unwrap(), &mut found, &mut tensor);
        assert_eq!(tensor.len(), if result.is_ok() { 1 + rows.columns() } else { 1 });
        result.map(|()| tensor.split_off(1)).map_err(|failure| {
            assert_eq!(failure.kind, FailureKind::Invalid);
            failure.message
        })
    }

    fn row(payload: &str) -> Result<Vec<f32>, String> {
        row_of(INPUTS, payload)
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
            (r#"{"hour":[5],"distance":1}"#, "/hour is not a number"),
            (r#"{"hour":5,"distance":1e39}"#, "/distance is too large"),
            (r#"{"carrier":7,"hour":5,"distance":1}"#, "/carrier is not a string"),
        ] {
            assert_eq!(row(payload).unwrap_err(), message);
        }
    }

    #[test]
    fn an_unused_field_may_hold_anything() {
        let payload = r#"{"x":1e999,"hour":[],"y":[{"hour":1}],"hour":5,"distance":1}"#;
        assert_eq!(row(payload).unwrap(), [-1.0, 5.0, 1.0, 50.5]);
    }

    /// Fields that overlap, and arrays.
    const NESTED: [&str; 7] = ["/a", "/a/b", "/a/b/0", "/a/1", "/b/0/a", "/b/01", "/0"];

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(json!(true)),
            Just(json!("a")),
            (0..3).prop_map(|n| json!(n))
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let name = prop_oneof!["a", "b", "0", "1", "01"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::vec((name, inner), 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// An object whose text has both values under one name.
    fn twice(name: &str, first: &Value, second: &Value) -> String {
        format!("{{\"{name}\":{first},\"{name}\":{second}}}")
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_possible_truncation, reason = "the tensor is of f32")]
        fn it_finds_what_the_pointer_of_a_parsed_value_finds(
            first in value(), second in value(), name in prop_oneof!["a", "b", "0"],
        ) {
            let text = twice(&name, &first, &second);
            let parsed: Value = serde_json::from_str(&text).unwrap();
            for field in NESTED {
                // An input that never fails but for what it found.
                let inputs = json!([{ "field": field, "impute": -1 }]).to_string();
                let expected = match parsed.pointer(field) {
                    None | Some(Value::Null) => Ok(vec![-1.0]),
                    Some(Value::Number(number)) => Ok(vec![number.as_f64().unwrap() as f32]),
                    Some(_) => Err(format!("{field} is not a number")),
                };
                prop_assert_eq!(row_of(&inputs, &text), expected, "{} in {}", field, text);
            }
            // All at once find the same as one by one.
            let all: Vec<Value> = NESTED.iter().map(|field| json!({ "field": field, "impute": -1 })).collect();
            let all = row_of(&Value::Array(all).to_string(), &text);
            let single = NESTED.iter().map(|field| row_of(&json!([{ "field": field, "impute": -1 }]).to_string(), &text));
            let single: Result<Vec<Vec<f32>>, String> = single.collect();
            prop_assert_eq!(all, single.map(|rows| rows.concat()));
        }
    }
}
