//! `rendezvousctl`: what an operator does to a running system, from a shell or a pipeline.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudformation::types::Stack;
use aws_smithy_types::error::display::DisplayErrorContext;
use clap::{Parser, Subcommand};
use rendezvous_aws::DynamoEndpoints;
use rendezvous_core::{
    Configuration, EndpointName, Provenance,
    ports::{EndpointTable, PublishError},
};
use tracing_subscriber::filter::LevelFilter;

/// Operates a Rendezvous stack. Region and credentials are found as by the AWS CLI.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The name of the stack.
    #[arg(long, env = "RENDEZVOUS_STACK", default_value = "rendezvous")]
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
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::WARN)
        .without_time()
        .init();
    let Options { stack, command: Command::Apply { files, message, author } } = Options::parse();
    match apply(&stack, &files, author, message).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn apply(
    stack: &str,
    files: &[PathBuf],
    author: String,
    message: String,
) -> Result<(), String> {
    let provenance = Provenance::new(author, message).map_err(|invalid| invalid.to_string())?;
    let read = |file: &PathBuf| read(file).map_err(|what| format!("{}: {what}", file.display()));
    let read = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for (i, (endpoint, _)) in read.iter().enumerate() {
        if read[..i].iter().any(|(earlier, _)| earlier == endpoint) {
            return Err(format!("{endpoint}: two files are named after it"));
        }
    }
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(rendezvous_aws::http_client())
        .load()
        .await;
    if config.region().is_none() {
        return Err("no AWS region: set AWS_REGION, or a region in your AWS profile".to_owned());
    }
    let name = endpoints_table(&config, stack).await?;
    let table = DynamoEndpoints::new(aws_sdk_dynamodb::Client::new(&config), &name);
    for (endpoint, configuration) in read {
        let applied = apply_one(&table, &endpoint, configuration, provenance.clone()).await;
        let applied = applied.map_err(|cause| format!("{endpoint}: {cause} (table {name})"))?;
        println!("{endpoint}: {applied}");
    }
    Ok(())
}

/// The name of the stack's endpoints table, which is an output of the stack.
async fn endpoints_table(config: &SdkConfig, stack: &str) -> Result<String, String> {
    let client = aws_sdk_cloudformation::Client::new(config);
    let described = client.describe_stacks().stack_name(stack).send().await.map_err(|error| {
        format!("cannot describe stack {stack:?}: {}", DisplayErrorContext(&error))
    })?;
    let outputs = described.stacks().iter().flat_map(Stack::outputs);
    let mut tables = outputs.filter(|output| output.output_key() == Some("EndpointsTable"));
    let table = tables.next().and_then(|output| output.output_value());
    table.map(str::to_owned).ok_or_else(|| {
        format!("stack {stack:?} has no output EndpointsTable: is it a Rendezvous stack?")
    })
}

async fn apply_one(
    table: &impl EndpointTable,
    endpoint: &EndpointName,
    configuration: Configuration,
    provenance: Provenance,
) -> Result<String, PublishError> {
    let current = table.current(endpoint).await?;
    if let Some(current) = current
        && let Some(former) = table.version(endpoint, current).await?
        && former.configuration == configuration
    {
        return Ok(format!("version {current} is current and the same"));
    }
    let version = table.publish(endpoint, configuration, provenance, current).await?;
    Ok(format!("version {version} is current"))
}

fn read(file: &Path) -> Result<(EndpointName, Configuration), String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.parse().map_err(|invalid| format!("the file's name: {invalid}"))?;
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let configuration = Configuration::parse(&text).map_err(|invalid| invalid.to_string())?;
    Ok((name, configuration))
}
