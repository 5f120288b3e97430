//! What must hold when everything is handled.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures_util::FutureExt;
use rendezvous_aws::batch::{Data, Event};
use rendezvous_core::{
    Endpoint, Envelope, ModelId, RequestId, RequestMessage, ScoreMessage, Timestamp,
    ports::{Consistency, Ledger},
};
use serde::Deserialize;

use super::World;
use crate::invariant::{Invariant, Violation};

/// Checks what the streams and the ledger hold in the end.
pub(super) fn check(world: &World, requests: &[RequestMessage<'_>], results: &[Arc<ScoreMessage>]) {
    let mut sent: BTreeMap<(RequestId, Timestamp), &Envelope> = BTreeMap::new();
    for message in requests {
        sent.insert((message.envelope.id, message.envelope.received), &message.envelope);
    }
    let scored: HashSet<(RequestId, Timestamp, ModelId)> = results
        .iter()
        .map(|message| {
            (message.envelope.id, message.envelope.received, message.score.model.clone())
        })
        .collect();
    let failed = given_up(world);
    for envelope in sent.values() {
        is_assigned(world, envelope);
        are_scored(world, envelope, &scored, &failed);
        is_readable(world, envelope, &scored);
    }
}

/// The requests in the failure bucket, each with the function that has given it up.
type GivenUp = HashSet<(String, RequestId)>;

fn given_up(world: &World) -> GivenUp {
    let mut given_up = GivenUp::new();
    for (name, body) in world.system.archive.files() {
        let path = name.strip_prefix("failed/").and_then(|path| path.split_once('/'));
        if let Some((function, _)) = path {
            given_up.extend(requests(&body).into_iter().map(|id| (function.to_owned(), id)));
        }
    }
    given_up
}

fn is_assigned(world: &World, envelope: &Envelope) {
    let Some(endpoint) = world.witness.endpoint(envelope) else { return };
    let Endpoint { name, configuration, .. } = &*endpoint;
    let arm = configuration.assign(name, &envelope.key);
    if arm != envelope.arm || configuration.skips(name, &envelope.key) != envelope.skip {
        let what = format!("its arm is {arm}, but it says {envelope:?}");
        violation(world, Invariant::Assigned, envelope.id, what);
    }
}

fn are_scored(
    world: &World,
    envelope: &Envelope,
    scored: &HashSet<(RequestId, Timestamp, ModelId)>,
    failed: &GivenUp,
) {
    let Some(endpoint) = world.witness.endpoint(envelope) else { return };
    for model in endpoint.configuration.models() {
        let is_skipped = envelope.skip.contains(model);
        if scored.contains(&(envelope.id, envelope.received, model.clone())) {
            if is_skipped {
                let what = format!("{model} has scored a request that it was to skip");
                violation(world, Invariant::Scored, envelope.id, what);
            }
            continue;
        }
        if is_skipped {
            continue;
        }
        if !failed.contains(&(model.to_string(), envelope.id)) {
            violation(world, Invariant::Scored, envelope.id, format!("nothing of {model}"));
        }
    }
}

/// A batch in the failure bucket.
#[derive(Deserialize)]
struct Failed {
    payload: Event,
}

/// The requests that a batch in the failure bucket holds.
fn requests(body: &[u8]) -> Vec<RequestId> {
    let Ok(Failed { payload }) = serde_json::from_slice(body) else { return Vec::new() };
    let Ok(batch) = payload.batch::<Data<'_>>() else { return Vec::new() };
    let messages = batch.requests();
    messages.into_iter().map(|(_, request)| request.envelope.id).collect()
}

/// Checks, while the ledger still keeps the mailboxes, that none is overdue. It is more than three minutes
/// after the last fault and the last deadline.
pub(super) fn check_overdue(world: &World) {
    for id in world.witness.known() {
        is_decided(world, id);
    }
}

fn is_decided(world: &World, id: RequestId) {
    let read = world.system.ledger.read(id, Consistency::Strong).now_or_never();
    let Some(mailbox) = read.and_then(Result::ok).flatten() else { return };
    let may_be_sent = mailbox.scores.is_empty()
        && mailbox.opening.is_some_and(|opening| opening.owner.is_some() && !opening.accepted);
    if mailbox.decision.is_none() && !may_be_sent {
        let what = format!("nobody has decided it: {mailbox:?}");
        violation(world, Invariant::Overdue, id, what);
    }
}

fn is_readable(
    world: &World,
    envelope: &Envelope,
    scored: &HashSet<(RequestId, Timestamp, ModelId)>,
) {
    let id = envelope.id;
    if world.witness.is_told(id) || world.witness.is_late(id) {
        return;
    }
    let endpoint = world.witness.endpoint(envelope);
    let is_scored = endpoint.is_some_and(|endpoint| {
        let mut choices = endpoint.configuration.schedule(&envelope.arm).choices().iter();
        choices.any(|choice| scored.contains(&(id, envelope.received, choice.model.clone())))
    });
    let is_kept = rendezvous_core::now() < envelope.received + super::RETENTION;
    if !is_scored || !is_kept {
        return;
    }
    let read = world.system.ledger.read(id, Consistency::Strong).now_or_never();
    if read.and_then(Result::ok).flatten().is_none() {
        violation(
            world,
            Invariant::Readable,
            id,
            "nobody was answered, and there is no mailbox".to_owned(),
        );
    }
}

pub(super) fn violation(world: &World, invariant: Invariant, id: RequestId, what: String) {
    world.witness.report(Violation { invariant, request: Some(id), what });
}
