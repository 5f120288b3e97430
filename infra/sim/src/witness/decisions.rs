//! Each decision, when it is first seen, and whenever it is seen again.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{Decision, Endpoint, Mailbox, Reason, Settlement, Verdict};

use super::{Decided, Seen, true_time};
use crate::invariant::Invariant;

/// Somebody sees a mailbox.
pub(super) fn sees(seen: &mut Seen, mailbox: &Mailbox, retention: Duration) {
    let (id, received) = (mailbox.envelope.id, mailbox.envelope.received);
    let known = seen.known(&mailbox.envelope);
    if mailbox.opening.is_some_and(|opening| opening.accepted) {
        known.accepted = Some(received);
    }
    let Some(decision) = &mailbox.decision else { return };
    match &known.decided {
        Some(decided) if Arc::ptr_eq(&decided.decision, decision) => {}
        Some(decided) if decided.decision == *decision && decided.received == received => {}
        Some(decided) if true_time() < decided.received + retention => {
            let what = format!("{decision:?} replaces {:?}", decided.decision);
            seen.violation(Invariant::OneDecision, id, what);
        }
        _ => {
            known.decided = Some(Decided { decision: decision.clone(), received });
            known.told = None;
            seen.decisions.push((id, decision.clone()));
            let Some(endpoint) = seen.endpoint(&mailbox.envelope) else {
                return seen.violation(Invariant::Recomputed, id, "there is no such configuration");
            };
            if let Err(what) = recompute(&endpoint, mailbox, decision) {
                let what = format!("{what}: {decision:?}, filed {:?}", mailbox.scores);
                seen.violation(Invariant::Recomputed, id, what);
            }
        }
    }
}

/// Comes to the decision of a mailbox again, or says why not.
fn recompute(
    endpoint: &Endpoint,
    mailbox: &Mailbox,
    decision: &Decision,
) -> Result<(), &'static str> {
    let envelope = &mailbox.envelope;
    let (config, arm, deadline) = (&decision.config, &decision.arm, &decision.deadline);
    if (config, arm, deadline) != (&envelope.config, &envelope.arm, &envelope.deadline) {
        return Err("it was decided under another configuration or by other times");
    }
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    let choices = schedule.choices();
    let decided = decision.model.as_ref();
    let place = choices.iter().position(|choice| Some(&choice.model) == decided);
    let preferred = &choices[..place.unwrap_or(choices.len())];
    let is_seen = |model| decision.seen.contains(model);
    if preferred.iter().any(|choice| mailbox.has_score_of(&choice.model) && !is_seen(&choice.model))
    {
        return Err("a more preferred score was filed before it");
    }
    if let Some(model) = decided
        && mailbox.result_of(model).and_then(|result| result.as_ref().ok())
            != decision.score.as_ref()
    {
        return Err("its score is not the first of its model");
    }
    let mut known = Mailbox::empty(envelope.clone());
    known.scores = mailbox.scores.iter().filter(|score| is_seen(&score.model)).cloned().collect();
    if known.scores.len() != decision.seen.len() {
        return Err("it has seen what is not filed");
    }
    let (received, at) = (envelope.received, decision.decided);
    let settlement = if decision.reason == Reason::Unavailable {
        schedule.give_up(Reason::Unavailable)
    } else {
        match schedule.decide(received, *deadline, at, &known, &decision.presumed) {
            Verdict::Settle(settlement) => settlement,
            _ => return Err("there was nothing to decide"),
        }
    };
    let Settlement { kind, reason, model, score, .. } = settlement;
    let same = (kind, reason) == (decision.kind, decision.reason)
        && (model, score) == (decided, decision.score.as_ref());
    if same { Ok(()) } else { Err("`decide` comes to another decision") }
}
