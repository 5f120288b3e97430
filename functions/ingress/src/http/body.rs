//! The JSON bodies of responses.

use std::time::Duration;

use rendezvous_core::{
    Arm, Configuration, Decision, Endpoint, EndpointName, Envelope, Failure, FailureKind, Json,
    Kind, ModelId, Reason, RequestId, Score, Timestamp,
};
use serde::Serialize;

use crate::{ChoiceFailure, ChoiceFailureKind};

/// Milliseconds to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

#[derive(Serialize)]
pub(super) struct Health {
    pub(super) status: &'static str,
}

#[derive(Serialize)]
pub(super) struct EndpointsBody {
    pub(super) endpoints: Vec<EndpointName>,
}

#[derive(Serialize)]
pub(super) struct DecisionBody<'a> {
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
    pub(super) fn new(
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

/// Why a choice gave no answer.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    model: ModelId,
    kind: ChoiceKind,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// A kind of failure, or `silent`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ChoiceKind {
    Failed(FailureKind),
    Silent(&'static str),
}

impl From<ChoiceFailure> for Choice {
    fn from(ChoiceFailure { model, kind, message }: ChoiceFailure) -> Self {
        let kind = match kind {
            ChoiceFailureKind::Failed(kind) => ChoiceKind::Failed(kind),
            ChoiceFailureKind::Silent => ChoiceKind::Silent("silent"),
        };
        Self { model, kind, message }
    }
}

#[derive(Serialize)]
pub(super) struct MailboxBody<'a> {
    #[serde(flatten)]
    pub(super) decision: DecisionBody<'a>,
    pub(super) scores: Vec<ScoreBody<'a>>,
}

#[derive(Serialize)]
pub(super) struct OpenBody<'a> {
    request: RequestId,
    endpoint: &'a EndpointName,
    config: u64,
    arm: &'a Arm,
    deadline_us: Timestamp,
    scores: Vec<ScoreBody<'a>>,
}

impl<'a> OpenBody<'a> {
    pub(super) fn new(envelope: &'a Envelope, scores: Vec<ScoreBody<'a>>) -> Self {
        let Envelope { id, endpoint, config, arm, deadline, .. } = envelope;
        Self { request: *id, endpoint, config: *config, arm, deadline_us: *deadline, scores }
    }
}

#[derive(Serialize)]
pub(super) struct ScoreBody<'a> {
    model: &'a ModelId,
    started_us: Timestamp,
    finished_us: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
}

impl<'a> ScoreBody<'a> {
    pub(super) fn new(score: &'a Score) -> Self {
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
pub(super) struct EndpointBody<'a> {
    endpoint: &'a EndpointName,
    config: u64,
    #[serde(flatten)]
    configuration: &'a Configuration,
}

impl<'a> EndpointBody<'a> {
    pub(super) fn new(endpoint: &'a Endpoint) -> Self {
        let Endpoint { name, version, configuration } = endpoint;
        Self { endpoint: name, config: *version, configuration }
    }
}
