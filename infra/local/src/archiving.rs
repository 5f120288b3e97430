use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// How many files are written to the disk at a time, on a thread each. Each thread keeps memory of its
/// own.
const WRITERS: usize = 4;

/// The thread of the decoy. Writing a file takes milliseconds; on the threads that serve clients
/// their requests would wait for it.
///
/// It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Archiving {
    runtime: Handle,
    #[expect(dead_code, reason = "it is there to be dropped")]
    end: oneshot::Sender<()>,
}

impl Archiving {
    pub(crate) fn start() -> io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().max_blocking_threads(WRITERS).build()?;
        let (end, ended) = oneshot::channel();
        let handle = runtime.handle().clone();
        let serve = move || {
            // Dropping the sender ends it.
            let _ = runtime.block_on(ended);
        };
        thread::Builder::new().name("archiving".to_owned()).spawn(serve)?;
        Ok(Self { runtime: handle, end })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.runtime
    }
}
