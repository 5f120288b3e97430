//! Payloads as the rows of a call, and the rows of its answer as scores.

use std::collections::HashMap;

use rendezvous_core::{
    Artifact, Failure, FailureKind, Json,
    tensors::{Datatype, Tensor, Tensors, pointer_parts},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Whether a payload has all that the inputs need.
pub(crate) fn check(tensors: &Tensors, payload: &Json) -> Result<(), Failure> {
    let invalid = |what: String| Failure::new(FailureKind::Invalid, what);
    let payload: Value = serde_json::from_str(payload.as_str())
        .map_err(|error| invalid(format!("the payload cannot be read: {error}")))?;
    tensors.inputs.iter().try_for_each(|input| row(input, &payload).map(drop)).map_err(invalid)
}

/// The body of the call that asks for the scores of these payloads.
pub(crate) fn call(tensors: &Tensors, payloads: &[&Json]) -> Result<Vec<u8>, String> {
    let mut inputs: Vec<Vec<Value>> = vec![Vec::new(); tensors.inputs.len()];
    for payload in payloads {
        let payload: Value =
            serde_json::from_str(payload.as_str()).map_err(|error| error.to_string())?;
        for (input, data) in tensors.inputs.iter().zip(&mut inputs) {
            data.extend(row(input, &payload)?);
        }
    }
    let inputs = tensors.inputs.iter().zip(inputs).map(|(input, data)| {
        let shape: Vec<usize> = std::iter::once(payloads.len()).chain(input.row_shape()).collect();
        json!({ "name": input.name, "datatype": input.datatype, "shape": shape, "data": data })
    });
    let outputs = tensors.outputs.iter().map(|output| json!({ "name": output.name }));
    let body = json!({
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
    });
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

/// The elements of one row of an input. Messages begin with the field and quote no value.
fn row(input: &Tensor, payload: &Value) -> Result<Vec<Value>, String> {
    let mut elements = Vec::with_capacity(input.row_elements());
    let pointers = input.pointers();
    for pointer in pointers {
        let value = match payload.pointer(pointer) {
            None | Some(Value::Null) => return Err(format!("{pointer} is missing")),
            Some(value) => value,
        };
        flatten(value, &mut elements);
    }
    let (expected, shown) = (input.row_elements(), pointers.join(" "));
    if elements.len() != expected {
        return Err(format!("{shown} has {} elements, not {expected}", elements.len()));
    }
    if elements.iter().all(|element| fits(input.datatype, element)) {
        Ok(elements)
    } else {
        Err(format!("{shown} is not of the datatype {}", input.datatype.as_str()))
    }
}

fn flatten(value: &Value, elements: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, elements)),
        scalar => elements.push(scalar.clone()),
    }
}

fn fits(datatype: Datatype, element: &Value) -> bool {
    match datatype {
        Datatype::Bool => element.is_boolean(),
        Datatype::Bytes => element.is_string(),
        Datatype::Fp16 | Datatype::Fp32 | Datatype::Fp64 => element.is_number(),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 | Datatype::Uint64 => {
            element.is_u64()
        }
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64 => element.is_i64(),
    }
}

/// The answer to a call.
#[derive(Deserialize)]
struct Answer {
    /// The version of the model that scored, where the server says it.
    #[serde(default)]
    model_version: Value,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    data: Value,
}

/// What a server answered to a call.
#[derive(Debug)]
pub(crate) struct Scores {
    /// One for each row.
    pub(crate) results: Vec<Result<Json, Failure>>,
    /// `version:…`, where the server says which version has scored.
    pub(crate) artifact: Option<Artifact>,
}

/// The scores of `count` rows.
pub(crate) fn scores(tensors: &Tensors, count: usize, answer: &[u8]) -> Result<Scores, String> {
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer of the server cannot be read: {error}"))?;
    let version = answer.model_version.as_str().filter(|version| !version.is_empty());
    let artifact = version.and_then(|version| format!("version:{version}").parse().ok());
    let mut outputs: HashMap<String, Vec<Value>> = HashMap::new();
    for Output { name, data } in answer.outputs {
        let mut elements = Vec::new();
        flatten(&data, &mut elements);
        outputs.insert(name, elements);
    }
    for output in &tensors.outputs {
        let name = &output.name;
        let Some(elements) = outputs.get(name) else {
            return Err(format!("the server returned no output {name}"));
        };
        let expected = count * output.row_elements();
        if elements.len() != expected {
            return Err(format!(
                "the output {name} has {} elements, not {expected}",
                elements.len()
            ));
        }
    }
    let results = (0..count).map(|number| score(tensors, &outputs, number)).collect();
    Ok(Scores { results, artifact })
}

