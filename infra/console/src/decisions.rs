//! The last decisions, and one request whole.

use std::time::Duration;

use http::StatusCode;
use rendezvous_archive::{
    DecisionRow, Joined, latest,
    one::{self, One},
};
use rendezvous_core::{
    EndpointName, RequestId, Timestamp, now,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use rendezvous_evidence::whatif::explain;
use rendezvous_operations::past;
use serde_json::{Map, Value, json};

use crate::{
    Running,
    call::{Query, parsed},
    ports::Shared,
    refusal::Refusal,
};

/// How many decisions are listed at most, and where nobody says.
const MOST: usize = 500;
const USUAL: usize = 50;
/// How far back is looked.
const BACK: Duration = Duration::from_hours(24);

/// The last decisions of an endpoint, the latest first.
pub(crate) async fn last<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
    query: Query,
) -> Result<Value, Refusal> {
    let to = query.time("to")?.unwrap_or_else(now);
    let after = query.time("after")?.unwrap_or(to - BACK).max(to - BACK);
    let limit = query.optional("limit", parsed)?.unwrap_or(USUAL).min(MOST);
    let found = latest::decisions(&*ports.archive, &name, after, to, limit).await?;
    Ok(json!({ "decisions": found.iter().map(line).collect::<Vec<_>>() }))
}

/// A decision in the list.
pub(crate) fn line(row: &DecisionRow<'_>) -> Value {
    json!({
        "request": row.request_id,
        "config": row.config,
        "arm": row.arm,
        "received_us": row.received_us,
        "decided_us": row.decided_us,
        "elapsed_ms": ms(row.received_us, row.decided_us),
        "kind": row.kind,
        "reason": row.reason,
        "model": row.model,
        "presumed": row.presumed,
        "value": row.value,
        "arrived_us": row.arrived_us,
    })
}

/// One request: its payload, its scores, its decision in words, its outcome.
pub(crate) async fn one<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
    id: RequestId,
    query: Query,
    shown: bool,
) -> Result<Value, Refusal> {
    let archive = &*ports.archive;
    let absent = || {
        let detail = format!(
            "the archive has no request {id} of {name}: it is archived within a minute or two, and without the \
             time of its receipt it is looked for in the last 24 hours"
        );
        Refusal::new(StatusCode::NOT_FOUND, detail)
    };
    let received = if let Some(micros) = query.optional("received_us", parsed::<i64>)? {
        Timestamp::from_micros(micros)
    } else {
        let arrived = now() - BACK..now();
        one::received(archive, &name, id, arrived).await?.ok_or_else(absent)?
    };
    let one = one::one(archive, &name, id, received).await?.ok_or_else(absent)?;
    let configurations = past::configurations(&*ports.endpoints, &name).await?;
    let explanation = explain(&name, &configurations, &one.joined);
    Ok(json!({
        "request": id,
        "endpoint": name,
        "asked": asked(&one.joined),
        "payload": one.payload.as_deref().map(|payload| payload_of(payload, shown)),
        "masked": !shown,
        "scores": scores(&one),
        "decision": decision(&one),
        "outcome": outcome(&one),
        "explanation": explanation,
    }))
}

fn asked(joined: &Joined) -> Option<Value> {
    let asked = joined.request.as_ref()?;
    Some(json!({
        "config": asked.config,
        "arm": asked.arm,
        "key": asked.key,
        "received_us": asked.received,
        "deadline_us": asked.deadline,
        "deadline_ms": ms(asked.received, asked.deadline),
        "skip": asked.skip,
        "retried": joined.retried,
    }))
}

fn scores(one: &One) -> Vec<Value> {
    let begin = one.joined.request.as_ref().map(|asked| asked.received);
    let decided = one.joined.decision.as_ref().map(|decision| decision.received);
    let received = begin.or(decided).unwrap_or_default();
    let score = |score: &rendezvous_archive::Scored| {
        let body = one.scores.iter().find(|(model, _)| *model == score.model);
        let body = body.map(|(_, result)| result);
        json!({
            "model": score.model,
            "started_ms": ms(received, score.started),
            "finished_ms": ms(received, score.finished),
            "arrived_ms": ms(received, score.arrived),
            "value": score.value,
            "failure": score.failure,
            "message": body.and_then(|result| result.as_ref().err()),
            "score": body.and_then(|result| result.as_ref().ok()),
        })
    };
    one.joined.scores.iter().map(score).collect()
}

fn decision(one: &One) -> Option<Value> {
    let decision = one.joined.decision.as_ref()?;
    Some(json!({
        "config": decision.config,
        "arm": decision.arm,
        "kind": decision.kind,
        "reason": decision.reason,
        "model": decision.model,
        "decided_us": decision.decided,
        "elapsed_ms": ms(decision.received, decision.decided),
        "seen": decision.seen,
        "presumed": decision.presumed,
        "value": decision.value,
        "answer": one.answer,
    }))
}

fn outcome(one: &One) -> Option<Value> {
    let outcome = one.joined.outcome.as_ref()?;
    Some(json!({
        "outcome": one.outcome,
        "first": outcome.first,
        "last": outcome.last,
        "arrived_us": outcome.arrived,
    }))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ms(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_micros() - from.as_micros()) as f64 / 1e3
}

/// A payload, its values masked unless it is to be shown.
fn payload_of(payload: &str, shown: bool) -> Value {
    match serde_json::from_str(payload) {
        Ok(value) if shown => value,
        Ok(value) => masked(value),
        Err(_) => Value::Null,
    }
}

/// The same structure, with what each value is instead of the value.
fn masked(value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => "<boolean>".into(),
        Value::Number(_) => "<number>".into(),
        Value::String(text) => format!("<text of {} characters>", text.chars().count()).into(),
        Value::Array(values) => Value::Array(values.into_iter().map(masked).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, masked(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_payload_has_its_fields_and_none_of_its_values() {
        let payload = r#"{"name":"Ada","age":36,"tags":["x",true,null]}"#;
        let masked = payload_of(payload, false);
        let expected = json!({
            "name": "<text of 3 characters>", "age": "<number>",
            "tags": ["<text of 1 characters>", "<boolean>", null],
        });
        assert_eq!(masked, expected);
        assert_eq!(payload_of(payload, true)["name"], "Ada");
    }
}
