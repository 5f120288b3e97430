//! The decoy function on AWS: connects the library to the archive, and determines from which of its
//! sources a batch comes.

mod metrics;

use std::process::ExitCode;

use rendezvous_aws::{Environment, batch::Event, lambda};
use rendezvous_decoy::{Decoy, Stream, Table};

use crate::metrics::Metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let stack = aws.environment().required("STACK")?;
        let sources = sources(aws.environment())?;
        let metrics = Metrics::new(stack);
        let (archive, endpoints) = (aws.archive()?.into(), aws.endpoints()?.into());
        let decoy = Decoy::new(archive, endpoints, aws.payloads()?.into(), metrics.into());
        lambda::run(async |event: Event| {
            let records = event.records()?;
            Ok(match source(&sources, records.source())? {
                Source::Stream(stream) => decoy.handle_stream(stream, records.read()).await,
                Source::Table(table) => decoy.handle_changes(table, records.read()).await,
            })
        })
        .await
    })
    .await
}

#[derive(Clone, Copy)]
enum Source {
    Stream(Stream),
    Table(Table),
}

/// A part of the ARN of each source, from the environment variables that name the sources.
fn sources(environment: &Environment) -> Result<Vec<(String, Source)>, lambda::Error> {
    let stream = |name| Ok::<_, lambda::Error>(format!(":stream/{}", environment.required(name)?));
    let table = |name| Ok::<_, lambda::Error>(format!(":table/{}/", environment.required(name)?));
    let mut sources = vec![
        (stream("INPUT_STREAM")?, Source::Stream(Stream::Input)),
        (stream("SCORES_STREAM")?, Source::Stream(Stream::Scores)),
        (table("LEDGER_TABLE")?, Source::Table(Table::Ledger)),
        (table("OUTCOMES_TABLE")?, Source::Table(Table::Outcomes)),
    ];
    if let Some(replays) = environment.optional("REPLAY_SCORES_STREAM") {
        sources.push((format!(":stream/{replays}"), Source::Stream(Stream::Replays)));
    }
    Ok(sources)
}

/// The source with this ARN.
fn source(sources: &[(String, Source)], arn: &str) -> Result<Source, lambda::Error> {
    let is_it = |part: &str| arn.ends_with(part) || (part.ends_with('/') && arn.contains(part));
    let found = sources.iter().find(|(part, _)| is_it(part));
    found
        .map(|(_, source)| *source)
        .ok_or_else(|| format!("{arn:?} is not a source of this function").into())
}
