//! `rendezvousctl`: what an operator does to a running system, from a shell or a pipeline.

mod apply;
mod check;
mod evidence;
mod http;
mod say;
mod stack;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use tracing_subscriber::filter::LevelFilter;

/// Operates a Rendezvous stack. Region and credentials are found as by the AWS CLI.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The name of the stack.
    #[arg(long, env = "RENDEZVOUS_STACK", default_value = "rendezvous", global = true)]
    stack: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes endpoint configurations current: each file that differs from the current version of
    /// its endpoint becomes the next one. Requests use it within a second or so.
    Apply {
        /// `{endpoint}.json`: the file's name is the endpoint's. All are checked before any is written.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Why the configuration changes; kept with the version.
        #[arg(short, long, default_value = "")]
        message: String,
        /// Who changes it; kept with the version.
        #[arg(long, env = "USER", default_value = "unknown")]
        author: String,
    },
    /// Verifies that a stack, or with --data a local system, works: asks every endpoint as a client
    /// does and looks for the requests in the archive. Exits with 0 when all is well, with 1 when
    /// something does not work, with 2 when the command line is wrong.
    Verify(check::VerifyOptions),
    /// Says what archived requests would have been answered under another schedule.
    Whatif(evidence::WhatIfCommand),
    /// Says what is missing in the archive.
    Gaps(evidence::GapsCommand),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::WARN)
        .without_time()
        .init();
    let matches = Options::command().get_matches();
    let stack_is_named = matches.value_source("stack") == Some(ValueSource::CommandLine);
    let Options { stack, command } =
        Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match command {
        Command::Apply { files, message, author } => {
            match apply::apply(&stack, &files, author, message).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    say::fail(error);
                    ExitCode::FAILURE
                }
            }
        }
        Command::Verify(options) if stack_is_named && options.data.is_some() => {
            say::fail("--stack and --data exclude each other");
            ExitCode::from(check::USAGE)
        }
        Command::Verify(options) => check::verify(&stack, options).await,
        Command::Whatif(command) => evidence::whatif(&stack, command).await,
        Command::Gaps(command) => evidence::gaps(&stack, command).await,
    }
}
