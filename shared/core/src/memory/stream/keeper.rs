use std::{fmt, sync::Arc};

use super::{super::hold::Hold, StoredRecord};

/// Stores a record; beside it returns what holds what is kept of the item that the record is about.
type Keep<T> = dyn Fn(StoredRecord<T>) -> (Arc<StoredRecord<T>>, Option<Hold>) + Send + Sync;

/// Keeps the records of a stream outside of memory, in the order in which they are put.
pub(in crate::memory) struct Keeper<T>(Box<Keep<T>>);

impl<T> Keeper<T> {
    pub(in crate::memory) fn new(
        keep: impl Fn(StoredRecord<T>) -> (Arc<StoredRecord<T>>, Option<Hold>) + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(keep))
    }

    pub(super) fn keep(&self, record: StoredRecord<T>) -> (Arc<StoredRecord<T>>, Option<Hold>) {
        (self.0)(record)
    }
}

impl<T> fmt::Debug for Keeper<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}
