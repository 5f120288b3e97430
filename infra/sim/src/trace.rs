use std::{
    fmt::Display,
    sync::{Mutex, PoisonError},
};

use rendezvous_core::{clock::with_clock_ahead, now};

use crate::Actor;

/// What happened in a run: a line for each call of a port, for each invocation, and for each answer,
/// with its virtual time. For tests: it grows without bound.
#[derive(Debug, Default)]
pub struct Trace(Mutex<Vec<String>>);

impl Trace {
    /// The lines so far, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add(&self, actor: &Actor, what: impl Display) {
        // The true time, not the actor's.
        let at = with_clock_ahead(0, now);
        let line = format!("{at} {}: {what}", actor.name());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
