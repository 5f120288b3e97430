//! What is said while the log cannot be written.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rendezvous_core::{Timestamp, memory::Journal, now};
use tokio::time::sleep;

use crate::say::{timed, warn};

/// How often it is told that the log cannot be written.
const TOLD: Duration = Duration::from_mins(1);

/// How often it is looked whether a write takes too long.
const LOOKED: Duration = Duration::from_secs(1);

/// Tells that the log cannot be written, at most once a minute, and when it can again.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// When it was told last.
    at: Option<Timestamp>,
    /// It was not told yet that the log is written again.
    is_open: bool,
}

impl Trouble {
    pub(super) fn begins(&self, why: impl Display) {
        let told = &mut *self.told();
        if told.at.is_none_or(|at| now().since(at) >= TOLD) {
            *told = Told { at: Some(now()), is_open: true };
            let what = "the log cannot be written; requests are refused until it can";
            warn(timed(format_args!("warning: {why}: {what}")));
        }
    }

    pub(super) fn ends(&self) {
        if std::mem::take(&mut self.told().is_open) {
            warn(timed("The log is written again."));
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of a write that takes too long, for as long as there is a journal: the thread that waits for it cannot.
pub(super) async fn watch(journal: Weak<Journal>, trouble: Arc<Trouble>) {
    loop {
        sleep(LOOKED).await;
        let Some(journal) = journal.upgrade() else { return };
        if let Err(error) = journal.check() {
            trouble.begins(error.detail);
        }
    }
}
