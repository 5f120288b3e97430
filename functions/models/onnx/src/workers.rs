//! The threads that run graphs, shared by all models of the process.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    num::NonZero,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use rten::ThreadPool;
use tokio::{runtime, sync::oneshot};

/// Work for a thread: it gets the pool whose only thread it is on, and returns whether the thread may
/// take the next.
pub(crate) type Job = Box<dyn FnOnce(&Arc<ThreadPool>) -> Next + Send>;

/// What a thread does after a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Job,
    /// Another thread has taken its place.
    End,
}

/// How many threads can be given up at a time because their graph does not return.
const MAX_ABANDONED: usize = 8;

/// As many threads as there are processors, started when there is work for them.
#[derive(Debug)]
pub(crate) struct Workers {
    state: Mutex<State>,
    queued: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads that take jobs, and those of them that wait for one.
    threads: usize,
    idle: usize,
    /// Threads that others have replaced and that have not ended yet.
    abandoned: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { queue, threads, idle, abandoned } = self;
        let queue = queue.len();
        write!(f, "{queue} queued, {threads} threads, {idle} idle, {abandoned} abandoned")
    }
}

impl Workers {
    /// Those of the process.
    pub(crate) fn shared() -> &'static Arc<Self> {
        static SHARED: OnceLock<Arc<Workers>> = OnceLock::new();
        SHARED.get_or_init(|| {
            Arc::new(Self::new(thread::available_parallelism().map_or(1, NonZero::get)))
        })
    }

    /// At most `most` threads that take jobs.
    pub(crate) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), queued: Condvar::new(), most: most.max(1) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every section under this lock is one operation.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job. An error means that no thread could be started, and the job is not queued.
    pub(crate) fn run(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut state = self.state();
        // Threads that are idle may have been woken for jobs that are queued already.
        if state.queue.len() >= state.idle && state.threads < self.most {
            match self.start() {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                // The job waits for one of the other threads.
                Err(_) => {}
            }
        }
        state.queue.push_back(job);
        drop(state);
        self.queued.notify_one();
        Ok(())
    }

    /// Starts a thread that takes jobs.
    fn start(self: &Arc<Self>) -> io::Result<()> {
        let workers = self.clone();
        // This thread only waits for that of the pool, because a call into a pool blocks.
        let thread = thread::Builder::new().name("onnx".to_owned()).stack_size(64 * 1024);
        thread.spawn(move || on_pool_thread(|pool| workers.serve(pool))).map(drop)
    }

    fn serve(&self, pool: &Arc<ThreadPool>) {
        while self.next()(pool) == Next::Job {}
        self.state().abandoned -= 1;
    }

    fn next(&self) -> Job {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return job;
            }
            state.idle += 1;
            state = self.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Lets another thread take the place of one whose job does not return, unless too many have been
    /// given up; returns whether it does. The job must then end its thread ([`Next::End`]).
    pub(crate) fn abandon_one(self: &Arc<Self>) -> bool {
        let mut state = self.state();
        if state.abandoned >= MAX_ABANDONED {
            return false;
        }
        state.abandoned += 1;
        state.threads -= 1;
        if state.queue.len() > state.idle && self.start().is_ok() {
            state.threads += 1;
        }
        true
    }
}

/// Calls `work` on the only thread of a new pool. Because that thread stays in the pool, graphs run on
/// it without another thread, and the pool never spins for work.
fn on_pool_thread<R: Send>(work: impl FnOnce(&Arc<ThreadPool>) -> R + Send) -> R {
    let pool = Arc::new(ThreadPool::with_num_threads(1));
    pool.run(|| work(&pool))
}

thread_local! {
    /// The pool whose only thread this is, on a thread of [`Compute`].
    static HERE: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// The pool of this thread, if graphs can run on it.
pub(crate) fn here() -> Option<Arc<ThreadPool>> {
    HERE.with_borrow(Clone::clone)
}

/// Calls `work` on a thread on which a graph that has shown itself quick runs in place, and waits for
/// it. For one thread that does everything; [`Compute`] has as many as there are processors.
pub fn on_compute_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    on_pool_thread(|pool| {
        HERE.set(Some(pool.clone()));
        work()
    })
}

/// Threads for the tasks that call models, with a tokio runtime of its own each. On such a thread a
/// graph that has shown itself quick runs in place, without waking another thread.
///
/// They end when this is dropped.
#[derive(Debug)]
pub struct Compute {
    threads: Vec<(runtime::Handle, oneshot::Sender<()>)>,
}

