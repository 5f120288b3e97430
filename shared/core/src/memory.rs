//! The ports in memory: the reference for other implementations, the base of the local system, and
//! the place where tests inject faults.

mod archive;
mod changes;
mod hold;
mod journal;
mod ledger;
mod outage;
mod payloads;
mod secrets;
mod stream;
mod tables;
mod telemetry;
mod windows;

pub use archive::MemoryArchive;
pub use changes::Change;
pub use hold::{Hold, Part};
pub use journal::{Entry, Journal, Taken};
pub use ledger::MemoryLedger;
pub use outage::{Outage, Trouble};
pub use payloads::MemoryPayloads;
pub use secrets::MemorySecrets;
pub use stream::{MemoryStream, Position, StoredRecord, Subscription};
pub use tables::{MemoryEndpoints, MemoryOutcomes, StoredOutcome};
pub use telemetry::MemoryTelemetry;
pub use windows::MemoryWindows;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A poisoned lock is used all the same: no section under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
