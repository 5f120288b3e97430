use super::{StoredOutcome, hold::Hold, stream::MemoryStream};
use crate::{
    clock::Timestamp,
    json::Json,
    mailbox::Mailbox,
    names::{EndpointName, RequestId},
};

/// A change of an item, with the old and the new image, as on a DynamoDB stream. Of a mailbox's
/// changes only those are kept that are read: in which the mailbox is made or opened again, and in
/// which the decision appears.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Mailbox {
        old: Option<Mailbox>,
        new: Mailbox,
    },
    Outcome {
        endpoint: EndpointName,
        id: RequestId,
        old: Option<StoredOutcome>,
        new: StoredOutcome,
    },
}

/// What a change takes beside the JSON in it, roughly.
const CHANGE_BYTES: usize = 700;

impl Change {
    fn bytes(&self) -> usize {
        let score = |score: &crate::score::Score| score.result.as_ref().map_or(0, bytes);
        let json = match self {
            Self::Mailbox { new, .. } => {
                let answer = new.decision.as_ref().and_then(|decision| decision.score.as_ref());
                answer.map_or(0, bytes) + new.scores.iter().map(score).sum::<usize>()
            }
            Self::Outcome { new, .. } => bytes(&new.outcome),
        };
        CHANGE_BYTES + json
    }

    fn id(&self) -> RequestId {
        match self {
            Self::Mailbox { new, .. } => new.envelope.id,
            Self::Outcome { id, .. } => *id,
        }
    }
}

fn bytes(json: &Json) -> usize {
    json.as_str().len()
}

impl MemoryStream<Change> {
    /// The changes of a table, at most 64 MiB of them; a table whose readers are further behind
    /// throttles its writers.
    pub(super) fn of_table(name: &'static str) -> Self {
        Self::holding(name, 1, 64 * 1024 * 1024)
    }

    /// Appends a change if the stream has subscribers. Returns what holds it in the journal.
    pub(super) fn tell(&self, change: impl FnOnce() -> Change) -> Option<Hold> {
        if !self.has_subscribers() {
            return None;
        }
        let change = change();
        let bytes = change.bytes();
        self.append(change.id().to_key(), change, bytes)
    }

    /// Delivers a change again that a former process has made, and that `kept` keeps.
    pub fn restore(&self, change: Change, arrived: Timestamp, kept: Hold) {
        let bytes = change.bytes();
        self.append_again(change.id().to_key(), change, bytes, (arrived, kept));
    }
}