/// The score of one row.
fn score(
    tensors: &Tensors,
    outputs: &HashMap<String, Vec<Value>>,
    number: usize,
) -> Result<Json, Failure> {
    let mut score = Value::Null;
    for output in &tensors.outputs {
        let width = output.row_elements();
        let elements = outputs.get(&output.name).map_or(&[][..], Vec::as_slice);
        let row = elements.get(number * width..(number + 1) * width).unwrap_or_default();
        let name = &output.name;
        if let Some(wrong) = row.iter().find(|element| !fits(output.datatype, element)) {
            // A server writes a number that is not finite as null, or as a text.
            let kind =
                if wrong.is_null() { "not finite, or missing" } else { "of another datatype" };
            return Err(Failure::new(
                FailureKind::Failed,
                format_args!("the output {name} has an element that is {kind}"),
            ));
        }
        let place = output.field.as_deref().unwrap_or_default();
        match (&output.fields, row) {
            (Some(fields), row) => {
                for (field, element) in fields.iter().zip(row) {
                    set(&mut score, field, element.clone());
                }
            }
            (None, [element]) => set(&mut score, place, element.clone()),
            (None, row) => set(&mut score, place, row.to_vec().into()),
        }
    }
    Json::parse(&score.to_string()).map_err(|invalid| Failure::new(FailureKind::Invalid, invalid))
}

/// Sets a member of a score, and the objects above it.
fn set(score: &mut Value, pointer: &str, value: Value) {
    let mut place = score;
    for part in pointer_parts(pointer).unwrap_or_default() {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::{RemoteCard, tests::CARD};

    fn tensors() -> Tensors {
        RemoteCard::parse(CARD).unwrap().tensors
    }

    fn payload(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn payloads_become_the_rows_of_one_call() {
        let payloads = [
            payload(r#"{"x":1,"in":{"y":2.5},"carrier":"UA"}"#),
            payload(r#"{"x":3,"in":{"y":4},"carrier":"AA","more":[]}"#),
        ];
        let payloads: Vec<&Json> = payloads.iter().collect();
        let body: Value = serde_json::from_slice(&call(&tensors(), &payloads).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "inputs": [
                    { "name": "numbers", "datatype": "FP64", "shape": [2, 2], "data": [1, 2.5, 3, 4] },
                    { "name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["UA", "AA"] },
                ],
                "outputs": [{ "name": "p" }],
            })
        );
    }

    #[test]
    fn a_payload_that_does_not_fit_is_a_failure_that_names_the_field() {
        for (text, message) in [
            (r#"{"x":1,"carrier":"UA"}"#, "/in/y is missing"),
            (r#"{"x":1,"in":{"y":null},"carrier":"UA"}"#, "/in/y is missing"),
            (r#"{"x":"1","in":{"y":2},"carrier":"UA"}"#, "/x /in/y is not of the datatype FP64"),
            (r#"{"x":[1,2],"in":{"y":2},"carrier":"UA"}"#, "/x /in/y has 3 elements, not 2"),
            (r#"{"x":1,"in":{"y":2},"carrier":7}"#, "/carrier is not of the datatype BYTES"),
        ] {
            let failure = check(&tensors(), &payload(text)).unwrap_err();
            assert_eq!((failure.kind, &*failure.message), (FailureKind::Invalid, message));
        }
    }

    #[test]
    fn the_rows_of_an_answer_become_scores() {
        let answer = json!({ "outputs": [{ "name": "p", "shape": [2, 2], "data": [[0.25, 0.75], [1, 0]] }] });
        let scores = scores(&tensors(), 2, answer.to_string().as_bytes()).unwrap().results;
        let texts: Vec<&str> =
            scores.iter().map(|score| score.as_ref().unwrap().as_str()).collect();
        assert_eq!(texts, [r#"{"no":0.25,"yes":0.75}"#, r#"{"no":1,"yes":0}"#]);
    }

    #[test]
    fn an_answer_that_does_not_fit_is_said_to_be_so() {
        let said = |answer: Value| scores(&tensors(), 1, answer.to_string().as_bytes());
        for (answer, message) in [
            (json!({ "outputs": [] }), "the server returned no output p"),
            (
                json!({ "outputs": [{ "name": "p", "data": [1] }] }),
                "the output p has 1 elements, not 2",
            ),
            (
                json!({ "error": "no" }),
                "the answer of the server cannot be read: missing field `outputs`",
            ),
        ] {
            let error = said(answer).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        let infinite = said(json!({ "outputs": [{ "name": "p", "data": [1, null] }] })).unwrap();
        let failure = infinite.results[0].as_ref().unwrap_err();
        assert_eq!(failure.message, "the output p has an element that is not finite, or missing");
    }
}
