use std::{
    fmt::Write,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use super::super::hold::Hold;
use crate::{
    clock::Timestamp,
    names::{EndpointName, Key},
    read_once::ReadOnce,
};

/// A record as the stream keeps it.
#[derive(Debug)]
pub struct StoredRecord<T = Bytes> {
    pub shard: usize,
    pub sequence: u64,
    pub key: Key,
    pub data: T,
    pub arrived: Timestamp,
    pub(super) event_id: String,
    /// Of `key`.
    pub(super) hash: u64,
    /// Once it is asked for.
    pub(super) endpoint: OnceLock<Option<EndpointName>>,
    /// What functions read of `data`.
    pub read: ReadOnce,
    /// What `data` takes.
    pub(super) bytes: usize,
    pub(super) held: Arc<AtomicUsize>,
    /// Keeps it written for as long as it is held.
    pub(in crate::memory) kept: Option<Hold>,
}

/// How many digits a sequence number has as a text.
const DIGITS: usize = 20;

pub(super) fn event_id(shard: &str, sequence: u64) -> String {
    let mut id = String::with_capacity(shard.len() + 1 + DIGITS);
    // Writing to a string cannot fail.
    let _ = write!(id, "{shard}:{sequence:0DIGITS$}");
    id
}

impl<T> StoredRecord<T> {
    /// What events call the record, as with Kinesis: the name of its shard, a colon and its sequence
    /// number.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The sequence number in decimal, as on AWS. Leading zeros let it grow along a shard as a text,
    /// too.
    pub fn sequence_number(&self) -> &str {
        &self.event_id[self.event_id.len() - DIGITS..]
    }

    /// The endpoint that `read` finds in the data. It is read once, for all mappings that filter by it.
    pub fn endpoint(&self, read: impl FnOnce(&T) -> Option<EndpointName>) -> Option<&EndpointName> {
        self.endpoint.get_or_init(|| read(&self.data)).as_ref()
    }

    /// On which of so many lanes it is: records of one key are on one.
    pub(super) fn lane(&self, lanes: usize) -> usize {
        // Other bits than those that tell the shard.
        usize::try_from(self.hash.swap_bytes() % lanes as u64).unwrap_or(0)
    }
}

impl<T> Drop for StoredRecord<T> {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
