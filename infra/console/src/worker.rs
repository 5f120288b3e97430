//! Where the console computes.

use std::{future::Future, io, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// How many files are read at a time, on a thread each.
const READERS: usize = 8;

/// A runtime of one thread, so that figures are never computed on the threads that serve clients, and never
/// two at a time.
#[derive(Clone, Debug)]
pub struct Worker {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _end: Option<Arc<oneshot::Sender<()>>>,
}

impl Worker {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(READERS).build()?;
        let (end, ended) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let serve = move || {
            // Dropping the sender ends it.
            let _ = runtime.block_on(ended);
        };
        thread::Builder::new().name("console".to_owned()).spawn(serve)?;
        Ok(Self { runtime: handle, _end: Some(Arc::new(end)) })
    }

    /// The runtime of the caller, where it serves nobody else.
    pub fn here() -> Self {
        Self { runtime: Handle::current(), _end: None }
    }

    /// Computes a value; `None` when the computation panics or the runtime ends.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }

    /// Goes on until it is done.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }
}
