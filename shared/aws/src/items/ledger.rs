//! The ledger: one item for each request.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Decision, Envelope, Failure, Invalid, Json, Mailbox, ModelId, RequestId, Score, Timestamp,
    mailbox::Opening,
};
use serde_dynamo::{AttributeValue, Item};

use super::{Attribute, Attributes, binary, boolean, json, opaque, text, time, whole};

/// The request's id: the key.
pub const ID: Attribute<RequestId> = text("id");
/// The envelope. Written once, by the write that creates the item.
pub const ENVELOPE: Attribute<Envelope> = json("envelope");
/// Seconds since the epoch, for DynamoDB's time to live. Written with the envelope.
pub const EXPIRES_AT: Attribute<i64> = whole("expires_at");
/// The decision. Written once; no attribute changes thereafter.
pub const DECISION: Attribute<Decision> = json("decision");

/// Opening: SHA-256 of the payload. Written by ingress, when it opens the mailbox.
pub const PAYLOAD_SHA256: Attribute<[u8; 32]> = binary("payload_sha256");
/// Opening: whether the stream has accepted the request. Written by ingress: false when it
/// opens the mailbox, true once the stream has accepted the request.
pub const ACCEPTED: Attribute<bool> = boolean("accepted");
/// Opening: identifies the caller. Written by ingress for requests with an idempotency key; absent
/// in items written before version 0.2.
pub const OWNER: Attribute<[u8; 16]> = binary("owner");
/// Opening: `received_us` of the envelope that the mailbox was last opened with. Written with the
/// envelope by ingress; absent in items written before version 0.2.
pub const OPENED: Attribute<Timestamp> = time("opened_us");

/// Before a model's id: the attribute (M) that holds the model's entry, that is, its score or
/// its failure. Written once for each model, by rendezvous, before the decision.
const MODEL: &str = "model:";

/// Entry: when the model began.
pub const STARTED: Attribute<Timestamp> = time("started_us");
/// Entry: when the model finished.
pub const FINISHED: Attribute<Timestamp> = time("finished_us");
/// Entry: the score, byte for byte. An entry has either this or `failure`.
pub const SCORE: Attribute<Json> = opaque("score");
/// Entry: the failure.
pub const FAILURE: Attribute<Failure> = json("failure");

/// The attributes of an opening, as ingress writes them. [`read_opening`] reads them.
pub fn opening(opening: &Opening) -> Attributes {
    let Opening { payload_sha256, owner, opened, accepted } = opening;
    let mut attributes = Attributes::new();
    PAYLOAD_SHA256.put(payload_sha256, &mut attributes);
    ACCEPTED.put(accepted, &mut attributes);
    if let Some(owner) = owner {
        OWNER.put(owner, &mut attributes);
    }
    if let Some(opened) = opened {
        OPENED.put(opened, &mut attributes);
    }
    attributes
}

/// The opening; `None` where the mailbox was created by a score or a decision.
pub fn read_opening(item: &Attributes) -> Result<Option<Opening>, Invalid> {
    let Some(payload_sha256) = PAYLOAD_SHA256.find(item)? else { return Ok(None) };
    Ok(Some(Opening {
        payload_sha256,
        owner: OWNER.find(item)?,
        opened: OPENED.find(item)?,
        accepted: ACCEPTED.find(item)?.unwrap_or(false),
    }))
}

/// The key of a request's item.
pub fn key(id: RequestId) -> Item {
    let mut key = Item::default();
    ID.put(&id, &mut key);
    key
}

/// Name of the attribute that holds the model's entry.
pub fn entry_name(model: &ModelId) -> String {
    [MODEL, model.as_str()].concat()
}

/// The entry of a score or a failure.
pub fn entry(score: &Score) -> AttributeValue {
    let mut entry = Attributes::new();
    STARTED.put(&score.started, &mut entry);
    FINISHED.put(&score.finished, &mut entry);
    match &score.result {
        Ok(score) => SCORE.put(score, &mut entry),
        Err(failure) => FAILURE.put(failure, &mut entry),
    }
    AttributeValue::M(entry)
}

fn read_entry(model: &str, entry: &AttributeValue) -> Result<Score, Invalid> {
    let AttributeValue::M(entry) = entry else {
        return Err(Invalid::new(format!("attribute {MODEL}{model} is not of type M")));
    };
    let result = match SCORE.find(entry)? {
        Some(score) => Ok(score),
        None => Err(FAILURE.get(entry)?),
    };
    let (started, finished) = (STARTED.get(entry)?, FINISHED.get(entry)?);
    Ok(Score { model: model.parse()?, started, finished, result })
}

/// When an item may expire: `retention` after the request was received, in seconds since the
/// epoch, rounded up, so that the item exists at least as long as `retention` says.
pub fn expires_at(received: Timestamp, retention: Duration) -> i64 {
    (received + retention).as_micros().div_euclid(1_000_000) + 1
}

/// The item of a mailbox, without its time to live: [`EXPIRES_AT`] is the table's matter.
pub fn item(mailbox: &Mailbox) -> Item {
    // Beside the scores there are eight attributes.
    let mut item = Attributes::with_capacity(8 + mailbox.scores.len());
    ID.put(&mailbox.envelope.id, &mut item);
    ENVELOPE.put(&mailbox.envelope, &mut item);
    if let Some(opened) = &mailbox.opening {
        item.extend(opening(opened));
    }
    for score in &mailbox.scores {
        item.insert(entry_name(&score.model), entry(score));
    }
    if let Some(decision) = &mailbox.decision {
        DECISION.put(decision, &mut item);
    }
    item.into()
}

/// The mailbox that an item holds. Its scores are in order of their finish, because an item's
/// attributes have no order.
pub fn mailbox(item: &Attributes) -> Result<Mailbox, Invalid> {
    let mut scores = Vec::new();
    for (name, value) in item {
        if let Some(model) = name.strip_prefix(MODEL) {
            scores.push(read_entry(model, value)?);
        }
    }
    scores.sort_by(|a, b| (a.finished, &a.model).cmp(&(b.finished, &b.model)));
    Ok(Mailbox {
        envelope: Arc::new(ENVELOPE.get(item)?),
        opening: read_opening(item)?,
        scores,
        decision: DECISION.find(item)?.map(Arc::new),
    })
}
