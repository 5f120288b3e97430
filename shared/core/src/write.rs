//! One conditional write to one mailbox, as a value.
//!
//! A ledger applies a write as a whole or not at all: when every [`Requirement`] holds, every
//! [`Assignment`] is made. DynamoDB evaluates the value as a condition and an update expression,
//! the ledger in memory and the model checker evaluate it by [`Write::apply`], so that they run the
//! very conditions of production.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    decision::Decision,
    mailbox::{Mailbox, Opening},
    message::Envelope,
    mutation::{Mutation, mutated},
    names::ModelId,
    score::Score,
};

/// A conditional write to the mailbox of `envelope.id`.
///
/// Where there is no mailbox and the requirements allow it, one is made with this envelope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    pub envelope: Arc<Envelope>,
    pub require: Vec<Requirement>,
    pub set: Vec<Assignment>,
}

/// What must be true of the mailbox before the write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// There is no mailbox, or it is past its retention.
    NoMailbox,
    /// There is a mailbox.
    Mailbox,
    /// No decision stands.
    NoDecision,
    /// The model has neither a score nor a failure.
    NoResult(ModelId),
    /// The model has no score. A failure is allowed.
    NoScore(ModelId),
    /// The mailbox was last opened with an envelope received then.
    OpenedAt(Option<Timestamp>),
    /// The mailbox was not opened again with other times than those of the write's envelope.
    SameTimes,
    /// The mailbox is not marked as accepted by the stream.
    NotAccepted,
}

impl Requirement {
    /// Whether a test drops this condition.
    fn is_dropped(&self) -> bool {
        mutated(match self {
            Self::Mailbox => return false,
            Self::NoMailbox => Mutation::DropNoMailbox,
            Self::NoDecision => Mutation::DropNoDecision,
            Self::NoResult(_) => Mutation::DropNoResult,
            Self::NoScore(_) => Mutation::DropNoScore,
            Self::OpenedAt(_) => Mutation::DropOpenedAt,
            Self::SameTimes => Mutation::DropSameTimes,
            Self::NotAccepted => Mutation::DropNotAccepted,
        })
    }
}

/// What the write sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Assignment {
    /// Replaces the envelope by the write's.
    Envelope,
    Opening(Opening),
    /// Marks the opening: the stream has accepted the request.
    Accepted,
    /// Files a result, unless the model has one already.
    Result(Score),
    Decision(Arc<Decision>),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// It was applied. The mailbox after it.
    Applied(Mailbox),
    /// A requirement did not hold; nothing changed. The mailbox as it is.
    Refused(Mailbox),
    /// The request may have had a mailbox that is deleted by now. Nothing changed, because the
    /// request could otherwise be decided twice.
    Forgotten,
}

impl Written {
    /// The mailbox after the write, whether or not it was applied.
    pub fn into_mailbox(self) -> Option<Mailbox> {
        match self {
            Self::Applied(mailbox) | Self::Refused(mailbox) => Some(mailbox),
            Self::Forgotten => None,
        }
    }
}

impl Write {
    /// Opens a mailbox for a request that must not be sent twice.
    pub fn open(
        envelope: &Arc<Envelope>,
        payload_sha256: [u8; 32],
        owner: Option<[u8; 16]>,
    ) -> Self {
        let opened = Some(envelope.received);
        let opening = Opening { payload_sha256, owner, opened, accepted: false };
        Self {
            envelope: envelope.clone(),
            require: vec![Requirement::NoMailbox],
            set: vec![Assignment::Envelope, Assignment::Opening(opening)],
        }
    }

    /// Gives a request that was opened, but neither accepted by the stream nor decided, the fresh
    /// times and configuration of `envelope`. `former` is the opening as it was read.
    pub fn reopen(envelope: &Arc<Envelope>, former: Opening) -> Self {
        let opening = Opening { opened: Some(envelope.received), ..former };
        Self {
            envelope: envelope.clone(),
            require: vec![
                Requirement::Mailbox,
                Requirement::NoDecision,
                Requirement::NotAccepted,
                Requirement::OpenedAt(former.opened),
            ],
            set: vec![Assignment::Envelope, Assignment::Opening(opening)],
        }
    }

