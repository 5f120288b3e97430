//! The calls of ingress: in time, settled, and as opened.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use rendezvous_core::{
    Decision, Envelope, Json, Kind, ModelId, Reason, RequestId, Timestamp, limits::LATE_AFTER,
    mutation::unmutated, now,
};
use serde::Deserialize;

use super::{Seen, Witness, true_time};
use crate::{Actor, invariant::Invariant, step::Step};

/// A call that an instance of ingress answers.
#[derive(Debug)]
pub(super) struct Call {
    /// By the clock of the instance.
    start: Timestamp,
    /// In true time.
    began: Timestamp,
    disturbances: (u32, u32),
    /// The first with which it opens or sends the request: that of an earlier call may follow.
    pub(super) envelope: Option<Arc<Envelope>>,
    pub(super) sent: bool,
    /// Something has gone wrong between the instance and its dependencies.
    pub(super) troubled: bool,
    /// What identifies the payload of a call with an idempotency key.
    payload: Option<u64>,
    pub(super) marked: bool,
}

/// An answer with a decision.
#[derive(Debug, Deserialize)]
struct Answer {
    request: RequestId,
    score: Option<Json>,
    model: Option<ModelId>,
    kind: Kind,
    reason: Reason,
    settled: bool,
    config: u64,
}

impl Answer {
    fn is(&self, decision: &Decision) -> bool {
        let Self { score, model, kind, reason, config, .. } = self;
        (score, model) == (&decision.score, &decision.model)
            && (*kind, *reason, *config) == (decision.kind, decision.reason, decision.config)
    }
}

/// Any answer that names its request.
#[derive(Deserialize)]
struct Named {
    request: RequestId,
}

impl Witness {
    /// An instance of ingress begins to answer a call.
    pub(crate) fn begins(&self, actor: &Actor, event: &ApiGatewayV2httpRequest) {
        let call = Call {
            start: now(),
            began: true_time(),
            disturbances: actor.disturbances(),
            envelope: None,
            sent: false,
            troubled: false,
            payload: event.headers.contains_key("idempotency-key").then(|| hash(&event.body)),
            marked: false,
        };
        self.seen().calls.insert(actor.key(), call);
    }

    /// An instance of ingress answers a call.
    pub(crate) fn ends(&self, actor: &Actor, step: Step, response: &ApiGatewayV2httpResponse) {
        let seen = &mut *self.seen();
        let Some(call) = seen.calls.remove(&actor.key()) else { return };
        let text = match &response.body {
            Some(Body::Text(text)) => text.as_str(),
            _ => "",
        };
        unmutated(|| match (step, response.status_code) {
            (Step::Ask | Step::Read, 200) => {
                if let Ok(answer) = serde_json::from_str::<Answer>(text) {
                    answered(seen, step, &call, &answer);
                    in_time(seen, actor, step, &call, answer.request);
                }
            }
            (Step::Ask, 504) => {
                seen.answers.none += 1;
                if let Ok(Named { request }) = serde_json::from_str(text) {
                    seen.told.insert(request);
                    in_time(seen, actor, step, &call, request);
                }
            }
            (Step::Ask, 202) => seen.answers.accepted += 1,
            (Step::Ask, _) => seen.answers.none += 1,
            (Step::Read, 202 | 404) => {
                if let Ok(Named { request }) = serde_json::from_str(text) {
                    open(self, seen, &call, request, response.status_code);
                }
            }
            _ => {}
        });
        marked(seen, &call);
    }
}

