//! Runs one ONNX graph on a thread of its own.
//!
//! The graph's runtime works on a thread pool, and a call from a thread outside the pool blocks
//! that thread. So the one thread of a pool of one serves a queue for as long as the model is
//! loaded: callers await their result, and a time-out can cancel the wait. Because that thread
//! never leaves the pool, the pool never spins for work either.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::{AsView, Layout, NdTensor, NdTensorView};
use tokio::sync::oneshot;

/// What a run returns: the output's numbers row by row, or what went wrong.
type Output = Result<Vec<f32>, String>;

/// The thread that runs a graph. It ends when this is dropped.
pub(crate) struct Engine {
    queue: Sender<Job>,
}

struct Job {
    rows: usize,
    numbers: Vec<f32>,
    reply: oneshot::Sender<Output>,
}

impl Engine {
    /// Starts the thread of `graph`, whose input has `columns` numbers per row and whose output has
    /// `outputs`.
    pub(crate) fn start(graph: Model, columns: usize, outputs: usize) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        // This thread only waits for the pool's, because a call into a pool blocks.
        thread::Builder::new().name("onnx".to_owned()).stack_size(64 * 1024).spawn(move || {
            let pool = Arc::new(ThreadPool::with_num_threads(1));
            let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
            pool.run(move || serve(&graph, &options, &jobs, columns, outputs));
        })?;
        Ok(Self { queue })
    }

    /// Runs the graph on `rows` rows, after the runs that are queued already.
    pub(crate) async fn run(&self, rows: usize, numbers: Vec<f32>) -> Output {
        let (reply, output) = oneshot::channel();
        let ended = || "the model's thread has ended".to_owned();
        self.queue.send(Job { rows, numbers, reply }).map_err(|_| ended())?;
        output.await.map_err(|_| ended())?
    }
}

fn serve(
    graph: &Model,
    options: &RunOptions,
    jobs: &Receiver<Job>,
    columns: usize,
    outputs: usize,
) {
    for Job { rows, numbers, reply } in jobs {
        // The caller was cancelled, by a time-out for example: skip the run.
        if reply.is_closed() {
            continue;
        }
        let run = AssertUnwindSafe(|| run(graph, options, [rows, columns], numbers, outputs));
        let output = catch_unwind(run).unwrap_or_else(|_| Err("the graph panicked".to_owned()));
        let _ = reply.send(output);
    }
}

fn run(
    graph: &Model,
    options: &RunOptions,
    shape: [usize; 2],
    numbers: Vec<f32>,
    outputs: usize,
) -> Output {
    let input = NdTensor::<f32, 2>::from_data(shape, numbers);
    let output = graph.run_one(input.into(), Some(options.clone()));
    let output = output.map_err(|error| error.to_string())?;
    let output: NdTensorView<f32, 2> =
        output.as_view().try_into().map_err(|error| format!("output: {error}"))?;
    let expected = [shape[0], outputs];
    if output.shape() != expected {
        return Err(format!("the output's shape is {:?}, not {expected:?}", output.shape()));
    }
    Ok(output.to_vec())
}
