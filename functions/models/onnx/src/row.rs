//! How a payload becomes a row of the graph's inputs, in one pass that keeps only the card's fields.

use std::sync::Arc;

use rendezvous_core::{Failure, FailureKind, Json};

use crate::{
    fields::Fields,
    graph::{Batch, Data, Kind, Table, Texts},
    input::{Found, Input},
};

/// Makes rows of payloads. Built once for a card.
#[derive(Debug)]
pub(crate) struct Rows {
    fields: Fields,
    /// Of each column, the graph's input that it belongs to.
    tables: Vec<usize>,
    /// What each of the graph's inputs holds, and how many columns it has.
    kinds: Vec<(Kind, usize)>,
    texts: Arc<Texts>,
}

impl Rows {
    /// `of` has, for each entry of the card, the graph's input that it belongs to; `kinds` what each of
    /// these holds, and `texts` those of the graph.
    pub(crate) fn new(entries: &[Input], of: &[usize], kinds: &[Kind], texts: &Arc<Texts>) -> Self {
        let repeated = |(entry, table): (&Input, &usize)| vec![*table; entry.width()];
        let tables: Vec<usize> = entries.iter().zip(of).flat_map(repeated).collect();
        let width = |table: usize| tables.iter().filter(|of| **of == table).count();
        let kinds = kinds.iter().enumerate().map(|(i, kind)| (*kind, width(i))).collect();
        Self { fields: Fields::new(entries), tables, kinds, texts: texts.clone() }
    }

    /// No rows yet, and space for some.
    pub(crate) fn batch(&self, rows: usize) -> Batch {
        let table = |(kind, columns): &(Kind, usize)| Table {
            columns: *columns,
            data: match kind {
                Kind::Float => Data::Floats(Vec::with_capacity(rows * columns)),
                _ => Data::Whole(Vec::with_capacity(rows * columns)),
            },
        };
        Batch { rows: 0, sample: false, tables: self.kinds.iter().map(table).collect() }
    }

    /// Rows that the card's inputs accept, to try the model with.
    pub(crate) fn sample(&self, rows: usize) -> Batch {
        let mut batch = self.batch(rows);
        for _ in 0..rows {
            for (input, table) in self.fields.inputs().iter().zip(&self.tables) {
                let number = input.sample_number();
                match &mut batch.tables[*table].data {
                    Data::Floats(data) => data.push(number),
                    #[expect(clippy::cast_possible_truncation, reason = "its value has no meaning")]
                    Data::Whole(data) => data.push(number as i32),
                }
            }
        }
        Batch { rows, sample: true, ..batch }
    }