fn answered(seen: &mut Seen, step: Step, call: &Call, answer: &Answer) {
    let id = answer.request;
    seen.told.insert(id);
    if step == Step::Ask {
        seen.answers.decided += 1;
        seen.answers.unsettled += u64::from(!answer.settled);
    }
    if !answer.settled {
        // One that was opened again may be decided by the times of another call.
        let reopened = seen.requests.get(&id).is_some_and(|known| known.openings.len() > 1);
        if !call.troubled && !reopened {
            let what = format!("nothing went wrong, but answered {answer:?}");
            seen.violation(Invariant::Settled, id, what);
        }
        return;
    }
    one_payload(seen, call, id);
    let known = seen.requests.get_mut(&id);
    let decided = known.as_ref().and_then(|known| known.decided.as_ref());
    let stands = decided.map(|decided| decided.decision.clone());
    match (stands, known) {
        (Some(decision), Some(known)) if answer.is(&decision) => {
            known.told.get_or_insert(true_time());
        }
        (stands, known) => {
            // A key has one answer, whoever asks with it.
            let is_keyed =
                known.is_some_and(|known| known.openings.len() > 1) || call.envelope.is_none();
            let invariant = if step == Step::Ask && is_keyed {
                Invariant::OneAnswerPerKey
            } else {
                Invariant::SettledStands
            };
            let what = format!("answered {answer:?}, but {stands:?} stands");
            seen.violation(invariant, id, what);
        }
    }
}

/// A key is for one payload.
fn one_payload(seen: &mut Seen, call: &Call, id: RequestId) {
    let (Some(payload), Some(known)) = (call.payload, seen.requests.get_mut(&id)) else { return };
    if *known.payload.get_or_insert(payload) != payload {
        let what = "two payloads of one key have got a settled answer";
        seen.violation(Invariant::OneAnswerPerKey, id, what);
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A read says that the request is open, or that there is none.
fn open(witness: &Witness, seen: &mut Seen, call: &Call, id: RequestId, status: i64) {
    let Some(known) = seen.requests.get(&id) else { return };
    let first = known.openings.first().copied().unwrap_or(known.envelope.received);
    let is_kept = true_time() < first + witness.retention;
    if known.told.is_some_and(|told| told < call.began) && is_kept {
        let what = format!("a read says {status} after a settled answer");
        seen.violation(Invariant::SettledStands, id, what);
    }
}

fn in_time(seen: &mut Seen, actor: &Actor, step: Step, call: &Call, id: RequestId) {
    if step != Step::Ask {
        return;
    }
    // A repeat waits for the request that an earlier call has opened, and has as much time.
    let known = seen.requests.get(&id);
    let opened = known.filter(|known| !known.openings.is_empty()).map(|known| &known.envelope);
    let own = call.envelope.as_ref();
    let Some(envelope) = opened.or(own) else { return };
    let Envelope { received, deadline, .. } = **envelope;
    let due = match own {
        Some(own) if own.received == received => deadline,
        own => {
            let own = own.map_or(deadline, |own| own.deadline);
            own.max(deadline).max(call.start + deadline.since(received))
        }
    };
    let ended = now();
    if ended <= due + LATE_AFTER {
        return;
    }
    let (freezes, jumps) = actor.disturbances();
    if freezes > call.disturbances.0 {
        *seen.answers.marked.entry("frozen").or_default() += 1;
    } else if jumps > call.disturbances.1 {
        *seen.answers.marked.entry("clock jumped").or_default() += 1;
    } else {
        let late = ended.since(due).as_micros();
        let what = format!("answered {late} us after its deadline");
        seen.violation(Invariant::InTime, id, what);
    }
}

/// What was opened and sent is marked.
fn marked(seen: &mut Seen, call: &Call) {
    let Some(envelope) = &call.envelope else { return };
    let is_opened = seen.requests.get(&envelope.id).is_some_and(|known| !known.openings.is_empty());
    if is_opened && call.sent && !call.marked {
        let what = "it was sent, but not marked as accepted";
        seen.violation(Invariant::SentAsOpened, envelope.id, what);
    }
}

/// Ingress is about to send a request.
pub(super) fn sends(seen: &mut Seen, actor: &Actor, envelope: &Envelope) {
    let openings = seen.requests.get(&envelope.id).map(|known| known.openings.as_slice());
    let other = openings.is_some_and(|at| !at.is_empty() && !at.contains(&envelope.received));
    if other {
        let what = "it is sent with other times than those of its mailbox";
        seen.violation(Invariant::SentAsOpened, envelope.id, what);
    }
    let passed = seen.calls.get(&actor.key()).is_some_and(|call| {
        envelope.deadline < call.start && call.disturbances == actor.disturbances()
    });
    if passed {
        let what = "it is sent although its deadline had passed when the call began";
        seen.violation(Invariant::SentAsOpened, envelope.id, what);
    }
}
