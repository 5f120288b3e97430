//! The payloads that were stored, and those that were replaced.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use rendezvous_core::{PayloadRef, Sha256Digest};

use super::Witness;

#[derive(Debug, Default)]
pub(super) struct Stored {
    by_digest: BTreeMap<Sha256Digest, Bytes>,
    /// The URLs' ends of those that were replaced.
    lost: HashSet<String>,
}

impl Witness {
    /// Ingress stores a payload.
    pub(crate) fn stores(&self, sha256: Sha256Digest, payload: &Bytes) {
        self.seen().payloads.by_digest.insert(sha256, payload.clone());
    }

    /// A stored payload is replaced.
    pub(crate) fn loses(&self, key: &str) {
        self.seen().payloads.lost.insert(key.to_owned());
    }

    /// The payload to which a message refers.
    pub(crate) fn payload(&self, reference: &PayloadRef) -> Option<Bytes> {
        self.seen().payloads.by_digest.get(&reference.sha256).cloned()
    }

    /// Whether the payload to which a message refers was replaced at some time.
    pub(crate) fn is_lost(&self, reference: &PayloadRef) -> bool {
        self.seen().payloads.lost.iter().any(|key| reference.url.ends_with(key.as_str()))
    }
}
