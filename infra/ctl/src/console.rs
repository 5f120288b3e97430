//! The command `console`: connects the web console to a stack or to a data folder.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rendezvous_console::{Console, Counters, Ports, Running, Settings, Worker, serve};
use rendezvous_core::ports::{ArchiveFiles, EndpointTable, WindowTable};
use rendezvous_folder::{DataFolder, FolderArchive, FolderEndpoints, FolderWindows};
use rendezvousctl::{
    failure::Failure,
    up::{self, Up},
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    evidence::{LOCAL_MARGIN, margin},
    say::{note, say},
    stack::Stack,
    target::{System, Target},
};

#[derive(Args, Clone, Debug)]
pub(crate) struct ConsoleOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8081)]
    port: u16,
    /// Publish nothing, and show no payloads.
    #[arg(long)]
    read_only: bool,
    /// Who publishes, where the page does not say; kept with the version.
    #[arg(long, env = "USER", default_value = "unknown")]
    author: String,
}

/// The server of a data folder is another process: its counters cannot be read.
struct Folder(DataFolder);

impl Running for Folder {
    async fn models_up(&self) -> Result<Up, String> {
        up::read(&self.0)
    }

    fn counters(&self) -> Option<Counters> {
        None
    }

    fn margin(&self) -> Duration {
        LOCAL_MARGIN
    }
}

impl Running for Stack {
    async fn models_up(&self) -> Result<Up, String> {
        Stack::models_up(self).await
    }

    fn counters(&self) -> Option<Counters> {
        None
    }

    fn margin(&self) -> Duration {
        margin(self)
    }
}

/// Serves the console until Ctrl-C.
pub(crate) async fn console(target: &Target, options: &ConsoleOptions) -> Result<(), Failure> {
    let name = target.name();
    match target.open().await? {
        System::Folder(folder) => {
            let ports = Ports {
                endpoints: Arc::new(FolderEndpoints::new(&folder)),
                windows: Arc::new(FolderWindows::new(&folder)),
                archive: Arc::new(FolderArchive::new(&folder)),
                running: Folder(folder),
            };
            run(ports, name, options).await
        }
        System::Stack(stack) => {
            let ports = Ports {
                endpoints: Arc::new(stack.endpoints().map_err(Failure::Failed)?),
                windows: Arc::new(stack.windows().map_err(Failure::Failed)?),
                archive: Arc::new(stack.archive().map_err(Failure::Failed)?),
                running: *stack,
            };
            run(ports, name, options).await
        }
    }
}

async fn run<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Ports<E, W, A, R>,
    name: String,
    options: &ConsoleOptions,
) -> Result<(), Failure> {
    let ConsoleOptions { port, read_only, author } = options.clone();
    let failed = |error: std::io::Error| Failure::Failed(error.to_string());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::Failed(format!("cannot listen on {address}: {error}; try another --port"))
    })?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    let (stop, stopped) = watch::channel(false);
    let worker = Worker::start().map_err(failed)?;
    let settings = Settings { name, author, read_only };
    let console = Arc::new(Console::new(ports, settings, worker, stopped.clone()));
    // The first line is the address alone, for programs.
    say(console.url(&url));
    note("Ctrl-C ends it.");
    tokio::select! {
        () = serve(console, listener, stopped) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed)?,
    }
    drop(stop);
    Ok(())
}
