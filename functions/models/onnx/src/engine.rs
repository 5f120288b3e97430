//! Runs one ONNX graph: in place while it is quick, else on the threads that all models share.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rten::ThreadPool;
use tokio::sync::oneshot;

use crate::{
    graph::{Batch, Graph, Table},
    workers::{Next, Workers, here},
};

/// What a run returns: the graph's outputs, or what went wrong.
type Output = Result<Vec<Table>, String>;

/// The longest that a run in place may be expected to take: the thread does nothing else meanwhile.
const QUICK: Duration = Duration::from_micros(500);

/// How many calls that have timed out may still be running before the next fail at once.
const MAX_STUCK: usize = 2;

/// A graph, ready to run.
#[derive(Debug)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
    workers: Arc<Workers>,
}

/// What the calls of a graph share.
struct Shared {
    graph: Graph,
    /// Whether the graph has no loop, so that the time of a run is bounded by its size.
    ends: bool,
    /// What a row has taken lately, in nanoseconds.
    row_ns: AtomicU64,
    /// Calls that have timed out and are still running.
    stuck: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a graph, {} calls stuck", self.stuck.load(Ordering::Relaxed))
    }
}

impl Engine {
    /// The engine of a graph. `ends` says that the graph has no loop.
    pub(crate) fn new(graph: Graph, ends: bool, workers: &Arc<Workers>) -> Self {
        let (row_ns, stuck) = (AtomicU64::new(u64::MAX), AtomicUsize::new(0));
        Self { shared: Shared { graph, ends, row_ns, stuck }.into(), workers: workers.clone() }
    }

    /// Runs the graph on a batch. When the future is dropped, for example by a time-out, a run that
    /// has begun goes on without taking a thread from others.
    pub(crate) async fn run(&self, batch: Batch) -> Output {
        if self.shared.is_quick(batch.rows)
            && let Some(pool) = here()
        {
            return self.shared.run(&pool, batch);
        }
        if self.shared.stuck.load(Ordering::Relaxed) >= MAX_STUCK {
            return Err(format!("the graph is still running for {MAX_STUCK} calls that timed out"));
        }
        let (reply, output) = oneshot::channel();
        let call = Call { engine: self, phase: Arc::default() };
        let (shared, phase) = (self.shared.clone(), call.phase.clone());
        let job = move |pool: &Arc<ThreadPool>| {
            if !begin(&phase) {
                return Next::Job;
            }
            let output = shared.run(pool, batch);
            if end(&phase) == Phase::Abandoned {
                shared.stuck.fetch_sub(1, Ordering::Relaxed);
                return Next::End;
            }
            let _ = reply.send(output);
            Next::Job
        };
        self.workers.run(Box::new(job)).map_err(|error| format!("no thread: {error}"))?;
        let output = output.await.map_err(|_| "the graph's thread has ended".to_owned());
        drop(call);
        output?
    }
}

impl Shared {
    /// Whether a run is expected to take so little time that a thread of its own would cost more.
    fn is_quick(&self, rows: usize) -> bool {
        let row = Duration::from_nanos(self.row_ns.load(Ordering::Relaxed));
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.ends && row.checked_mul(rows).is_some_and(|run| run <= QUICK)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the true time of a run, also where time is paused"
    )]
    fn run(&self, pool: &Arc<ThreadPool>, batch: Batch) -> Output {
        let (rows, start) = (batch.rows, Instant::now());
        let run = AssertUnwindSafe(|| self.graph.run(pool, batch));
        let output = catch_unwind(run).unwrap_or_else(|_| Err("the graph panicked".to_owned()));
        let taken = start.elapsed().as_nanos() / rows.max(1) as u128;
        let taken = u64::try_from(taken).unwrap_or(u64::MAX);
        // A slow run counts at once, quick ones bit by bit.
        let former = self.row_ns.load(Ordering::Relaxed);
        let mean = if former == u64::MAX { taken } else { former - former / 8 + taken / 8 };
        self.row_ns.store(mean.max(taken.min(mean.saturating_mul(2))), Ordering::Relaxed);
        output
    }
}

/// A call that waits for a thread. When it is dropped early, another thread takes the place of the
/// one that runs it.
struct Call<'e> {
    engine: &'e Engine,
    phase: Arc<Mutex<Phase>>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Queued,
    Running,
    Done,
    /// Nobody waits for it, and it has not begun.
    Cancelled,
    /// Nobody waits for it, and another thread has taken the place of the one that runs it.
    Abandoned,
}

fn lock(phase: &Mutex<Phase>) -> MutexGuard<'_, Phase> {
    phase.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the job has to be done.
fn begin(phase: &Mutex<Phase>) -> bool {
    let mut phase = lock(phase);
    let wanted = *phase == Phase::Queued;
    if wanted {
        *phase = Phase::Running;
    }
    wanted
}

/// The phase in which the run has ended.
fn end(phase: &Mutex<Phase>) -> Phase {
    let mut phase = lock(phase);
    let ended = *phase;
    *phase = Phase::Done;
    ended
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Self { engine, phase } = self;
        let mut phase = lock(phase);
        match *phase {
            Phase::Queued => *phase = Phase::Cancelled,
            Phase::Running if engine.workers.abandon_one() => {
                engine.shared.stuck.fetch_add(1, Ordering::Relaxed);
                *phase = Phase::Abandoned;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::graph::File;

    fn engine(ends: bool, workers: &Arc<Workers>) -> Engine {
        let flights = concat!(env!("CARGO_MANIFEST_DIR"), "/../flights/timetable.onnx");
        let file = File::read(std::fs::read(flights).unwrap()).unwrap();
        Engine::new(file.graph(&[0]).unwrap(), ends, workers)
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_while_it_runs_gives_its_thread_up_and_the_next_fail_at_once() {
        let workers = Arc::new(Workers::new(1));
        let engine = engine(true, &workers);
        for stuck in 1..=MAX_STUCK {
            let call = Call { engine: &engine, phase: Arc::default() };
            assert!(begin(&call.phase));
            let phase = call.phase.clone();
            // The thread that runs it.
            workers.run(Box::new(|_| Next::Job)).unwrap();
            drop(call);
            assert_eq!(engine.shared.stuck.load(Ordering::Relaxed), stuck);
            assert_eq!(end(&phase), Phase::Abandoned);
        }
        let error =
            engine.run(Batch { rows: 0, sample: false, tables: Vec::new() }).await.unwrap_err();
        assert!(error.contains("still running"), "{error}");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_while_it_waits_is_not_run() {
        let workers = Arc::new(Workers::new(1));
        let engine = engine(true, &workers);
        let (release, released) = channel::<()>();
        let hang = move |_: &Arc<ThreadPool>| {
            let _ = released.recv();
            Next::Job
        };
        workers.run(Box::new(hang)).unwrap();
        let call = Call { engine: &engine, phase: Arc::default() };
        let phase = call.phase.clone();
        drop(call);
        assert!(!begin(&phase) && engine.shared.stuck.load(Ordering::Relaxed) == 0);
        drop(release);
    }

    #[test]
    fn only_a_graph_without_a_loop_that_has_been_quick_runs_in_place() {
        let workers = Arc::new(Workers::new(1));
        let quick = engine(true, &workers);
        assert!(!quick.shared.is_quick(1), "nothing is known of it yet");
        quick.shared.row_ns.store(100_000, Ordering::Relaxed);
        assert!(quick.shared.is_quick(5) && !quick.shared.is_quick(6));
        let looping = engine(false, &workers);
        looping.shared.row_ns.store(1, Ordering::Relaxed);
        assert!(!looping.shared.is_quick(1));
    }
}
