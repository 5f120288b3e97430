use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rendezvous_core::{Mailbox, RequestId, Timestamp};

/// The longest that an eventual read is stale.
pub(crate) const STALEST: Duration = Duration::from_secs(1);

/// How many mailboxes are kept, at least, before those are dropped that no stale read can need.
const KEPT: usize = 512;

/// The mailboxes as they were up to a second ago, and some older ones.
#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<States>);

#[derive(Debug, Default)]
struct States {
    of: HashMap<RequestId, Vec<(Timestamp, Mailbox)>>,
    /// How many there were when those that nothing can need were dropped.
    needed: usize,
}

impl Past {
    /// Takes note of a mailbox as it is written now.
    pub(crate) fn note(&self, mailbox: &Mailbox, now: Timestamp) {
        let States { of, needed } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of.entry(mailbox.envelope.id).or_default().push((now, mailbox.clone()));
        // Each pass over all of them has as many calls before it.
        if of.len() > KEPT.max(*needed * 2) {
            of.retain(|_, states| states.last().is_some_and(|(at, _)| now.since(*at) < STALEST));
            *needed = of.len();
        }
    }

    /// The mailbox as it was then, where `current` is what it is now.
    pub(crate) fn at(
        &self,
        id: RequestId,
        then: Timestamp,
        current: Option<Mailbox>,
    ) -> Option<Mailbox> {
        let past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match past.of.get(&id) {
            None => current,
            Some(states) => {
                states.iter().rev().find(|(at, _)| *at <= then).map(|(_, mailbox)| mailbox.clone())
            }
        }
    }
}
