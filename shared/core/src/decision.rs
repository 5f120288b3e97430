//! The one answer to a request, and why it was this one.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    json::Json,
    names::{Arm, ModelId},
};

/// The one answer to a request.
///
/// Given the scores of the models in `seen` and the models in `presumed`, `Schedule::decide` at
/// `decided` under version `config` comes to the same answer again, unless the reason is
/// `unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The first choice under `config`, also if another model answered.
    pub champion: ModelId,
    /// The models whose scores or failures the decider had before it.
    pub seen: Vec<ModelId>,
    /// The choices without a result that the decider presumed silent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub presumed: Vec<ModelId>,
}

impl Decision {
    /// The same decision by a decider that presumed these choices silent.
    pub(crate) fn presuming(mut self, presumed: &[ModelId]) -> Self {
        let silent = presumed.iter().filter(|model| !self.seen.contains(model));
        self.presumed = silent.cloned().collect();
        self
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
    /// All choices before it had failed or were presumed silent.
    Survivor,
    /// Every choice had failed.
    Exhausted,
    /// The deadline was reached.
    Deadline,
    /// The stream or the ledger was unavailable.
    Unavailable,
}

macro_rules! as_str {
    ($type:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// All of them. Statistics are kept in this order: a new one comes last.
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];

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
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
