//! One state of the system.

use std::sync::Arc;

use rendezvous_core::{Decision, Envelope, Mailbox, Timestamp};

use crate::{
    functions::{Message, Outcome},
    lives::Life,
    ports::{Answer, Call},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The number of the instant.
    pub(crate) clock: usize,
    /// How many faults may still happen.
    pub(crate) faults: u8,
    /// The mailbox of the request.
    pub(crate) ledger: Option<Arc<Mailbox>>,
    /// The mailbox before the last write, where eventual reads may miss that.
    pub(crate) before: Option<Arc<Mailbox>>,
    /// The stream `input`.
    pub(crate) sent: Vec<Arc<Envelope>>,
    /// The stream `scores`; how many of its records were handed to an instance, and how many are
    /// acknowledged.
    pub(crate) scores: Vec<Message>,
    pub(crate) handed: usize,
    pub(crate) acknowledged: usize,
    pub(crate) actors: Vec<Actor>,
    /// Calls whose callers are gone, and that may still take effect.
    pub(crate) strays: Vec<Call>,
    pub(crate) history: History,
}

/// What the properties compare with later states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// The first decision that was committed.
    pub(crate) decision: Option<Arc<Decision>>,
    /// The time of receipt in the mailbox when it was first marked as accepted.
    pub(crate) accepted: Option<Timestamp>,
    /// The times of receipt with which the mailbox was opened.
    pub(crate) opened: Vec<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    pub(crate) life: Life,
    pub(crate) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Idle,
    Runs {
        /// The answer to the call that waits, when it has taken effect and is not answered.
        held: Option<Answer>,
        task: Task,
    },
    Ended {
        outcome: Arc<Outcome>,
        begun: Begun,
    },
    Crashed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Call(Begun),
    /// A batch. When it is abandoned, the mapping no longer waits for its response.
    Batch {
        abandoned: bool,
    },
}

/// How things stood when a call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Begun {
    pub(crate) at: usize,
    /// A client had a settled answer.
    pub(crate) settled: bool,
    /// The request was known to be accepted by the stream.
    pub(crate) accepted: bool,
}

impl History {
    /// Takes note of the mailbox after a write.
    pub(crate) fn note(&mut self, mailbox: &Mailbox) {
        if self.decision.is_none() {
            self.decision.clone_from(&mailbox.decision);
        }
        if mailbox.opening.is_some_and(|opening| opening.accepted) {
            self.accepted.get_or_insert(mailbox.envelope.received);
        }
        let opened = mailbox.opening.and_then(|opening| opening.opened);
        let new = opened.filter(|opened| !self.opened.contains(opened));
        self.opened.extend(new);
    }
}

impl State {
    /// What ended calls were answered.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (usize, &Outcome, Begun)> {
        self.actors.iter().enumerate().filter_map(|(actor, each)| match &each.phase {
            Phase::Ended { outcome, begun } => Some((actor, &**outcome, *begun)),
            _ => None,
        })
    }

    pub(crate) fn decision(&self) -> Option<&Arc<Decision>> {
        self.ledger.as_ref()?.decision.as_ref()
    }

    /// Whether the event source mapping waits for a response.
    pub(crate) fn delivers(&self) -> bool {
        let waits = |actor: &Actor| {
            matches!(actor.phase, Phase::Runs { task: Task::Batch { abandoned: false }, .. })
        };
        self.actors.iter().any(waits)
    }
}
