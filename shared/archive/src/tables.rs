//! The tables. Times are microseconds since the epoch, UTC. Payloads, scores and outcomes are
//! JSON, byte for byte.
//!
//! A table may hold a row more than once: a record that was delivered again has the same sequence
//! number, one that its producer sent again has another.

#![expect(clippy::doc_markdown, reason = "a field's documentation is also a catalog's comment")]

use std::borrow::Cow;

use rendezvous_core::{
    Arm, Artifact, EndpointName, FailureKind, Json, Key, Kind, ModelId, Reason, RequestId,
    Timestamp,
};

use crate::layout::{Layout, table};

table! {
    /// Requests as the models saw them, from the stream input.
    RequestRow<'a> is "requests" {
        /// Id of the request
        Near request_id: RequestId,
        /// Name of the endpoint
        Few endpoint: EndpointName,
        /// Version of the endpoint's configuration
        Few config: u64,
        /// Arm of the configuration
        Few arm: Arm,
        /// Partition key on both streams
        Near key: Key,
        /// When the request was received
        Near received_us: Timestamp,
        /// When its answer is due
        Near deadline_us: Timestamp,
        /// W3C trace context or null
        Distinct traceparent: Option<String>,
        /// Observers that were not expected to score it
        Few skip: Vec<ModelId>,
        /// JSON, byte for byte
        Distinct payload: Cow<'a, str>,
        /// Shard of the stream
        Few shard: Cow<'a, str>,
        /// Place on the shard: a decimal number that grows
        Near sequence_number: Cow<'a, str>,
        /// When the record arrived on the stream
        Near arrived_us: Timestamp,
    }
}

table! {
    /// Scores and failures of every model, from the stream scores.
    ScoreRow<'a> is "scores" {
        /// Id of the request
        Near request_id: RequestId,
        /// Name of the endpoint
        Few endpoint: EndpointName,
        /// Version of the endpoint's configuration
        Few config: u64,
        /// Arm of the configuration
        Few arm: Arm,
        /// Partition key on both streams
        Near key: Key,
        /// When the request was received
        Near received_us: Timestamp,
        /// When its answer is due
        Near deadline_us: Timestamp,
        /// W3C trace context or null
        Distinct traceparent: Option<String>,
        /// name@version
        Few model: ModelId,
        /// From which artefact the model scored, e.g. sha256:… of its file; null where it did not say
        Few artifact: Option<Artifact>,
        /// When the model began
        Near started_us: Timestamp,
        /// When the model finished
        Near finished_us: Timestamp,
        /// JSON; null after a failure
        Distinct score: Option<Json>,
        /// The scalar of the score that the configuration names
        Few value: Option<f64>,
        /// failed, timed_out, expired or invalid; null with a score
        Few failure_kind: Option<FailureKind>,
        /// What the model said of its failure
        Few failure_message: Option<String>,
        /// Shard of the stream
        Few shard: Cow<'a, str>,
        /// Place on the shard: a decimal number that grows
        Near sequence_number: Cow<'a, str>,
        /// When the record arrived on the stream
        Near arrived_us: Timestamp,
    }
}

table! {
    /// Decisions, from the change of the ledger in which each first appears.
    DecisionRow<'a> is "decisions" {
        /// Id of the request
        Near request_id: RequestId,
        /// Name of the endpoint
        Few endpoint: EndpointName,
        /// Version of the endpoint's configuration
        Few config: u64,
        /// Arm of the configuration
        Few arm: Arm,
        /// When the request was received
        Near received_us: Timestamp,
        /// When its answer was due
        Near deadline_us: Timestamp,
        /// The instant for which it was decided
        Near decided_us: Timestamp,
        /// champion, stand_in, fallback or none
        Few kind: Kind,
        /// preferred, opened, survivor, exhausted, deadline or unavailable
        Few reason: Reason,
        /// Who answered; null for fallback and none
        Few model: Option<ModelId>,
        /// The first choice at that time
        Few champion: ModelId,
        /// Models whose score or failure was known
        Few seen: Vec<ModelId>,
        /// Choices without a result that were presumed silent
        Few presumed: Vec<ModelId>,
        /// The answer, JSON
        Distinct score: Option<Json>,
        /// The scalar of the answer that the configuration names
        Few value: Option<f64>,
        /// Place on the table's stream: a decimal number that grows
        Near sequence_number: Cow<'a, str>,
        /// When the change arrived on the table's stream
        Near arrived_us: Timestamp,
    }
}

table! {
    /// Ground truth as clients reported it, from the changes of the table of outcomes.
    OutcomeRow<'a> is "outcomes" {
        /// Id of the request
        Near request_id: RequestId,
        /// Name of the endpoint
        Few endpoint: EndpointName,
        /// When ingress received the outcome
        Near reported_us: Timestamp,
        /// JSON, byte for byte
        Distinct outcome: Json,
        /// The truth as a number, true and false as 1 and 0
        Few value: Option<f64>,
        /// Place on the table's stream: a decimal number that grows
        Near sequence_number: Cow<'a, str>,
        /// When the change arrived on the table's stream
        Near arrived_us: Timestamp,
    }
}

table! {
    /// Scores and failures of models that scored archived requests again, from the stream of replays.
    ReplayRow<'a> is "replays" {
        /// Id of the archived request
        Near request_id: RequestId,
        /// Name of the endpoint
        Few endpoint: EndpointName,
        /// Version of the endpoint's configuration when the request was first received
        Few config: u64,
        /// Arm of the configuration
        Few arm: Arm,
        /// Partition key of the request
        Near key: Key,
        /// Id under which it was sent again
        Near replayed_as: RequestId,
        /// When it was sent again
        Near received_us: Timestamp,
        /// name@version
        Few model: ModelId,
        /// From which artefact the model scored, e.g. sha256:… of its file; null where it did not say
        Few artifact: Option<Artifact>,
        /// When the model began
        Near started_us: Timestamp,
        /// When the model finished
        Near finished_us: Timestamp,
        /// JSON; null after a failure
        Distinct score: Option<Json>,
        /// The scalar of the score that the configuration names
        Few value: Option<f64>,
        /// failed, timed_out, expired or invalid; null with a score
        Few failure_kind: Option<FailureKind>,
        /// What the model said of its failure
        Few failure_message: Option<String>,
        /// Shard of the stream
        Few shard: Cow<'a, str>,
        /// Place on the shard: a decimal number that grows
        Near sequence_number: Cow<'a, str>,
        /// When the record arrived on the stream
        Near arrived_us: Timestamp,
    }
}

/// The tables.
pub fn layouts() -> [Layout; 5] {
    [
        Layout::of::<RequestRow<'_>>(),
        Layout::of::<ScoreRow<'_>>(),
        Layout::of::<DecisionRow<'_>>(),
        Layout::of::<OutcomeRow<'_>>(),
        Layout::of::<ReplayRow<'_>>(),
    ]
}
