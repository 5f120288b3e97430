//! The mailbox of a request: its scores so far, and its decision once there is one.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    decision::Decision,
    json::Json,
    message::Envelope,
    names::ModelId,
    score::{Failure, Score},
};

/// Everything the ledger holds about one request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    pub envelope: Arc<Envelope>,
    /// Present when ingress opened the mailbox before it sent the request.
    pub opening: Option<Opening>,
    /// The first result of each model, in the order filed, up to the decision.
    pub scores: Vec<Score>,
    pub decision: Option<Arc<Decision>>,
}

/// What ingress writes before it sends a request that must not be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening {
    pub payload_sha256: [u8; 32],
    /// Identifies the caller of a request with an idempotency key. Absent for other requests and
    /// in items written before version 0.2.
    pub owner: Option<[u8; 16]>,
    /// `received` of the envelope that the mailbox was last opened with. Absent in items written
    /// before version 0.2.
    pub opened: Option<Timestamp>,
    /// The stream has accepted the request.
    pub accepted: bool,
}

impl Mailbox {
    /// A mailbox without any score.
    pub fn empty(envelope: Arc<Envelope>) -> Self {
        Self { envelope, opening: None, scores: Vec::new(), decision: None }
    }

    /// The score or failure of `model`, if it is filed.
    pub fn result_of(&self, model: &ModelId) -> Option<&Result<Json, Failure>> {
        self.scores.iter().find(|score| score.model == *model).map(|score| &score.result)
    }

    /// Whether a score, not a failure, of `model` is filed.
    pub fn has_score_of(&self, model: &ModelId) -> bool {
        matches!(self.result_of(model), Some(Ok(_)))
    }

    /// Adds those of `scores` whose models have no entry yet. Once a decision stands, none.
    pub fn file(&mut self, scores: &[Score]) {
        if self.decision.is_some() {
            return;
        }
        // Most mailboxes are settled by their first score and never grow.
        self.scores.reserve_exact(scores.len());
        for score in scores {
            self.file_one(score);
        }
    }

    pub(crate) fn file_one(&mut self, score: &Score) {
        if self.result_of(&score.model).is_none() {
            self.scores.push(score.clone());
        }
    }
}
