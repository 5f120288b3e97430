//! What can be read: each answer is what a command of `rendezvousctl --json` prints.

use rendezvous_core::{
    EndpointName,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use rendezvous_evidence::Confidence;
use rendezvous_operations::{
    compare::{self, CompareOptions, Figures},
    endpoints,
    failure::Failure,
    models::{self, ModelsOptions},
    past::Range,
    status::{self, StatusOptions},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Running,
    call::{Query, parsed},
    ports::Shared,
    refusal::Refusal,
};

/// How many minutes of windows a status covers at most.
const MAX_MINUTES: u32 = 1_440;

pub(crate) fn json(report: &impl Serialize) -> Result<Value, Refusal> {
    let json = serde_json::to_value(report);
    json.map_err(|error| Failure::Failed(error.to_string()).into())
}

/// `status [ENDPOINT] --minutes M --to TIME --by M`.
pub(crate) async fn status<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    query: Query,
) -> Result<Value, Refusal> {
    let minutes = |text: &str| match parsed::<u32>(text)? {
        minutes @ 1..=MAX_MINUTES => Ok(minutes),
        other => Err(format!("must be 1 to {MAX_MINUTES}, not {other}")),
    };
    let options = StatusOptions {
        endpoint: query.optional("endpoint", parsed)?,
        minutes: query.optional("minutes", minutes)?.unwrap_or(15),
        to: query.time("to")?,
        by: query.optional("by", minutes)?,
    };
    json(&status::found(&*ports.windows, &*ports.endpoints, &options).await?)
}

/// `endpoints`.
pub(crate) async fn endpoints<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
) -> Result<Value, Refusal> {
    Ok(endpoints::list(&*ports.endpoints).await?.json)
}

/// `show ENDPOINT [VERSION]`.
pub(crate) async fn show<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
    query: Query,
) -> Result<Value, Refusal> {
    let version = query.optional("version", parsed)?;
    Ok(endpoints::show(&*ports.endpoints, &name, version).await?.json)
}

/// `history ENDPOINT`.
pub(crate) async fn history<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
) -> Result<Value, Refusal> {
    Ok(endpoints::history(&*ports.endpoints, &name).await?.json)
}

/// `diff ENDPOINT FROM [TO]`.
pub(crate) async fn diff<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
    query: Query,
) -> Result<Value, Refusal> {
    let (from, to) = (query.required("from", parsed)?, query.optional("to", parsed)?);
    Ok(endpoints::diff(&*ports.endpoints, &name, from, to).await?.json)
}

/// `models ENDPOINT --from TIME --to TIME`.
pub(crate) async fn models<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
    query: Query,
) -> Result<Value, Refusal> {
    let (from, to) = (query.time("from")?, query.time("to")?);
    let options = ModelsOptions { endpoint: Some(name), from, to };
    let up = ports.running.models_up().await;
    let (archive, endpoints) = (&*ports.archive, &*ports.endpoints);
    json(&models::listing(archive, endpoints, &up, &options, |_| ()).await?)
}

/// `compare ENDPOINT FIRST SECOND --from TIME --to TIME --confidence SHARE --threshold VALUE`.
pub(crate) async fn compare<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    name: EndpointName,
    query: Query,
) -> Result<Value, Refusal> {
    let confidence = |text: &str| {
        let confidence = Confidence::new(compare::share(text)?);
        confidence.ok_or_else(|| "must be more than 0% and less than 100%".to_owned())
    };
    let figures = Figures {
        confidence: query.optional("confidence", confidence)?.unwrap_or(Confidence::DEFAULT),
        threshold: query.optional("threshold", parsed)?.unwrap_or(0.5),
        minimum_coverage: query.optional("minimum_coverage", compare::share)?.unwrap_or(0.5),
    };
    let options = CompareOptions {
        range: Range { endpoint: name, from: query.time("from")?, to: query.time("to")? },
        first: query.required("first", parsed)?,
        second: query.required("second", parsed)?,
        by: None,
        figures,
        require: None,
        label: None,
        sample: None,
    };
    json(&compare::compared(&*ports.archive, &*ports.endpoints, &options, |_| ()).await?)
}
