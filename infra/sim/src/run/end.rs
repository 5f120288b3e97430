//! What must hold when everything is handled.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use rendezvous_core::{
    Envelope, ModelId, RequestId, RequestMessage, ScoreMessage, Timestamp,
    ports::{Consistency, Ledger},
};

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
        are_scored(world, envelope, &scored, &failed);
        is_readable(world, envelope, &scored);
    }
}

/// The files of the failure bucket.
fn given_up(world: &World) -> Vec<(String, Bytes)> {
    let files = world.system.archive.files();
    files.into_iter().filter(|(name, _)| name.starts_with("failed/")).collect()
}

fn are_scored(
    world: &World,
    envelope: &Envelope,
    scored: &HashSet<(RequestId, Timestamp, ModelId)>,
    failed: &[(String, Bytes)],
) {
    let Some(endpoint) = world.witness.endpoint(envelope) else { return };
    for model in endpoint.configuration.models() {
        if scored.contains(&(envelope.id, envelope.received, model.clone())) {
            continue;
        }
        let folder = format!("failed/{model}/");
        let is_named =
            failed.iter().any(|(name, body)| name.starts_with(&folder) && names(body, envelope.id));
        if !is_named {
            violation(world, Invariant::Scored, envelope.id, format!("nothing of {model}"));
        }
    }
}

/// Whether a batch in the failure bucket holds a request. Its records are in base64.
fn names(body: &[u8], id: RequestId) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    // The partition key of most requests is their id.
    text.contains(&id.to_string())
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
        let mut models = endpoint.configuration.models();
        models.any(|model| scored.contains(&(id, envelope.received, model.clone())))
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
