//! What a client asks, and what it gets.

use std::sync::Arc;

use rendezvous_core::{Decision, EndpointName, Envelope, Json, RequestId, Timestamp};

use crate::{Answered, Refusal, RequestOptions, failures::ChoiceFailure};

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Ask {
    pub endpoint: EndpointName,
    pub payload: Json,
    pub options: RequestOptions,
    /// The id of the request, unless it has an idempotency key.
    pub id: RequestId,
    /// Who calls, as the authorizer says; none where a token does not say whose it is.
    pub caller: Option<String>,
    pub received: Timestamp,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub enum Asked {
    Answered(Box<Answer>),
    /// The request is on its way; its decision is read later.
    Accepted(Arc<Envelope>),
}

/// A refusal of a request, which it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub request: RequestId,
    pub refusal: Refusal,
}

/// A decision as it is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub envelope: Arc<Envelope>,
    pub decision: Arc<Decision>,
    /// Whether its commit on the ledger is confirmed.
    pub settled: bool,
    /// Why each choice gave no answer; empty when a model answered.
    pub failures: Vec<ChoiceFailure>,
    /// When the stream had accepted the request; none when this call did not send it.
    pub sent: Option<Timestamp>,
    pub ended: Timestamp,
    pub report: Answered,
}
