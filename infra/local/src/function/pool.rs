//! A function as its mapping sees it: as many processes as there are events at a time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rendezvous_aws::batch::{Response, StreamBatch};
use rendezvous_sim::{Actor, faults::Faults, mapping::Function};
use tokio::time::{Instant, sleep_until};

use super::process::{Process, Program};

/// The pause before a process is started after one has failed; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A process that has worked for so long is well: the next pause is the first one again. One that fails soon after each
/// start, e.g. because it fills its memory, would otherwise be started all the time, which takes the processors from the
/// other models.
const WELL_AFTER: Duration = Duration::from_mins(1);

/// A function in processes of its own.
pub(crate) struct ProcessFunction(Arc<Pool>);

struct Pool {
    actor: Arc<Actor>,
    faults: Arc<Faults>,
    program: Program,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Processes that wait for an event.
    idle: Vec<Process>,
    /// Failures since a process was well, and when the next one may be started.
    failures: u32,
    not_before: Option<Instant>,
}

impl State {
    fn failed(&mut self) {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause.min(LONGEST_PAUSE));
    }

    /// A process has answered that was started so long ago.
    fn answered(&mut self, age: Duration) {
        if age >= WELL_AFTER {
            self.failures = 0;
        }
    }
}

impl ProcessFunction {
    /// A function whose first process is started at once, so that a mistake is known before the first
    /// event: `tell` is called with it.
    pub(crate) fn start(
        actor: Arc<Actor>,
        faults: Arc<Faults>,
        program: Program,
        tell: impl FnOnce(String) + Send + 'static,
    ) -> Self {
        let pool = Arc::new(Pool { actor, faults, program, state: Mutex::default() });
        let starting = pool.clone();
        tokio::spawn(async move {
            match Process::start(&starting.program).await {
                Ok(process) => starting.state().idle.push(process),
                Err(what) => {
                    starting.failed();
                    tell(what);
                }
            }
        });
        Self(pool)
    }
}

impl Pool {
    /// A process that waits, or a new one.
    async fn process(&self) -> Result<Process, String> {
        let not_before = {
            let mut state = self.state();
            if let Some(process) = state.idle.pop() {
                return Ok(process);
            }
            state.not_before
        };
        if let Some(not_before) = not_before {
            sleep_until(not_before).await;
        }
        Process::start(&self.program).await.inspect_err(|_| self.failed())
    }

    fn failed(&self) {
        self.state().failed();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every section under this lock is one operation.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Function for ProcessFunction {
    fn actor(&self) -> &Actor {
        &self.0.actor
    }

    async fn invoke<'a>(&'a self, event: StreamBatch<'a>) -> Result<Response, String> {
        self.0.invoke(event).await
    }
}

impl Pool {
    async fn invoke(&self, event: StreamBatch<'_>) -> Result<Response, String> {
        if self.faults.is_killed() {
            return Err("killed".to_owned());
        }
        let event = serde_json::to_vec(&event).map_err(|error| error.to_string())?;
        let mut process = self.process().await?;
        let answered = process.invoke(event.into()).await.inspect_err(|_| self.failed())?;
        // One that has raised an error and waits for the next event goes on, as on Lambda.
        if process.is_ready().await {
            let mut state = self.state();
            state.answered(process.age());
            state.idle.push(process);
        } else {
            self.failed();
        }
        let body = answered?;
        Response::parse(&body).map_err(|_| "its response is no partial batch response".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_a_process_has_worked_for_a_minute() {
        let mut state = State::default();
        let mut pause = || {
            state.failed();
            // It answers some events and fails again.
            state.answered(WELL_AFTER / 2);
            state.not_before.unwrap() - Instant::now()
        };
        let pauses: Vec<u128> = (0..11).map(|_| pause().as_millis()).collect();
        let doubled = [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200];
        assert_eq!(pauses[..9], doubled);
        assert_eq!(pauses[9..], [60_000; 2]);
        state.answered(WELL_AFTER);
        state.failed();
        assert_eq!(state.not_before.unwrap() - Instant::now(), FIRST_PAUSE);
    }
}
