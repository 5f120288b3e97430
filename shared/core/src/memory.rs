//! The ports in memory: the reference that other implementations are held to, what the local
//! system runs on, and what tests break on purpose.

mod archive;
mod changes;
mod ledger;
mod outage;
mod stream;
mod tables;

pub use archive::MemoryArchive;
pub use changes::Change;
pub use ledger::MemoryLedger;
pub use outage::{Outage, Trouble};
pub use stream::{MemoryStream, Position, StoredRecord, Subscription};
pub use tables::{MemoryEndpoints, MemoryOutcomes, Outcome};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a panicking holder left behind is whole: no section under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
