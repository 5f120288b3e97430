use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rendezvous_core::{Mailbox, RequestId, Timestamp};

/// The longest that an eventual read is stale.
pub(crate) const STALEST: Duration = Duration::from_secs(1);

/// How many mailboxes are kept before those are dropped that no stale read can need.
const KEPT: usize = 512;

/// The mailboxes as they were up to a second ago.
#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<HashMap<RequestId, Vec<(Timestamp, Mailbox)>>>);

impl Past {
    /// Takes note of a mailbox as it is written now.
    pub(crate) fn note(&self, mailbox: &Mailbox, now: Timestamp) {
        let past = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.entry(mailbox.envelope.id).or_default().push((now, mailbox.clone()));
        if past.len() > KEPT {
            past.retain(|_, states| states.last().is_some_and(|(at, _)| now.since(*at) < STALEST));
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
        match past.get(&id) {
            None => current,
            Some(states) => {
                states.iter().rev().find(|(at, _)| *at <= then).map(|(_, mailbox)| mailbox.clone())
            }
        }
    }
}
