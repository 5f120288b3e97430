//! `rendezvous-local`: the rendezvous architecture on one machine.

use std::{io, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use rendezvous_local::{
    bench,
    calm::Calm,
    check, demo,
    say::{Error, warn},
    serve,
};
use tokio::runtime::Builder;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Millions of short-lived messages cross threads here, at which the system's allocator is slow and
/// keeps much of the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rendezvous architecture on one machine: many models on every request, one answer in time
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play real requests through the system, kill the champion half-way, and report
    Demo(demo::DemoOptions),
    /// Serve the HTTP interface until Ctrl-C
    Serve(serve::ServeOptions),
    /// Check model cards and endpoint configurations together, and score a request by each ONNX model
    Check(check::CheckOptions),
    /// Put load on the running system over HTTP and print what it took, as JSON
    Bench(bench::BenchOptions),
}

fn main() -> ExitCode {
    let options = Options::parse();
    // The report of the demonstration lists the failures that it causes. RUST_LOG shows more.
    let usual = if matches!(options.command, Command::Demo(_)) { "off" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    log.log_internal_errors(false).finish().with(Calm::default()).init();
    let ended = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(options.command));
            // A write to a disk that hangs must not keep the process.
            runtime.shutdown_timeout(Duration::from_secs(1));
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reader of the output has closed it: not an error to report.
            let closed = error.downcast_ref::<io::Error>();
            if closed.is_none_or(|error| error.kind() != io::ErrorKind::BrokenPipe) {
                warn(format_args!("error: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Demo(options) => demo::demo(options).await,
        Command::Serve(options) => serve::serve(options).await,
        Command::Check(options) => check::check(options).await,
        Command::Bench(options) => bench::bench(options).await,
    }
}
