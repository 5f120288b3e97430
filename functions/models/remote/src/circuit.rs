//! Whether the server is known to be down.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::server::CallError;

/// So many failures one after the other mean that the server is down.
const FAILURES: u32 = 3;

/// How long it is not called then; the time doubles as long as the next call fails, too.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts failures of the server itself.
#[derive(Debug, Default)]
pub(crate) struct Circuit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    last: String,
    /// Until when it is not called.
    until: Option<Instant>,
}

/// A call that was allowed. One that is dropped before it has ended has had no answer in time.
pub(crate) struct Attempt<'c>(Option<&'c Circuit>);

impl Circuit {
    /// Allows a call, or says why the server is not called. After each pause one call is allowed, which
    /// finds out whether the server is back.
    pub(crate) fn attempt(&self) -> Result<Attempt<'_>, String> {
        let mut state = self.state();
        if let Some(until) = state.until {
            if Instant::now() < until {
                return Err(format!(
                    "the server is not called, because it is down: {}",
                    state.last
                ));
            }
            state.until = Some(Instant::now() + pause(state.failures));
        }
        Ok(Attempt(Some(self)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every section under this lock is one operation.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// How the call ended. A refusal of the call is an answer: the server is up.
    pub(crate) fn ended<T>(mut self, answered: &Result<T, CallError>) {
        let Some(circuit) = self.0.take() else { return };
        match answered {
            Ok(_) | Err(CallError::Refused(_)) => *circuit.state() = State::default(),
            Err(CallError::Down(what)) => circuit.state().fail(what),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(circuit) = self.0 {
            circuit.state().fail("it did not answer in time");
        }
    }
}

impl State {
    fn fail(&mut self, what: &str) {
        self.failures = self.failures.saturating_add(1);
        what.clone_into(&mut self.last);
        if self.failures >= FAILURES {
            self.until = Some(Instant::now() + pause(self.failures));
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> Result<(), CallError> {
        Err(CallError::Down("connection refused".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn after_three_failures_the_server_is_called_once_after_each_pause_until_it_answers() {
        let circuit = Circuit::default();
        for _ in 0..FAILURES {
            circuit.attempt().ok().unwrap().ended(&down());
        }
        let refusal = circuit.attempt().err().unwrap();
        assert!(refusal.contains("connection refused"), "{refusal}");
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            tokio::time::advance(Duration::from_millis(pause * 1_000 - 1)).await;
            assert!(circuit.attempt().is_err(), "before {pause} s");
            tokio::time::advance(Duration::from_millis(1)).await;
            let probe = circuit.attempt().ok().unwrap();
            assert!(circuit.attempt().is_err(), "one call finds out");
            probe.ended(&down());
        }
        for _ in 0..FAILURES {
            tokio::time::advance(LONGEST_PAUSE).await;
            drop(circuit.attempt());
        }
        assert!(circuit.attempt().err().unwrap().contains("it did not answer in time"));
        tokio::time::advance(LONGEST_PAUSE).await;
        circuit.attempt().ok().unwrap().ended(&Ok(()));
        circuit.attempt().ok().unwrap().ended(&down());
        assert!(circuit.attempt().is_ok(), "the failures before do not count");
    }

    #[tokio::test]
    async fn a_refused_call_does_not_mean_that_the_server_is_down() {
        let circuit = Circuit::default();
        for _ in 0..10 {
            let refused = Err::<(), _>(CallError::Refused("400".to_owned()));
            circuit.attempt().ok().unwrap().ended(&refused);
        }
        assert!(circuit.attempt().is_ok());
    }
}
