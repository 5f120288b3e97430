//! The body of an inference request.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::{Json, Key, limits::MAX_DEADLINE, names::shown};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{RequestOptions, http::problem::Problem};

/// The members of an object, each as it is written.
type Members<'a> = BTreeMap<String, &'a RawValue>;

pub(super) struct InferRequest<'a> {
    /// The client's own id of its call, which is answered.
    pub(super) id: Option<String>,
    pub(super) inputs: Vec<Input<'a>>,
    /// The names of the outputs that are asked for; none: all.
    pub(super) outputs: Vec<String>,
    deadline: Option<Duration>,
    key: Option<Key>,
}

pub(super) struct Input<'a> {
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) shape: Vec<u64>,
    pub(super) data: Option<&'a RawValue>,
}

impl<'a> InferRequest<'a> {
    /// What is not known is ignored, as the protocol's parameters are that this server does not have.
    pub(super) fn parse(body: &'a Json) -> Result<Self, Problem> {
        let body: &RawValue = serde_json::from_str(body.as_str())
            .map_err(|_| Problem::malformed("The body is not JSON.".to_owned()))?;
        let body = members(body, "The body")?;
        let id = member(&body, "", "id", "a string")?;
        let parameters = match member::<&RawValue>(&body, "", "parameters", "an object")? {
            Some(parameters) => members(parameters, "/parameters")?,
            None => Members::new(),
        };
        let inputs: Vec<&RawValue> = required(&body, "", "inputs", "an array")?;
        let inputs = inputs.into_iter().enumerate().map(|(i, raw)| Input::parse(raw, i));
        let inputs = inputs.collect::<Result<_, _>>()?;
        let outputs: Option<Vec<&RawValue>> = member(&body, "", "outputs", "an array")?;
        let outputs = outputs.unwrap_or_default().into_iter().enumerate().map(|(i, raw)| {
            let place = format!("/outputs/{i}");
            // Its parameters may ask for binary data. Whoever does takes JSON, too.
            required(&members(raw, &place)?, &place, "name", "a string")
        });
        let outputs = outputs.collect::<Result<_, _>>()?;
        let (deadline, key) = (deadline(&parameters)?, key(&parameters)?);
        Ok(Self { id, inputs, outputs, deadline, key })
    }

    /// Adds what the body says to what the headers say. Of two deadlines the shorter one counts.
    pub(super) fn apply_to(&self, options: &mut RequestOptions) -> Result<(), Problem> {
        options.deadline = [options.deadline, self.deadline].into_iter().flatten().min();
        if let Some(key) = &self.key {
            if options.key.as_ref().is_some_and(|other| other != key) {
                return Err(Problem::malformed(
                    "/parameters/key and the header Rendezvous-Key differ.".to_owned(),
                ));
            }
            options.key = Some(key.clone());
        }
        Ok(())
    }
}

impl<'a> Input<'a> {
    fn parse(raw: &'a RawValue, i: usize) -> Result<Self, Problem> {
        let place = format!("/inputs/{i}");
        let input = members(raw, &place)?;
        Ok(Self {
            name: required(&input, &place, "name", "a string")?,
            datatype: required(&input, &place, "datatype", "a string")?,
            shape: required(&input, &place, "shape", "an array of whole numbers from 0")?,
            data: member(&input, &place, "data", "an array")?,
        })
    }
}

/// How long the client waits: our own parameter, or Triton's in microseconds, where 0 is no limit.
fn deadline(parameters: &Members<'_>) -> Result<Option<Duration>, Problem> {
    let max = u64::try_from(MAX_DEADLINE.as_millis()).unwrap_or(u64::MAX);
    let expected = format!("a whole number of milliseconds from 1 to {max}");
    let own: Option<u64> = member(parameters, "/parameters", "deadline_ms", &expected)?;
    if own.is_some_and(|ms| !(1..=max).contains(&ms)) {
        return Err(wrong("/parameters", "deadline_ms", &expected));
    }
    let expected = "a whole number of microseconds";
    let timeout: Option<u64> = member(parameters, "/parameters", "timeout", expected)?;
    let timeout = timeout.filter(|micros| *micros > 0);
    let timeout = timeout.map(|micros| Duration::from_micros(micros).min(MAX_DEADLINE));
    Ok([own.map(Duration::from_millis), timeout].into_iter().flatten().min())
}

fn key(parameters: &Members<'_>) -> Result<Option<Key>, Problem> {
    let text: Option<String> = member(parameters, "/parameters", "key", "a string")?;
    let key = text.map(|text| text.parse()).transpose();
    key.map_err(|invalid| Problem::malformed(format!("/parameters/key: {invalid}.")))
}

fn members<'a>(raw: &'a RawValue, place: &str) -> Result<Members<'a>, Problem> {
    serde_json::from_str(raw.get())
        .map_err(|_| Problem::malformed(format!("{place} must be an object.")))
}

/// A member that may be absent or null. `expected` says what it must be: the parser's own message would
/// quote the client's data.
fn member<'a, T: Deserialize<'a>>(
    object: &Members<'a>,
    place: &str,
    name: &str,
    expected: &str,
) -> Result<Option<T>, Problem> {
    let Some(raw) = object.get(name) else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| wrong(place, name, expected))
}

fn required<'a, T: Deserialize<'a>>(
    object: &Members<'a>,
    place: &str,
    name: &str,
    expected: &str,
) -> Result<T, Problem> {
    let member = member(object, place, name, expected)?;
    member.ok_or_else(|| Problem::malformed(format!("{place}/{name} is missing.")))
}

fn wrong(place: &str, name: &str, expected: &str) -> Problem {
    Problem::malformed(format!("{place}/{name} must be {expected}."))
}

/// Several names for a message.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(shown).collect();
    names.join(", ")
}
