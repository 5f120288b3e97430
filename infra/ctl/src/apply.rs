//! Publishing endpoint configurations.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rendezvous_aws::DynamoEndpoints;
use rendezvous_core::{
    Configuration, EndpointName, Provenance,
    ports::{EndpointTable, PublishError},
};

use crate::{say::say, stack::Stack};

/// Makes the configurations in the files current.
pub(crate) async fn apply(
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
    let stack = Stack::find(stack).await?;
    let name = stack.output("EndpointsTable")?;
    let table = DynamoEndpoints::new(aws_sdk_dynamodb::Client::new(stack.config()), name);
    for (endpoint, configuration) in read {
        let applied = apply_one(&table, &endpoint, configuration, provenance.clone()).await;
        let applied = applied.map_err(|cause| format!("{endpoint}: {cause} (table {name})"))?;
        say(format_args!("{endpoint}: {applied}"));
    }
    Ok(())
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
