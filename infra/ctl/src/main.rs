//! `rendezvousctl`: what an operator does to a running system, from a shell or a pipeline.

mod athena;
mod check;
mod configure;
mod console;
mod evidence;
mod http;
mod maintenance;
mod options;
mod queries;
mod redriving;
mod replaying;
mod say;
mod stack;
mod target;

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches, parser::ValueSource};
use clap_complete::Shell;
use rendezvousctl::{
    change::Change, failure::Failure, output::Output, past::Range, status::StatusOptions,
};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    configure::Read,
    options::{Baseline, Command, EvidenceOptions, Options},
    say::say,
    target::Target,
};

/// How often `--watch` repeats.
const WATCHED_EVERY: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::WARN)
        .without_time()
        .init();
    let matches = Options::command().get_matches();
    let stack_is_named = matches.value_source("stack") == Some(ValueSource::CommandLine);
    let options = Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = if stack_is_named && options.target.data().is_some() {
        Err(Failure::Usage("--stack and --data exclude each other".to_owned()))
    } else {
        run(options).await
    };
    done.unwrap_or_else(|failure| {
        say::fail(&failure);
        ExitCode::from(failure.code())
    })
}

async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { target, json, command } = options;
    let print = |Output { text, json: value }: Output| {
        if json {
            say(serde_json::to_string_pretty(&value).unwrap_or_default());
        } else {
            say(text.trim_end());
        }
    };
    let read = async |command| configure::read(&target, command).await;
    match command {
        Command::Endpoints => print(read(Read::List).await?),
        Command::Show { endpoint, version } => print(read(Read::Show(endpoint, version)).await?),
        Command::History { endpoint } => print(read(Read::History(endpoint)).await?),
        Command::Diff { endpoint, from, to } => print(read(Read::Diff(endpoint, from, to)).await?),
        Command::Compare(options) => print(evidence::compare(&target, &options).await?),
        Command::Whatif(options) => print(evidence::whatif(&target, &options).await?),
        Command::Gaps(options) => print(evidence::gaps(&target, &options).await?),
        Command::Status { options, watch } => status(&target, &options, watch, print).await?,
        Command::Models(options) => print(evidence::models(&target, &options).await?),
        Command::Apply { files, writing } => {
            configure::apply(&target, &files, &writing.with(json)).await?;
        }
        Command::Rollback { endpoint, version, rebase, writing } => {
            let change = Change::RollBack { version, rebase };
            configure::change(&target, vec![(endpoint, change)], &writing.with(json)).await?;
        }
        Command::Promote { endpoint, model, exposure, evidence, writing } => {
            let EvidenceOptions { require, from, to } = evidence;
            if let Some(requirement) = require {
                let range = Range { endpoint: endpoint.clone(), from, to };
                evidence::require(&target, &range, &model, &requirement).await?;
            }
            let change = exposure.change(model)?;
            configure::change(&target, vec![(endpoint, change)], &writing.with(json)).await?;
        }
        Command::Baseline(command) => baseline(&target, command, json, print).await?,
        Command::Retire { endpoint, model, writing } => {
            let change = vec![(endpoint, Change::Retire(model))];
            configure::change(&target, change, &writing.with(json)).await?;
        }
        Command::Redrive(options) => {
            let (output, all_well) = redriving::redrive(&target, &options).await?;
            print(output);
            return Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Replay(options) => print(replaying::replay(&target, &options).await?),
        Command::Query { name, set } => {
            print(queries::query(&target, name.as_deref(), &set).await?);
        }
        Command::Compact(options) => print(maintenance::compact(&target, &options).await?),
        Command::Erase(options) => print(maintenance::erase(&target, options).await?),
        Command::Console(options) => console::console(&target, &options).await?,
        Command::Verify(options) => return check::verify(&target, options, json).await,
        Command::Completions { shell } => completions(shell),
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: Shell) {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Options::command(), "rendezvousctl", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
}

/// Makes a baseline and names it in the configuration, or shows one.
async fn baseline(
    target: &Target,
    command: Baseline,
    json: bool,
    print: impl Fn(Output),
) -> Result<(), Failure> {
    match command {
        Baseline::Set { options, writing } => {
            let writing = writing.with(json);
            let made = evidence::baseline(target, &options, !writing.dry_run).await?;
            if !json {
                say(made.output.text.trim_end());
            }
            let change = Change::Baseline(made.name().to_owned());
            configure::change(target, vec![(options.endpoint, change)], &writing).await
        }
        Baseline::Show { endpoint, name } => {
            print(evidence::show_baseline(target, &endpoint, name.as_deref()).await?);
            Ok(())
        }
    }
}

/// Prints the status once, or, to `watch` it, again and again while somebody reads it.
async fn status(
    target: &Target,
    options: &StatusOptions,
    watch: bool,
    print: impl Fn(Output),
) -> Result<(), Failure> {
    loop {
        print(evidence::status(target, options).await?);
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(WATCHED_EVERY).await;
        if !say::separate() {
            return Ok(());
        }
    }
}
