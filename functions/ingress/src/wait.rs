//! Waiting for a decision: look into the mailbox from time to time, settle when the clock says so,
//! and answer before the deadline whatever happens.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Decision, Endpoint, Envelope, Mailbox, Reason, Timestamp, Unavailable, Verdict,
    clock::sleep_until,
    now,
    ports::{Consistency, Ledger, Proposal},
    settle::{Standing, settle},
};
use tokio::time::timeout;

use crate::pace::{Bounds, Pace};

/// How ingress waits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long before the deadline it settles, so that a read, a write and the reply still fit in.
    pub margin: Duration,
    /// Bounds of the interval between two looks into a mailbox.
    pub looks: Bounds,
}

/// What is answered, and whether it is certain that nobody will read another decision.
pub(crate) struct Answer {
    pub(crate) decision: Arc<Decision>,
    pub(crate) settled: bool,
    /// How long a score took to settle it, if that could be seen.
    pub(crate) taken: Option<Duration>,
}

impl Answer {
    pub(crate) fn settled(decision: Arc<Decision>) -> Self {
        Self { decision, settled: true, taken: None }
    }

    /// The fallback, for want of a dependency, and not committed.
    pub(crate) fn unavailable(endpoint: &Endpoint, envelope: &Envelope) -> Self {
        let settlement = endpoint.configuration.schedule.give_up(Reason::Unavailable);
        Self::unsettled(Decision::new(&settlement, endpoint, envelope, &[], now()))
    }

    fn unsettled(decision: Decision) -> Self {
        Self { decision: Arc::new(decision), settled: false, taken: None }
    }
}

/// Waits for the decision of a request that is on its way, and settles it when time does.
pub(crate) async fn wait<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    pace: Pace,
    settings: Settings,
) -> Answer {
    let last_look = envelope.deadline - settings.margin;
    // The instant that the schedule names for the next change; tried again at the usual pace when
    // something fails then.
    let mut named = envelope.deadline;
    let mut seen: Option<Mailbox> = None;
    let mut looks = 0;
    loop {
        let pause = pace.next(now().since(envelope.received), looks, settings.looks);
        sleep_until((now() + pause).min(named).min(last_look)).await;
        looks += 1;
        named = envelope.deadline;
        let closing = now() >= last_look;
        let (at, until, consistency) = if closing {
            // Decided a little early, as of the deadline. Who comes back late gets a margin, too.
            let at = now().max(envelope.deadline);
            (at, envelope.deadline.max(now() + settings.margin), Consistency::Strong)
        } else {
            (now(), last_look, Consistency::Eventual)
        };
        match within(until, ledger.read(envelope.id, consistency)).await {
            Ok(Some(Mailbox { decision: Some(decision), .. })) => {
                let by_score = !matches!(decision.reason, Reason::Deadline | Reason::Unavailable);
                let taken = decision.decided.since(envelope.received);
                return Answer { taken: by_score.then_some(taken), ..Answer::settled(decision) };
            }
            Ok(mailbox) => {
                let mailbox = mailbox.unwrap_or_else(|| Mailbox::empty(envelope.clone()));
                let known = Some(mailbox.clone());
                seen = Some(mailbox);
                match within(until, settle(ledger, endpoint, envelope, known, &[], at)).await {
                    Ok(Standing::Settled(decision)) => return Answer::settled(decision),
                    Ok(Standing::Open(instant)) => named = instant,
                    // It was decided and forgotten before we looked: who decided is not to be had.
                    Ok(Standing::Forgotten) => {
                        return in_hand(endpoint, envelope, None, Reason::Unavailable, at);
                    }
                    Err(cause) => report(envelope, &cause, "settling"),
                }
            }
            Err(cause) => {
                report(envelope, &cause, "reading");
                if closing {
                    return in_hand(endpoint, envelope, seen, Reason::Unavailable, at);
                }
            }
        }
        if closing {
            return in_hand(endpoint, envelope, seen, Reason::Deadline, at);
        }
    }
}

/// Settles on the fallback because the request could not be sent. Nothing when a model has scored
/// it all the same: it was sent, though we were not told.
pub(crate) async fn give_up<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    settings: Settings,
) -> Option<Answer> {
    let schedule = &endpoint.configuration.schedule;
    let settlement = schedule.give_up(Reason::Unavailable);
    let decision = Decision::new(&settlement, endpoint, envelope, &[], now());
    let rivals = schedule.choices().iter().map(|choice| choice.model.clone()).collect();
    let proposal = Proposal { decision: decision.clone(), rivals };
    let until = envelope.deadline.max(now() + settings.margin).min(now() + settings.margin * 4);
    match within(until, ledger.settle(envelope, &[], proposal)).await {
        Ok(Some(Mailbox { decision: Some(decision), .. })) => Some(Answer::settled(decision)),
        Ok(Some(_)) => None,
        Ok(None) => Some(Answer::unsettled(decision)),
        Err(cause) => {
            report(envelope, &cause, "settling");
            Some(Answer::unsettled(decision))
        }
    }
}

/// The verdict on what was last seen, when it cannot be committed in time.
fn in_hand(
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    seen: Option<Mailbox>,
    without_score: Reason,
    at: Timestamp,
) -> Answer {
    let seen = seen.unwrap_or_else(|| Mailbox::empty(envelope.clone()));
    let schedule = &endpoint.configuration.schedule;
    let settlement = match schedule.decide(envelope.received, envelope.deadline, at, &seen) {
        Verdict::Settle(settlement)
            if settlement.choice.is_some() || settlement.reason == Reason::Exhausted =>
        {
            settlement
        }
        _ => schedule.give_up(without_score),
    };
    Answer::unsettled(Decision::new(&settlement, endpoint, envelope, &seen.scores, at))
}

/// The result of `call`, or its failure when it does not come in time.
pub(crate) async fn within<T>(
    until: Timestamp,
    call: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, Unavailable> {
    let slow = || Unavailable::Down("ledger (no answer in time)".into());
    timeout(until.since(now()), call).await.map_err(|_| slow())?
}

fn report(envelope: &Envelope, cause: &Unavailable, doing: &str) {
    tracing::warn!(request = %envelope.id, endpoint = %envelope.endpoint, %cause, doing, "the ledger fails");
}
