//! Filing and settling: the one way in which anybody moves a request forward.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    endpoint::Endpoint,
    mailbox::{Decision, Mailbox, Score},
    message::Envelope,
    names::ModelId,
    ports::{Ledger, Proposal, Unavailable},
    schedule::Verdict,
};

/// How a request stands after somebody has looked after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This decision is committed; nobody will ever read another.
    Settled(Arc<Decision>),
    /// Without a new score nothing changes before this instant.
    Open(Timestamp),
    /// It is so old that the ledger has forgotten whether it was decided.
    Forgotten,
}

/// Files the scores at hand and settles the request if the schedule says so at `now`.
///
/// `known` is the mailbox as the ledger last showed it, if it has been read. What is at hand is
/// tried first, without reading: when it alone settles the request, that is one write. The ledger
/// refuses a settlement that overlooks a more preferred score, and shows it; then the schedule is
/// asked again.
pub async fn settle<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    known: Option<Mailbox>,
    at_hand: &[Score],
    now: Timestamp,
) -> Result<Standing, Unavailable> {
    let schedule = &endpoint.configuration.schedule;
    let choices = schedule.choices();
    let mut confirmed = known.unwrap_or_else(|| Mailbox::empty(envelope.clone()));
    // Every turn either ends or learns of a score from the ledger, so there are few.
    loop {
        if let Some(decision) = confirmed.decision {
            return Ok(Standing::Settled(decision));
        }
        let known_to_ledger = |model: &ModelId| confirmed.result_of(model).is_some();
        let unfiled: Vec<Score> =
            at_hand.iter().filter(|score| !known_to_ledger(&score.model)).cloned().collect();
        let mut mailbox = confirmed.clone();
        mailbox.file(&unfiled);
        let written = match schedule.decide(envelope.received, envelope.deadline, now, &mailbox) {
            Verdict::Stands(decision) => return Ok(Standing::Settled(Arc::new(decision.clone()))),
            Verdict::Settle(settlement) => {
                let preferred = &choices[..settlement.choice.unwrap_or(choices.len())];
                let rivals = preferred.iter().map(|choice| &choice.model);
                let rivals = rivals.filter(|model| !known_to_ledger(model)).cloned().collect();
                let decision = Decision::new(&settlement, endpoint, envelope, &mailbox.scores, now);
                ledger.settle(envelope, &unfiled, Proposal { decision, rivals }).await?
            }
            Verdict::WaitUntil(instant) if unfiled.is_empty() => {
                return Ok(Standing::Open(instant));
            }
            Verdict::WaitUntil(_) => ledger.file(envelope, &unfiled).await?,
        };
        confirmed = match written {
            Some(mailbox) => mailbox,
            None => return Ok(Standing::Forgotten),
        };
    }
}