    /// Appends the row of one payload to `batch`, or leaves it unchanged. `found` is any vector, kept
    /// from row to row so that it is allocated once.
    pub(crate) fn push(
        &self,
        payload: &Json,
        found: &mut Vec<Found>,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        found.clear();
        found.resize(self.fields.inputs().len(), Found::Nothing);
        self.fields.find(payload.as_str(), &self.texts, found).map_err(|error| {
            let message = format!("the payload cannot be read: {error}");
            Failure::new(FailureKind::Invalid, message)
        })?;
        for ((input, table), found) in self.fields.inputs().iter().zip(&self.tables).zip(found) {
            let pushed = match (&mut batch.tables[*table].data, self.kinds[*table].0) {
                (Data::Floats(data), _) => input.float(*found).map(|number| data.push(number)),
                (Data::Whole(data), Kind::Text) => {
                    input.text(*found, &self.texts).map(|code| data.push(code))
                }
                (Data::Whole(data), _) => input.whole(*found).map(|number| data.push(number)),
            };
            if let Err(what) = pushed {
                batch.tables.iter_mut().for_each(|table| table.truncate(batch.rows));
                return Err(Failure::new(FailureKind::Invalid, what));
            }
        }
        batch.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::input::tests::INPUTS;

    fn row_of(inputs: &str, payload: &str) -> Result<Vec<f32>, String> {
        let inputs: Vec<Input> = serde_json::from_str(inputs).unwrap();
        let rows = Rows::new(&inputs, &vec![0; inputs.len()], &[Kind::Float], &Arc::default());
        let (mut found, mut batch) = (vec![Found::Other; 9], rows.sample(1));
        let result = rows.push(&Json::parse(payload).unwrap(), &mut found, &mut batch);
        let Data::Floats(mut data) = batch.tables.remove(0).data else { panic!("not of floats") };
        let columns = rows.fields.inputs().len();
        assert_eq!(data.len(), if result.is_ok() { 2 * columns } else { columns });
        assert_eq!(data.len(), batch.rows * columns);
        result.map(|()| data.split_off(columns)).map_err(|failure| {
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

    #[test]
    fn an_array_fills_as_many_columns_as_it_has_items() {
        let inputs = r#"[{"field": "/a"}, {"field": "/x", "length": 3, "optional": true}]"#;
        assert_eq!(row_of(inputs, r#"{"x":[5,6,7],"a":1}"#).unwrap(), [1.0, 5.0, 6.0, 7.0]);
        let gaps = row_of(inputs, r#"{"x":[5,null],"a":1}"#).unwrap();
        assert_eq!(gaps[..2], [1.0, 5.0]);
        assert!(gaps[2].is_nan() && gaps[3].is_nan());
        let strict = inputs.replace(r#", "optional": true"#, "");
        for (payload, message) in [
            (r#"{"x":[5,6],"a":1}"#, "/x/2 is missing"),
            (r#"{"x":[5,6,7,8],"a":1}"#, "/x/0 is in an array of more items than the model takes"),
            (
                r#"{"x":[5,6,7,null],"a":1}"#,
                "/x/0 is in an array of more items than the model takes",
            ),
            (r#"{"x":[5,"6",7],"a":1}"#, "/x/1 is not a number"),
            (r#"{"x":5,"a":1}"#, "/x/0 is missing"),
        ] {
            assert_eq!(row_of(&strict, payload).unwrap_err(), message);
        }
    }

    #[test]
    fn texts_bools_and_whole_numbers_go_to_the_inputs_that_take_them() {
        let inputs = r#"[
            {"field": "/age", "type": "f32"},
            {"field": "/city", "type": "text", "impute": "Rome"},
            {"field": "/plan", "type": "text", "optional": true},
            {"field": "/visits", "type": "i64"},
            {"field": "/member", "type": "bool"}
        ]"#;
        let inputs: Vec<Input> = serde_json::from_str(inputs).unwrap();
        let texts = Arc::new(Texts::of(&["", "Rome", "Oslo"]));
        let kinds = [Kind::Float, Kind::Text, Kind::Whole];
        let rows = Rows::new(&inputs, &[0, 1, 1, 2, 2], &kinds, &texts);
        let row = |payload: &str| {
            let (mut found, mut batch) = (Vec::new(), rows.batch(1));
            let pushed = rows.push(&Json::parse(payload).unwrap(), &mut found, &mut batch);
            pushed.map(|()| batch.tables).map_err(|failure| failure.message)
        };
        let table = |columns, data| Table { columns, data };
        let tables = row(r#"{"age":7,"city":"Oslo","plan":"?","visits":3,"member":true}"#).unwrap();
        assert_eq!(tables[0], table(1, Data::Floats(vec![7.0])));
        assert_eq!(tables[1], table(2, Data::Whole(vec![2, -1])));
        assert_eq!(tables[2], table(2, Data::Whole(vec![3, 1])));
        let tables = row(r#"{"age":7,"visits":-3,"member":false}"#).unwrap();
        assert_eq!(tables[1], table(2, Data::Whole(vec![1, 0])));
        assert_eq!(tables[2], table(2, Data::Whole(vec![-3, 0])));
        for (payload, message) in [
            (r#"{"age":true}"#, "/age is not a number"),
            (r#"{"age":1,"city":7}"#, "/city is not a string"),
            (r#"{"age":1,"visits":1.5}"#, "/visits is not a whole number"),
            (
                r#"{"age":1,"visits":3e9}"#,
                "/visits is not a whole number from -2147483648 to 2147483647",
            ),
            (r#"{"age":1,"visits":1,"member":1}"#, "/member is not a bool"),
            (r#"{"age":1,"visits":1}"#, "/member is missing"),
        ] {
            assert_eq!(row(payload).unwrap_err(), message);
        }
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
