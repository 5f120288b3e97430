//! `check`: whether model cards and endpoint configurations can work, together, without serving them.

use std::{cell::RefCell, fs, path::PathBuf};

use clap::Args;
use rendezvous_core::{Invalid, Json, ModelId, memory::MemoryEndpoints};
use rendezvous_model::Model;

use crate::{
    cards::{AnyCard, Loaded},
    flights,
    say::{Error, say, warn},
    workspace::{Told, Workspace, current},
};

#[derive(Args, Clone, Debug)]
pub struct CheckOptions {
    /// Model cards (JSON) with their ONNX files [default: the flights models]
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,

    /// Endpoint configurations, one {endpoint}.json each [default: the flights endpoint]
    #[arg(long, value_name = "FOLDER")]
    endpoints: Option<PathBuf>,

    /// A file with the JSON of a request, which the ONNX models are to score [default: of each endpoint,
    /// a payload that its cards accept]
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

/// Reads and checks a card of any engine, without the files that it names; returns its model.
pub fn card(text: &str) -> Result<ModelId, Invalid> {
    AnyCard::parse(text).map(|card| card.model().clone())
}

/// Reads the files as `serve` does, and scores a payload by each ONNX model. Functions are not started,
/// and other servers are not called. Fails if there is a warning, or if a model fails on the payload.
pub async fn check(options: CheckOptions) -> Result<(), Error> {
    let models = options.models.unwrap_or_else(flights::folder);
    let endpoints = options.endpoints;
    let endpoints =
        endpoints.unwrap_or_else(|| flights::repository().join("infra/local/endpoints"));
    let given = options.payload.map(fs::read_to_string).transpose()?;
    let (table, loaded) = (MemoryEndpoints::default(), RefCell::new(Vec::new()));
    let mut workspace = Workspace::new(models, endpoints);
    let mut wrong = 0;
    for told in workspace.look(&table, |model| loaded.borrow_mut().push(model)).await? {
        match told {
            Told::Done(_) => say(&told)?,
            Told::Warning(_) => {
                wrong += 1;
                warn(&told);
            }
        }
    }
    let loaded = loaded.into_inner();
    for endpoint in current(&table).await? {
        let sample = given.clone().unwrap_or_else(|| workspace.sample(&endpoint));
        let payload = Json::parse(&sample).map_err(|error| format!("the payload is {error}"))?;
        say(format_args!("{}, a request: {}", endpoint.name, payload.as_str()))?;
        for model in &loaded {
            let Loaded::Onnx(model) = model else { continue };
            if !model.profile().endpoints.contains(&endpoint.name) {
                continue;
            }
            let id = &model.profile().id;
            match model.score(std::slice::from_ref(&payload)).await.pop() {
                Some(Ok(score)) => say(format_args!("  {id}: {}", score.as_str()))?,
                failed => {
                    wrong += 1;
                    let failure = failed.and_then(Result::err).map(|failure| failure.message);
                    warn(format_args!("  {id} fails: {}", failure.unwrap_or_default()));
                }
            }
        }
    }
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} of this cannot work").into()) }
}