    /// Marks an opened request as accepted by the stream.
    pub fn accept(envelope: &Arc<Envelope>) -> Self {
        let opened = Requirement::OpenedAt(Some(envelope.received));
        Self {
            envelope: envelope.clone(),
            require: vec![Requirement::Mailbox, opened],
            set: vec![Assignment::Accepted],
        }
    }

    /// Files scores, unless a decision stands. The first result of a model counts.
    pub fn file(envelope: &Arc<Envelope>, scores: &[Score]) -> Self {
        Self {
            envelope: envelope.clone(),
            require: vec![Requirement::NoDecision, Requirement::SameTimes],
            set: scores.iter().cloned().map(Assignment::Result).collect(),
        }
    }

    /// Files `scores` and commits `decision` in one write.
    ///
    /// `rivals` are the choices preferred to the decided one of which the proposer knows nothing
    /// from the ledger: the write is refused when one of them has a score. It is refused, too, when
    /// the decided model is among `scores` and has a result already.
    pub fn settle(
        envelope: &Arc<Envelope>,
        scores: &[Score],
        decision: Decision,
        rivals: impl IntoIterator<Item = ModelId>,
    ) -> Self {
        let mut write = Self::file(envelope, scores);
        if let Some(model) = &decision.model
            && scores.iter().any(|score| score.model == *model)
        {
            write.require.push(Requirement::NoResult(model.clone()));
        }
        write.require.extend(rivals.into_iter().map(Requirement::NoScore));
        write.set.push(Assignment::Decision(Arc::new(decision)));
        write
    }

    /// Whether the write makes a new mailbox.
    pub fn opens(&self) -> bool {
        self.require.contains(&Requirement::NoMailbox)
    }

    /// What becomes of the write where `mailbox` is what the ledger holds.
    pub fn apply(&self, mailbox: Option<&Mailbox>) -> Written {
        if self.is_allowed_on(mailbox) {
            // An opening replaces the whole mailbox, as a `PutItem` does. Others change it.
            let former = mailbox.filter(|_| !self.opens());
            return Written::Applied(self.apply_to(former.cloned()));
        }
        // Only a write that requires a mailbox is refused where there is none.
        mailbox.cloned().map_or(Written::Forgotten, Written::Refused)
    }

    /// Whether every requirement holds.
    fn is_allowed_on(&self, mailbox: Option<&Mailbox>) -> bool {
        self.require.iter().all(|each| each.is_dropped() || self.holds(each, mailbox))
    }

    fn holds(&self, requirement: &Requirement, mailbox: Option<&Mailbox>) -> bool {
        let opening = mailbox.and_then(|mailbox| mailbox.opening);
        let opened = opening.and_then(|opening| opening.opened);
        match requirement {
            Requirement::NoMailbox => mailbox.is_none(),
            Requirement::Mailbox => mailbox.is_some(),
            Requirement::NoDecision => mailbox.is_none_or(|m| m.decision.is_none()),
            Requirement::NoResult(model) => mailbox.is_none_or(|m| m.result_of(model).is_none()),
            Requirement::NoScore(model) => mailbox.is_none_or(|m| !m.has_score_of(model)),
            Requirement::OpenedAt(instant) => opened == *instant,
            Requirement::SameTimes => opened.is_none_or(|at| at == self.envelope.received),
            Requirement::NotAccepted => opening.is_none_or(|opening| !opening.accepted),
        }
    }

    /// Makes every assignment. `mailbox` is `None` where there is none.
    #[must_use]
    pub fn apply_to(&self, mailbox: Option<Mailbox>) -> Mailbox {
        let mut mailbox = mailbox.unwrap_or_else(|| Mailbox::empty(self.envelope.clone()));
        mailbox.scores.reserve_exact(self.set.len());
        for assignment in &self.set {
            match assignment {
                Assignment::Envelope => mailbox.envelope = self.envelope.clone(),
                Assignment::Opening(opening) => mailbox.opening = Some(*opening),
                Assignment::Accepted => {
                    if let Some(opening) = &mut mailbox.opening {
                        opening.accepted = true;
                    }
                }
                Assignment::Result(score) => mailbox.file_one(score),
                Assignment::Decision(decision) => mailbox.decision = Some(decision.clone()),
            }
        }
        mailbox
    }
}
