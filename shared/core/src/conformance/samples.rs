//! Values that the suite and other tests of the workspace share.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Timestamp, now},
    configuration::Configuration,
    decision::{Kind, Reason},
    endpoint::Endpoint,
    json::Json,
    mailbox::Mailbox,
    message::Envelope,
    names::{Arm, ModelId, RequestId},
    schedule::Verdict,
    score::{Failure, FailureKind, Score},
    settle::decision,
    write::Write,
};

/// `a@1` at once, `b@1` after 100 ms, `c@1` after 200 ms, a fallback after 1 s; `d@1` observes.
pub const CONFIGURATION: &str = r#"{
    "schedule": {
        "choices": [ { "model": "a@1" },
                     { "model": "b@1", "after_ms": 100 },
                     { "model": "c@1", "after_ms": 200 } ],
        "deadline_ms": 1000,
        "fallback": { "p": 0.22 }
    },
    "observers": [ { "model": "d@1", "role": "challenger" } ],
    "value": "/p"
}"#;

/// Version 1 of an endpoint of [`CONFIGURATION`].
pub fn endpoint() -> Endpoint {
    Endpoint {
        name: "sample".parse().expect("a name"),
        version: 1,
        configuration: Configuration::parse(CONFIGURATION).expect("a configuration"),
    }
}

/// A new request of `endpoint`, received now.
pub fn envelope(endpoint: &Endpoint) -> Arc<Envelope> {
    let (id, received) = (RequestId::random(), now());
    Arc::new(Envelope {
        id,
        endpoint: endpoint.name.clone(),
        config: endpoint.version,
        arm: Arm::main(),
        key: id.to_key(),
        received,
        deadline: received + endpoint.configuration.schedule(&Arm::main()).deadline(),
        traceparent: None,
        skip: Vec::new(),
        replay: None,
    })
}

pub fn score(model: &str, json: &str) -> Score {
    result(model, Ok(Json::parse(json).expect("JSON")))
}

pub fn failure(model: &str) -> Score {
    result(model, Err(Failure::new(FailureKind::Failed, "on purpose")))
}

fn result(model: &str, result: Result<Json, Failure>) -> Score {
    let finished = now();
    let started = finished - Duration::from_millis(1);
    Score { model: model.parse().expect("a model id"), started, finished, result }
}

/// The write that settles the request as the schedule does with `scores`, which must suffice when
/// every choice is open.
pub fn settlement(
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    scores: &[Score],
    rivals: &[ModelId],
) -> Write {
    let mut mailbox = Mailbox::empty(envelope.clone());
    mailbox.file(scores);
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    let at = envelope.deadline;
    match schedule.decide(envelope.received, envelope.deadline, at, &mailbox, &[]) {
        Verdict::Settle(settlement) => {
            let decision = decision(&settlement, endpoint, envelope, &mailbox.scores, at);
            Write::settle(envelope, scores, decision, rivals.iter().cloned())
        }
        other => panic!("these scores do not settle: {other:?}"),
    }
}

/// The write that settles the request on the fallback.
pub fn fallback(endpoint: &Endpoint, envelope: &Arc<Envelope>) -> Write {
    let settlement = endpoint.configuration.schedule(&envelope.arm).give_up(Reason::Deadline);
    assert_eq!(settlement.kind, Kind::Fallback);
    let decision = decision(&settlement, endpoint, envelope, &[], envelope.deadline);
    Write::settle(envelope, &[], decision, [])
}

/// The envelope of a repeat of the same request, a second later.
pub fn later(envelope: &Envelope) -> Arc<Envelope> {
    received_at(envelope, envelope.received + Duration::from_secs(1))
}

/// The envelope with other times.
pub fn received_at(envelope: &Envelope, received: Timestamp) -> Arc<Envelope> {
    let allowed = envelope.deadline.since(envelope.received);
    Arc::new(Envelope { received, deadline: received + allowed, ..envelope.clone() })
}