impl Compute {
    /// Starts as many threads as there are processors.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let start = |i: usize| {
            let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
            let (end, ended) = oneshot::channel();
            let handle = runtime.handle().clone();
            let serve = move || {
                on_compute_thread(move || {
                    // Dropping the sender ends it, too.
                    let _ = runtime.block_on(ended);
                });
            };
            thread::Builder::new().name(format!("compute-{i}")).spawn(serve)?;
            Ok((handle, end))
        };
        Ok(Self { threads: (0..count).map(start).collect::<io::Result<_>>()? })
    }

    /// The runtimes of the threads.
    pub fn handles(&self) -> impl Iterator<Item = &runtime::Handle> {
        self.threads.iter().map(|(handle, _)| handle)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A job that waits for its sender, and tells that it has begun.
    fn hanging(begun: &Sender<()>, next: Next) -> (Sender<()>, Job) {
        let (release, released) = channel();
        let begun = begun.clone();
        let job = move |_: &Arc<ThreadPool>| {
            begun.send(()).unwrap();
            let _ = released.recv();
            next
        };
        (release, Box::new(job))
    }

    #[test]
    fn jobs_wait_for_one_of_the_threads_and_all_are_done() {
        let workers = Arc::new(Workers::new(2));
        let (done, all) = channel();
        for i in 0..100 {
            let done = done.clone();
            let job = move |_: &Arc<ThreadPool>| {
                done.send((i, thread::current().id())).unwrap();
                Next::Job
            };
            workers.run(Box::new(job)).unwrap();
        }
        let (mut jobs, threads): (Vec<i32>, Vec<_>) = all.iter().take(100).unzip();
        jobs.sort_unstable();
        assert_eq!(jobs, (0..100).collect::<Vec<_>>());
        let threads: std::collections::HashSet<_> = threads.into_iter().collect();
        assert!(threads.len() <= 2, "{threads:?}");
    }

    #[test]
    fn a_job_does_not_wait_for_another_while_a_thread_can_be_started() {
        let workers = Arc::new(Workers::new(2));
        let (begun, begins) = channel();
        let (release, first) = hanging(&begun, Next::Job);
        workers.run(first).unwrap();
        begins.recv().unwrap();
        drop(release);
        while workers.state().idle < 1 {
            thread::yield_now();
        }
        // The idle thread has not taken the first of these yet when the second is queued.
        let (_release_one, one) = hanging(&begun, Next::Job);
        let (_release_other, other) = hanging(&begun, Next::Job);
        workers.state().queue.push_back(one);
        workers.run(other).unwrap();
        for _ in 0..2 {
            begins.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
        }
    }

    #[test]
    fn a_thread_that_hangs_is_replaced_and_ends_when_its_job_does() {
        let workers = Arc::new(Workers::new(1));
        let (begun, begins) = channel();
        let (release, hangs) = hanging(&begun, Next::End);
        workers.run(hangs).unwrap();
        begins.recv().unwrap();
        let (_release_other, other) = hanging(&begun, Next::Job);
        workers.run(other).unwrap();
        assert!(begins.try_recv().is_err(), "the only thread hangs");
        assert!(workers.abandon_one());
        begins.recv().unwrap();
        drop(release);
        while workers.state().abandoned > 0 {
            thread::yield_now();
        }
        assert_eq!(workers.state().threads, 1);
    }

    #[test]
    fn at_most_so_many_threads_are_given_up() {
        let workers = Arc::new(Workers::new(1));
        let (begun, begins) = channel();
        let mut releases = Vec::new();
        for _ in 0..MAX_ABANDONED {
            let (release, hangs) = hanging(&begun, Next::End);
            releases.push(release);
            workers.run(hangs).unwrap();
            begins.recv().unwrap();
            assert!(workers.abandon_one());
        }
        assert!(!workers.abandon_one());
    }

    #[test]
    fn a_task_on_a_compute_thread_has_its_pool() {
        let compute = Compute::start().unwrap();
        let on: Vec<_> = compute.handles().map(|handle| handle.spawn(async { here() })).collect();
        let pools = on.into_iter().map(futures_executor::block_on);
        assert!(pools.map(Result::unwrap).all(|pool| pool.is_some()));
        assert!(here().is_none());
    }
}
