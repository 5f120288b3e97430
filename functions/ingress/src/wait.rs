//! Waiting for a decision: watch the mailbox, settle when the clock says so, and return before the
//! deadline whatever happens.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Decision, Endpoint, Envelope, Mailbox, Reason, Score, Timestamp, Unavailable,
    clock::sleep_until,
    limits::MAX_DEADLINE,
    mutation::{Mutation, mutated},
    now,
    ports::{Consistency, Ledger, Watch},
    settle::{RequestState, Settled, settle, verdict_in_hand},
    within,
};
use tokio::time::timeout;

/// The decision that is answered.
pub(crate) struct Waited {
    pub(crate) decision: Arc<Decision>,
    /// Whether its commit on the ledger is confirmed.
    pub(crate) settled: bool,
    /// The results that were filed before it, as far as they are known.
    pub(crate) scores: Vec<Score>,
}

impl From<Settled> for Waited {
    fn from(Settled { decision, scores }: Settled) -> Self {
        Self { decision, settled: true, scores }
    }
}

impl Waited {
    pub(crate) fn unsettled(decision: Decision, scores: Vec<Score>) -> Self {
        Self { decision: Arc::new(decision), settled: mutated(Mutation::ClaimSettled), scores }
    }
}

/// How long to wait before a call that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Waits for the decision of a request that was sent, and settles it when its time has come.
///
/// Returns at `due` at the latest: the deadline, or later where the call came too late for it.
pub(crate) async fn wait<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    margin: Duration,
    due: Timestamp,
) -> Waited {
    let last = envelope.deadline - margin;
    let mut watch = ledger.watch(envelope);
    // The instant of the schedule's next change.
    let mut next = last;
    let mut seen: Option<Mailbox> = None;
    while now() < last {
        // The read at `last` is that of `close`, so that the watch need not read then, too.
        let until = if next < last { next } else { envelope.deadline };
        let Ok(changed) = timeout(last.since(now()), watch.changed(until)).await else { break };
        match changed {
            Ok(mailbox) => match mailbox.map(Settled::of) {
                Some(Ok(settled)) => return settled.into(),
                Some(Err(open)) => seen = Some(open),
                None => {}
            },
            Err(cause) => {
                warn(envelope, &cause);
                sleep_until((now() + RETRY_PAUSE).min(last)).await;
                continue;
            }
        }
        if now() >= last {
            break;
        }
        let settled = settle(ledger, endpoint, envelope, seen.clone(), &[], &[], now());
        match within("ledger", last.since(now()), settled).await {
            Ok(RequestState::Settled(settled)) => return settled.into(),
            Ok(RequestState::Open(instant)) => next = instant,
            Ok(RequestState::Reopened(_) | RequestState::Forgotten) => {
                return in_hand(endpoint, envelope, seen, Reason::Unavailable, now());
            }
            Err(cause) => {
                warn(envelope, &cause);
                next = now() + RETRY_PAUSE;
            }
        }
    }
    sleep_until(last).await;
    // The watch goes on: a ledger in memory knows by it that this request had no mailbox before.
    close(ledger, endpoint, envelope, seen, due).await
}

/// The last read: decides a margin before the deadline, as of the deadline.
async fn close<L: Ledger>(
    ledger: &L,
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    seen: Option<Mailbox>,
    due: Timestamp,
) -> Waited {
    let at = now().max(envelope.deadline);
    let due = if mutated(Mutation::IgnoreDeadline) { due + MAX_DEADLINE } else { due };
    let left = || due.since(now());
    let read = ledger.read(envelope.id, Consistency::Strong);
    let mailbox = match within("ledger", left(), read).await {
        Ok(mailbox) => mailbox,
        Err(cause) => {
            warn(envelope, &cause);
            return in_hand(endpoint, envelope, seen, Reason::Unavailable, at);
        }
    };
    let settled = settle(ledger, endpoint, envelope, mailbox.clone(), &[], &[], at);
    let reason = match within("ledger", left(), settled).await {
        Ok(RequestState::Settled(settled)) => return settled.into(),
        // Decided and forgotten, or opened again by a repeat: the decision cannot be known here.
        Ok(RequestState::Forgotten | RequestState::Reopened(_)) => Reason::Unavailable,
        Ok(RequestState::Open(_)) => Reason::Deadline,
        Err(cause) => {
            warn(envelope, &cause);
            Reason::Deadline
        }
    };
    in_hand(endpoint, envelope, mailbox, reason, at)
}

/// The verdict on the mailbox as last seen, when it cannot be committed in time.
fn in_hand(
    endpoint: &Endpoint,
    envelope: &Arc<Envelope>,
    seen: Option<Mailbox>,
    otherwise: Reason,
    at: Timestamp,
) -> Waited {
    let seen = seen.unwrap_or_else(|| Mailbox::empty(envelope.clone()));
    Waited::unsettled(verdict_in_hand(endpoint, envelope, &seen, otherwise, at), seen.scores)
}

fn warn(envelope: &Envelope, cause: &Unavailable) {
    tracing::warn!(request = %envelope.id, endpoint = %envelope.endpoint, %cause, "a ledger call failed while a client waits");
}
