use std::collections::{HashSet, VecDeque};

use rendezvous_core::{
    Envelope, RequestId, Timestamp,
    mutation::{Mutation, mutated},
};

/// How many settled requests are remembered, at some 40 bytes each.
const REMEMBERED: usize = 8_192;

/// The requests known to be settled, so that their later scores cost no write.
///
/// An idempotency key that is used again after the ledger has forgotten it gives a new request of
/// the same id, so that the time of receipt belongs to the identity.
#[derive(Default)]
pub(crate) struct Remembered {
    requests: HashSet<(RequestId, Timestamp)>,
    by_age: VecDeque<(RequestId, Timestamp)>,
}

impl Remembered {
    pub(crate) fn contains(&self, envelope: &Envelope) -> bool {
        self.requests.contains(&identity(envelope))
    }

    pub(crate) fn insert(&mut self, envelope: &Envelope) {
        let request = identity(envelope);
        if !self.requests.insert(request) {
            return;
        }
        self.by_age.push_back(request);
        if self.by_age.len() > REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.requests.remove(&oldest);
        }
    }
}

fn identity(envelope: &Envelope) -> (RequestId, Timestamp) {
    if mutated(Mutation::RememberIdOnly) {
        (envelope.id, Timestamp::default())
    } else {
        (envelope.id, envelope.received)
    }
}
