//! Runs one ONNX graph on a thread of its own.
//!
//! The graph's runtime works on a thread pool, and a call from outside the pool would block its
//! caller, a thread of the asynchronous runtime. So one thread of a pool of one serves a queue for
//! as long as the model lives: the caller awaits, a time-out can end the wait, and the pool, which
//! spins when it runs dry, never does.

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

/// What a run gives: the output's numbers row by row, or what went wrong.
type Output = Result<Vec<f32>, String>;

/// The thread that runs a graph; it ends when this is dropped.
pub(crate) struct Engine {
    queue: Sender<Job>,
}

struct Job {
    rows: usize,
    numbers: Vec<f32>,
    reply: oneshot::Sender<Output>,
}

impl Engine {
    /// Starts the thread of `graph`, which takes `columns` numbers a row and gives `outputs`.
    pub(crate) fn start(graph: Model, columns: usize, outputs: usize) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        // This thread only waits for the pool's: a call into a pool blocks.
        thread::Builder::new().name("onnx".to_owned()).stack_size(64 * 1024).spawn(move || {
            let pool = Arc::new(ThreadPool::with_num_threads(1));
            let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
            pool.run(move || serve(&graph, &options, &jobs, columns, outputs));
        })?;
        Ok(Self { queue })
    }

    /// Runs the graph on `rows` rows.
    pub(crate) async fn run(&self, rows: usize, numbers: Vec<f32>) -> Output {
        let (reply, output) = oneshot::channel();
        let gone = || "the model's thread has ended".to_owned();
        self.queue.send(Job { rows, numbers, reply }).map_err(|_| gone())?;
        output.await.map_err(|_| gone())?
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
        // Whoever has given up waiting needs no answer.
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
        return Err(format!("the output is {:?}, not {expected:?}", output.shape()));
    }
    Ok(output.to_vec())
}
