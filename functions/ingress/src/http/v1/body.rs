//! The JSON bodies of responses.

use rendezvous_core::{
    Arm, Configuration, Decision, Endpoint, EndpointName, Envelope, Failure, Json, Kind, ModelId,
    Reason, RequestId, Score, Timestamp,
};
use serde::Serialize;

use crate::http::{choice::Choice, response::millis};

#[derive(Serialize)]
pub(in crate::http) struct Health {
    pub(in crate::http) status: &'static str,
}

#[derive(Serialize)]
pub(in crate::http) struct EndpointsBody {
    pub(in crate::http) endpoints: Vec<EndpointName>,
}

#[derive(Serialize)]
pub(in crate::http) struct DecisionBody<'a> {
    request: RequestId,
    endpoint: &'a EndpointName,
    score: Option<&'a Json>,
    model: Option<&'a ModelId>,
    kind: Kind,
    reason: Reason,
    settled: bool,
    config: u64,
    arm: &'a Arm,
    /// From the receipt of the request to its decision, so that a repeat gets the same answer.
    elapsed_ms: f64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    failures: &'a [Choice],
}

impl<'a> DecisionBody<'a> {
    pub(in crate::http) fn new(
        envelope: &'a Envelope,
        decision: &'a Decision,
        settled: bool,
        failures: &'a [Choice],
    ) -> Self {
        Self {
            request: envelope.id,
            endpoint: &envelope.endpoint,
            score: decision.score.as_ref(),
            model: decision.model.as_ref(),
            kind: decision.kind,
            reason: decision.reason,
            settled,
            config: decision.config,
            arm: &decision.arm,
            elapsed_ms: millis(decision.decided.since(envelope.received)),
            failures,
        }
    }
}

#[derive(Serialize)]
pub(in crate::http) struct MailboxBody<'a> {
    #[serde(flatten)]
    pub(in crate::http) decision: DecisionBody<'a>,
    pub(in crate::http) scores: Vec<ScoreBody<'a>>,
}

#[derive(Serialize)]
pub(in crate::http) struct OpenBody<'a> {
    request: RequestId,
    endpoint: &'a EndpointName,
    config: u64,
    arm: &'a Arm,
    deadline_us: Timestamp,
    scores: Vec<ScoreBody<'a>>,
}

impl<'a> OpenBody<'a> {
    pub(in crate::http) fn new(envelope: &'a Envelope, scores: Vec<ScoreBody<'a>>) -> Self {
        let Envelope { id, endpoint, config, arm, deadline, .. } = envelope;
        Self { request: *id, endpoint, config: *config, arm, deadline_us: *deadline, scores }
    }
}

#[derive(Serialize)]
pub(in crate::http) struct ScoreBody<'a> {
    model: &'a ModelId,
    started_us: Timestamp,
    finished_us: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
}

impl<'a> ScoreBody<'a> {
    pub(in crate::http) fn new(score: &'a Score) -> Self {
        Self {
            model: &score.model,
            started_us: score.started,
            finished_us: score.finished,
            score: score.result.as_ref().ok(),
            failure: score.result.as_ref().err(),
        }
    }
}

#[derive(Serialize)]
pub(in crate::http) struct EndpointBody<'a> {
    endpoint: &'a EndpointName,
    config: u64,
    #[serde(flatten)]
    configuration: &'a Configuration,
}

impl<'a> EndpointBody<'a> {
    pub(in crate::http) fn new(endpoint: &'a Endpoint) -> Self {
        let Endpoint { name, version, configuration } = endpoint;
        Self { endpoint: name, config: *version, configuration }
    }
}
