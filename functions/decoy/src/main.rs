//! The decoy function on AWS: connects the library to the archive, and determines from which of its
//! four sources a batch comes.

mod metrics;

use std::process::ExitCode;

use aws_lambda_events::event::streams::{DynamoDbEventResponse, KinesisEventResponse};
use rendezvous_aws::{Environment, batch::StreamBatch, lambda};
use rendezvous_decoy::{Decoy, Stream, Table};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::metrics::Metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let stack = aws.environment().required("STACK")?;
        let sources = sources(aws.environment())?;
        let metrics = Metrics::new(stack);
        let decoy = Decoy::new(aws.archive()?.into(), aws.endpoints()?.into(), metrics.into());
        lambda::run(async |event: Box<RawValue>| {
            let source = source(&sources, event.get())?;
            Ok(match source {
                Source::Stream(stream) => {
                    let StreamBatch(event) = serde_json::from_str(event.get())?;
                    Response::Stream(decoy.handle_stream(stream, event).await)
                }
                Source::Table(table) => {
                    let event = serde_json::from_str(event.get())?;
                    Response::Table(decoy.handle_changes(table, event).await)
                }
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

#[derive(Serialize)]
#[serde(untagged)]
enum Response {
    Stream(KinesisEventResponse),
    Table(DynamoDbEventResponse),
}

/// A part of the ARN of each source, from the environment variables that name the sources.
fn sources(environment: &Environment) -> Result<[(String, Source); 4], lambda::Error> {
    let stream = |name| Ok::<_, lambda::Error>(format!(":stream/{}", environment.required(name)?));
    let table = |name| Ok::<_, lambda::Error>(format!(":table/{}/", environment.required(name)?));
    Ok([
        (stream("INPUT_STREAM")?, Source::Stream(Stream::Input)),
        (stream("SCORES_STREAM")?, Source::Stream(Stream::Scores)),
        (table("LEDGER_TABLE")?, Source::Table(Table::Ledger)),
        (table("OUTCOMES_TABLE")?, Source::Table(Table::Outcomes)),
    ])
}

/// The source of a batch: all of its records come from one.
fn source(sources: &[(String, Source)], event: &str) -> Result<Source, lambda::Error> {
    #[derive(Deserialize)]
    struct Batch {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    }
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "eventSourceARN")]
        arn: String,
    }
    let batch: Batch = serde_json::from_str(event)?;
    let arn = batch.records.first().map_or("", |record| record.arn.as_str());
    let is_it = |part: &str| arn.ends_with(part) || (part.ends_with('/') && arn.contains(part));
    let found = sources.iter().find(|(part, _)| is_it(part));
    found
        .map(|(_, source)| *source)
        .ok_or_else(|| format!("{arn:?} is not a source of this function").into())
}
