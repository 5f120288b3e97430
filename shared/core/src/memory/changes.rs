use std::sync::Arc;

use super::{Outcome, stream::MemoryStream};
use crate::{
    mailbox::Decision,
    message::Envelope,
    names::{EndpointName, RequestId},
};

/// What a table tells whoever follows its changes. Only what somebody asks for is told: a mailbox
/// changes often, and of all its changes the one that matters is the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A mailbox has got its decision.
    Decided { envelope: Arc<Envelope>, decision: Arc<Decision> },
    /// An outcome has been reported.
    Reported { endpoint: EndpointName, id: RequestId, outcome: Outcome },
}

/// What a change takes beside the JSON in it, roughly.
const CHANGE_BYTES: usize = 700;

impl Change {
    fn bytes(&self) -> usize {
        let json = match self {
            Self::Decided { decision, .. } => decision.score.as_ref(),
            Self::Reported { outcome, .. } => Some(&outcome.outcome),
        };
        CHANGE_BYTES + json.map_or(0, |json| json.as_str().len())
    }

    fn id(&self) -> RequestId {
        match self {
            Self::Decided { envelope, .. } => envelope.id,
            Self::Reported { id, .. } => *id,
        }
    }
}

impl MemoryStream<Change> {
    /// The changes of a table, at most 64 MiB of them; a table whose listeners are further behind
    /// throttles its writers.
    pub(super) fn of_table(name: &'static str) -> Self {
        Self::holding(name, 1, 64 * 1024 * 1024)
    }

    /// Tells the change to those who listen now; where there are none, it costs nothing.
    pub(super) fn tell(&self, change: impl FnOnce() -> Change) {
        if self.has_subscribers() {
            let change = change();
            let bytes = change.bytes();
            self.append(change.id().to_key(), change, bytes);
        }
    }
}
