//! The mailbox of a request: its scores so far, and its decision once there is one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    endpoint::Endpoint,
    json::Json,
    message::{Envelope, Failure},
    names::{Arm, ModelId},
    schedule::Settlement,
};

/// One model's answer to one request, or its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    pub model: ModelId,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub result: Result<Json, Failure>,
}

/// Everything the ledger holds about one request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub envelope: Arc<Envelope>,
    /// Set where the request was opened before it was sent.
    pub opening: Option<Opening>,
    /// The first result of each model, in the order filed, up to the decision.
    pub scores: Vec<Score>,
    pub decision: Option<Arc<Decision>>,
}

/// How a request that must not be sent twice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    pub payload_sha256: [u8; 32],
    /// The stream has accepted the request.
    pub accepted: bool,
}

impl Mailbox {
    /// A mailbox without any score.
    pub fn empty(envelope: Arc<Envelope>) -> Self {
        Self { envelope, opening: None, scores: Vec::new(), decision: None }
    }

    /// What `model` has answered, if anything.
    pub fn result_of(&self, model: &ModelId) -> Option<&Result<Json, Failure>> {
        self.scores.iter().find(|score| score.model == *model).map(|score| &score.result)
    }

    /// Adds those of `scores` whose models have no entry yet. Once a decision stands, none.
    pub fn file(&mut self, scores: &[Score]) {
        if self.decision.is_some() {
            return;
        }
        // Most mailboxes are settled by their first score and never grow.
        self.scores.reserve_exact(scores.len());
        for score in scores {
            if self.result_of(&score.model).is_none() {
                self.scores.push(score.clone());
            }
        }
    }
}

/// The one answer to a request.
///
/// Given the scores of the models in `seen`, `Schedule::decide` at `decided` under version
/// `config` comes to the same answer again, unless the reason is `unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub kind: Kind,
    pub reason: Reason,
    /// Who gave the answer; none for a fallback.
    pub model: Option<ModelId>,
    /// The answer: a model's score or the fallback.
    pub score: Option<Json>,
    /// The instant for which it was decided. Whoever settles shortly before the deadline decides
    /// as of the deadline.
    #[serde(rename = "decided_us")]
    pub decided: Timestamp,
    #[serde(rename = "deadline_us")]
    pub deadline: Timestamp,
    pub config: u64,
    pub arm: Arm,
    /// The first choice under `config`, whoever answered.
    pub champion: ModelId,
    /// The models whose scores or failures the decider had before it.
    pub seen: Vec<ModelId>,
}

impl Decision {
    /// Puts a settlement on record.
    pub fn new(
        settlement: &Settlement<'_>,
        endpoint: &Endpoint,
        envelope: &Envelope,
        seen: &[Score],
        decided: Timestamp,
    ) -> Self {
        Self {
            kind: settlement.kind,
            reason: settlement.reason,
            model: settlement.model.cloned(),
            score: settlement.score.cloned(),
            decided,
            deadline: envelope.deadline,
            config: endpoint.version,
            arm: envelope.arm.clone(),
            champion: endpoint.configuration.schedule.champion().clone(),
            seen: seen.iter().map(|score| score.model.clone()).collect(),
        }
    }
}

/// Who gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first choice of the schedule.
    Champion,
    /// Another choice of the schedule.
    StandIn,
    /// No model: the fallback of the schedule.
    Fallback,
    /// Nobody: there is no fallback either.
    None,
}

/// Why it was this answer; the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is the first choice.
    Preferred,
    /// Its time had come.
    Opened,
    /// All choices before it had failed.
    Survivor,
    /// Every choice had failed.
    Exhausted,
    /// The deadline was reached.
    Deadline,
    /// A dependency did not let us ask or hear.
    Unavailable,
}

macro_rules! as_str {
    ($type:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// The word that stands for it in JSON, tables and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

as_str!(Kind {
    Champion => "champion",
    StandIn => "stand_in",
    Fallback => "fallback",
    None => "none",
});

as_str!(Reason {
    Preferred => "preferred",
    Opened => "opened",
    Survivor => "survivor",
    Exhausted => "exhausted",
    Deadline => "deadline",
    Unavailable => "unavailable",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_in_text() {
        for kind in [Kind::Champion, Kind::StandIn, Kind::Fallback, Kind::None] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for reason in [
            Reason::Preferred,
            Reason::Opened,
            Reason::Survivor,
            Reason::Exhausted,
            Reason::Deadline,
            Reason::Unavailable,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
