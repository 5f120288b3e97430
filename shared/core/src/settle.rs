//! Filing and settling: the one place that commits decisions.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    decision::{Decision, Reason},
    endpoint::Endpoint,
    error::Unavailable,
    mailbox::Mailbox,
    message::Envelope,
    mutation::{Mutation, mutated},
    names::ModelId,
    ports::Ledger,
    schedule::{Settlement, Verdict},
    score::Score,
    write::{Write, Written},
};

/// The state of a request after [`settle`].
#[derive(Clone, Debug, PartialEq)]
pub enum RequestState {
    /// A decision is committed; no other will ever be read.
    Settled(Settled),
    /// Without a new score nothing changes before this instant.
    Open(Timestamp),
    /// The mailbox was opened again with other times: the caller's envelope no longer counts, this
    /// one does.
    Reopened(Arc<Envelope>),
    /// The request is past the ledger's retention; it may have been decided.
    Forgotten,
}

/// A committed decision, and the results that were filed before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    pub decision: Arc<Decision>,
    pub scores: Vec<Score>,
}

impl Settled {
    /// The decision of `mailbox`, if there is one.
    pub fn of(mailbox: Mailbox) -> Result<Self, Mailbox> {
        match mailbox.decision {
            Some(decision) => Ok(Self { decision, scores: mailbox.scores }),
            None => Err(mailbox),
        }
    }
}

/// Files the scores at hand and settles the request if the schedule says so at `now`.
///
/// `known` is the mailbox as the ledger last returned it, if it has been read. The scores at hand
/// are tried first, without a read: when they alone settle the request, that is one write. The
/// ledger refuses a settlement that overlooks a more preferred score and returns the mailbox; then
/// the schedule is evaluated again. `presumed` are the choices that the caller presumes silent.
pub async fn settle<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    known: Option<Mailbox>,
    at_hand: &[Score],
    presumed: &[ModelId],
    now: Timestamp,
) -> Result<RequestState, Unavailable> {
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    let choices = schedule.choices();
    let mut confirmed = known.unwrap_or_else(|| Mailbox::empty(envelope.clone()));
    // Every turn either ends or learns of a score from the ledger, so the turns are few.
    loop {
        confirmed = match Settled::of(confirmed) {
            Ok(settled) => return Ok(RequestState::Settled(settled)),
            Err(open) if open.envelope.received != envelope.received => {
                return Ok(RequestState::Reopened(open.envelope));
            }
            Err(open) => open,
        };
        let known_to_ledger = |model: &ModelId| confirmed.result_of(model).is_some();
        let unfiled: Vec<Score> =
            at_hand.iter().filter(|score| !known_to_ledger(&score.model)).cloned().collect();
        let mut mailbox = confirmed.clone();
        mailbox.file(&unfiled);
        if mutated(Mutation::IgnoreFiled) {
            mailbox.scores = at_hand.to_vec();
        }
        let Envelope { received, deadline, .. } = **envelope;
        let write = match schedule.decide(received, deadline, now, &mailbox, presumed) {
            Verdict::Stands(decision) => {
                let decision = Arc::new(decision.clone());
                return Ok(RequestState::Settled(Settled { decision, scores: mailbox.scores }));
            }
            Verdict::Settle(settlement) => {
                let preferred = &choices[..settlement.choice.unwrap_or(choices.len())];
                let rivals = preferred.iter().map(|choice| &choice.model);
                let rivals = rivals.filter(|_| !mutated(Mutation::IgnoreRivals));
                let rivals = rivals.filter(|model| !known_to_ledger(model)).cloned();
                let decision = decision(&settlement, endpoint, envelope, &mailbox.scores, now);
                let decision = decision.presuming(presumed);
                Write::settle(envelope, &unfiled, decision, rivals)
            }
            Verdict::WaitUntil(instant) if unfiled.is_empty() => {
                return Ok(RequestState::Open(instant));
            }
            Verdict::WaitUntil(_) => Write::file(envelope, &unfiled),
        };
        confirmed = match ledger.write(&write).await? {
            Written::Applied(mailbox) | Written::Refused(mailbox) => mailbox,
            Written::Forgotten => return Ok(RequestState::Forgotten),
        };
    }
}

/// Commits the fallback of a request that could not be sent, or that there is no answer.
///
/// [`RequestState::Open`] means that a model has scored it all the same: it was sent, although the
/// stream did not confirm it.
pub async fn give_up<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    now: Timestamp,
) -> Result<RequestState, Unavailable> {
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    let decision = unavailable(endpoint, envelope, now);
    let rivals = schedule.choices().iter().filter(|_| !mutated(Mutation::GiveUpOverScores));
    let rivals = rivals.map(|choice| choice.model.clone());
    let write = Write::settle(envelope, &[], decision, rivals);
    Ok(match ledger.write(&write).await? {
        Written::Applied(mailbox) | Written::Refused(mailbox) => match Settled::of(mailbox) {
            Ok(settled) => RequestState::Settled(settled),
            Err(open) if open.envelope.received != envelope.received => {
                RequestState::Reopened(open.envelope)
            }
            Err(_) => RequestState::Open(now),
        },
        Written::Forgotten => RequestState::Forgotten,
    })
}

/// The decision to answer with the fallback because a dependency is unavailable; not committed.
pub fn unavailable(endpoint: &Endpoint, envelope: &Envelope, now: Timestamp) -> Decision {
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    decision(&schedule.give_up(Reason::Unavailable), endpoint, envelope, &[], now)
}

/// The verdict on `mailbox` at `now` as a decision that is not committed, for an answer that cannot
/// wait for the ledger. `otherwise` is the reason where the schedule does not settle.
pub fn verdict_in_hand(
    endpoint: &Endpoint,
    envelope: &Envelope,
    mailbox: &Mailbox,
    otherwise: Reason,
    now: Timestamp,
) -> Decision {
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    let settlement = match schedule.decide(envelope.received, envelope.deadline, now, mailbox, &[])
    {
        Verdict::Settle(settlement)
            if settlement.choice.is_some() || settlement.reason == Reason::Exhausted =>
        {
            settlement
        }
        _ => schedule.give_up(otherwise),
    };
    decision(&settlement, endpoint, envelope, &mailbox.scores, now)
}

/// A settlement as the decision that is written.
pub fn decision(
    settlement: &Settlement<'_>,
    endpoint: &Endpoint,
    envelope: &Envelope,
    seen: &[Score],
    decided: Timestamp,
) -> Decision {
    Decision {
        kind: settlement.kind,
        reason: settlement.reason,
        model: settlement.model.cloned(),
        score: settlement.score.cloned(),
        decided,
        deadline: envelope.deadline,
        config: endpoint.version,
        arm: envelope.arm.clone(),
        champion: endpoint.configuration.schedule(&envelope.arm).champion().clone(),
        seen: seen.iter().map(|score| score.model.clone()).collect(),
        presumed: Vec::new(),
    }
}
