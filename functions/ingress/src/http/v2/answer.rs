//! The answer to an inference request: the decisions of all rows in one body.

use std::{borrow::Cow, collections::BTreeMap};

use http::StatusCode;
use rendezvous_core::{
    Datatype, EndpointName, Kind, ModelId, RequestId, Tensor, Tensors,
    names::shown,
    tensors::{ROW_OUTPUTS, pointer_parts},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    element::{array, check, nested},
    request::listed,
};
use crate::{
    Answer, Asked, Refused,
    http::{
        choice::Choice,
        problem::{Problem, Protocol},
        response::{Reply, json, millis, set_header},
    },
};

/// The outputs that a call asks for.
pub(super) struct Wanted<'a>(Vec<WantedOutput<'a>>);

enum WantedOutput<'a> {
    /// One of the endpoint, and where its values are in a score.
    Tensor(&'a Tensor, Vec<Vec<String>>),
    /// One of [`ROW_OUTPUTS`].
    OfRow(&'static str),
}

impl<'a> Wanted<'a> {
    /// The outputs of these names; all of them without a name.
    pub(super) fn new(tensors: &'a Tensors, names: &[String]) -> Result<Self, Problem> {
        let known = || tensors.outputs.iter().map(|tensor| tensor.name.as_str()).chain(ROW_OUTPUTS);
        let all: Vec<String> = known().map(str::to_owned).collect();
        let names = if names.is_empty() { &all } else { names };
        let wanted = names.iter().enumerate().map(|(i, name)| {
            if names[..i].contains(name) {
                let name = shown(name);
                return Err(Problem::malformed(format!("The output {name} is asked for twice.")));
            }
            if let Some(tensor) = tensors.outputs.iter().find(|tensor| tensor.name == *name) {
                let pointers = tensor.pointers().iter();
                let parts = pointers.map(|pointer| pointer_parts(pointer).unwrap_or_default());
                return Ok(WantedOutput::Tensor(tensor, parts.collect()));
            }
            let of_row = ROW_OUTPUTS.into_iter().find(|known| known == name);
            of_row.map(WantedOutput::OfRow).ok_or_else(|| {
                let (name, known) = (shown(name), listed(known()));
                Problem::malformed(format!("There is no output {name}; there are {known}."))
            })
        });
        Ok(Self(wanted.collect::<Result<_, _>>()?))
    }
}

#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a EndpointName,
    /// The model that answered, if one answered all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a ModelId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    parameters: Parameters,
    outputs: Vec<Output<'a>>,
}

/// What all rows have in common; the outputs say the rest.
#[derive(Serialize)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    settled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<u64>,
    /// Of the row that was decided last.
    elapsed_ms: f64,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: Vec<usize>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    /// Elements of scores, as the models wrote them.
    Json(Vec<&'a RawValue>),
    Text(Vec<Cow<'a, str>>),
}

/// The response to a call whose rows got these answers, which are all reported, too.
pub(super) fn reply(
    name: &EndpointName,
    id: Option<&str>,
    wanted: &Wanted<'_>,
    asked: Vec<Result<Asked, Refused>>,
    asks_for_a_deadline: bool,
) -> Reply {
    let (mut rows, mut failed) = (Vec::with_capacity(asked.len()), None);
    for (row, asked) in asked.into_iter().enumerate() {
        match asked {
            Ok(Asked::Answered(answer)) => {
                if answer.decision.kind == Kind::None {
                    failed.get_or_insert_with(|| unanswered(row, &answer));
                }
                rows.push(*answer);
            }
            // No row is asked with respond-async.
            Ok(Asked::Accepted(envelope)) => {
                let why = "it was accepted, not answered".to_owned();
                failed.get_or_insert_with(|| unfit(why).of(of_row(row, envelope.id)));
            }
            Err(Refused { request, refusal }) => {
                failed.get_or_insert_with(|| Problem::from(refusal).of(of_row(row, request)));
            }
        }
    }
    let answered = rows.iter().map(|answer| answer.report.clone()).collect();
    let body = match failed {
        Some(problem) => Err(problem),
        None => body(name, id, wanted, &rows),
    };
    let mut response = match body {
        Ok(body) => json(StatusCode::OK, &body),
        Err(problem) => problem.into_response(Protocol::V2),
    };
    let deadlines = rows.iter().map(|row| row.envelope.deadline.since(row.envelope.received));
    if let Some(deadline) = deadlines.min().filter(|_| asks_for_a_deadline) {
        let applied = deadline.as_millis().to_string();
        set_header(&mut response.headers, "rendezvous-deadline-ms", &applied);
    }
    Reply { response, answered }
}

fn of_row(row: usize, request: RequestId) -> String {
    format!("Row {row} (request {request})")
}

fn unanswered(row: usize, answer: &Answer) -> Problem {
    let problem = Problem::no_answer(&answer.envelope, &answer.decision);
    let failures = answer.failures.iter().cloned();
    let failures: Vec<String> = failures.map(|each| Choice::from(each).to_string()).collect();
    problem.of(of_row(row, answer.envelope.id)).and(&failures.join("; "))
}

/// A score that is not what the endpoint's tensors say: a mistake in the configuration or in a model.
fn unfit(why: String) -> Problem {
    let title = "The score does not fit the tensors";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unfit-score", title, why)
}

fn body<'a>(
    name: &'a EndpointName,
    id: Option<&'a str>,
    wanted: &Wanted<'a>,
    rows: &'a [Answer],
) -> Result<InferResponse<'a>, Problem> {
    let outputs = wanted.0.iter().map(|output| match output {
        WantedOutput::Tensor(tensor, parts) => output_of_scores(tensor, parts, rows),
        WantedOutput::OfRow(what) => Ok(output_of_rows(what, rows)),
    });
    let outputs = outputs.collect::<Result<_, _>>()?;
    let elapsed = rows.iter().map(|row| row.decision.decided.since(row.envelope.received)).max();
    let parameters = Parameters {
        request: common(rows, |row| row.envelope.id),
        kind: common(rows, |row| row.decision.kind.as_str()),
        reason: common(rows, |row| row.decision.reason.as_str()),
        settled: rows.iter().all(|row| row.settled),
        config: common(rows, |row| row.decision.config),
        elapsed_ms: millis(elapsed.unwrap_or_default()),
    };
    let model_version = common(rows, |row| row.decision.model.as_ref()).flatten();
    Ok(InferResponse { model_name: name, model_version, id, parameters, outputs })
}

