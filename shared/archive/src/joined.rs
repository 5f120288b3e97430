//! What the archive knows of a request.

use rendezvous_core::{Arm, FailureKind, Key, Kind, ModelId, Reason, RequestId, Timestamp};
use serde::{Deserialize, Serialize};

/// What the archive knows of a request, by the rules of the analysts' views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    pub id: RequestId,
    /// None where its row is missing and others refer to it.
    pub request: Option<Asked>,
    /// The first of each model, in the order in which they arrived. Where replays are wanted, also the last
    /// replay of each model that has sent no score live.
    pub scores: Vec<Scored>,
    pub decision: Option<Decided>,
    pub outcome: Option<Reported>,
    /// Its rows bear several times of receipt: a client sent it again, with fresh times, after the
    /// first time went wrong. Its scores may be of either.
    pub retried: bool,
}

/// The request as it first arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub config: u64,
    pub arm: Arm,
    /// The key that the client has set. None where it has set none: then the key is the id.
    pub key: Option<Key>,
    pub received: Timestamp,
    pub deadline: Timestamp,
    pub arrived: Timestamp,
    /// Observers that were not expected to score it.
    pub skip: Vec<ModelId>,
    /// What the payload has where the segment was wanted.
    pub segment: Option<String>,
}

/// The first score or failure of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub model: ModelId,
    pub arrived: Timestamp,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// The scalar that the configuration names; none in a failure, and where the score has none.
    pub value: Option<f64>,
    /// None where there is a score.
    pub failure: Option<FailureKind>,
    /// Whether it is of a replay. Then it has the times as if the model had begun when the first of the others
    /// did, had taken as long as in the replay, and its score had been as long on its way as that one's.
    pub replayed: bool,
}

/// The decision. Configuration and times are those with which it was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    pub config: u64,
    pub arm: Arm,
    pub received: Timestamp,
    pub deadline: Timestamp,
    pub decided: Timestamp,
    pub kind: Kind,
    pub reason: Reason,
    /// Who answered.
    pub model: Option<ModelId>,
    pub seen: Vec<ModelId>,
    pub presumed: Vec<ModelId>,
    /// The scalar of the answer.
    pub value: Option<f64>,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// When an outcome first arrived.
    pub arrived: Timestamp,
    /// The truth as it was first reported.
    pub first: Option<f64>,
    /// The truth as it was last reported: the one that the view shows.
    pub last: Option<f64>,
}

impl Joined {
    /// The first score or failure of `model`.
    pub fn score_of(&self, model: &ModelId) -> Option<&Scored> {
        self.scores.iter().find(|score| score.model == *model)
    }
}