/// What is the same of all rows.
fn common<'a, T: PartialEq>(rows: &'a [Answer], of: impl Fn(&'a Answer) -> T) -> Option<T> {
    let mut values = rows.iter().map(of);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

fn output_of_rows<'a>(what: &'static str, rows: &'a [Answer]) -> Output<'a> {
    let text = |row: &'a Answer| -> Cow<'a, str> {
        match what {
            "model" => row.decision.model.as_ref().map_or("", ModelId::as_str).into(),
            "kind" => row.decision.kind.as_str().into(),
            "reason" => row.decision.reason.as_str().into(),
            _ => row.envelope.id.to_string().into(),
        }
    };
    let data = Data::Text(rows.iter().map(text).collect());
    Output { name: what, datatype: Datatype::Bytes, shape: vec![rows.len(), 1], data }
}

fn output_of_scores<'a>(
    tensor: &'a Tensor,
    parts: &[Vec<String>],
    rows: &'a [Answer],
) -> Result<Output<'a>, Problem> {
    let mut data = Vec::with_capacity(rows.len() * tensor.row_elements());
    for (row, answer) in rows.iter().enumerate() {
        let of_tensor = values(tensor, parts, answer, &mut data);
        of_tensor.map_err(|wrong| {
            let who = answer.decision.model.as_ref().map_or("the fallback", ModelId::as_str);
            let name = shown(&tensor.name);
            let why = format!("the score of {who} does not fit the output {name}: {wrong}.");
            unfit(why).of(of_row(row, answer.envelope.id))
        })?;
    }
    let shape = [rows.len()].into_iter().chain(tensor.row_shape()).collect();
    let (name, datatype) = (tensor.name.as_str(), tensor.datatype);
    Ok(Output { name, datatype, shape, data: Data::Json(data) })
}

/// Adds the elements of one row.
fn values<'a>(
    tensor: &Tensor,
    parts: &[Vec<String>],
    answer: &'a Answer,
    data: &mut Vec<&'a RawValue>,
) -> Result<(), String> {
    let score = answer.decision.score.as_ref().ok_or("there is none")?;
    let score = serde_json::from_str(score.as_str()).map_err(|_| "it is not JSON")?;
    let scalar = tensor.fields.is_some() || tensor.row_elements() == 1;
    let shape = if scalar { Vec::new() } else { tensor.row_shape() };
    for (pointer, parts) in tensor.pointers().iter().zip(parts) {
        let found = at(score, parts).ok_or_else(|| format!("it has nothing at {pointer:?}"))?;
        let first = data.len();
        nested(found, &shape, data).map_err(|wrong| format!("{pointer:?} {wrong}"))?;
        for element in &data[first..] {
            check(tensor.datatype, element.get())
                .map_err(|wrong| format!("{pointer:?} {wrong}"))?;
        }
    }
    Ok(())
}

/// The value at a JSON pointer (RFC 6901), as it is written.
fn at<'a>(value: &'a RawValue, parts: &[String]) -> Option<&'a RawValue> {
    parts.iter().try_fold(value, |value, part| {
        if let Some(list) = array(value) {
            return list.get(part.parse::<usize>().ok()?).copied();
        }
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
        members.remove(part)
    })
}
