//! A Lambda function around a handler: logs, events in, responses and a line of metrics out.

use std::{io::Write, process::ExitCode};

use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use tracing_subscriber::filter::LevelFilter;

pub use lambda_runtime::Error;

use crate::{Aws, Environment};

/// A function's `main`: starts logging, reads the environment, and runs `function`, which serves
/// invocations with [`run`]. What keeps it from starting is logged, and the cold start fails.
pub async fn main(function: impl AsyncFnOnce(&Aws) -> Result<(), Error>) -> ExitCode {
    let environment = Environment::of_process();
    start_logging(&environment);
    let served = match Aws::new(environment) {
        Ok(aws) => function(&aws).await,
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function ends");
            ExitCode::FAILURE
        }
    }
}

/// Writes logs to standard output, a JSON object a line, from `LOG_LEVEL` on (`info` where it is
/// not set). Each line carries the ids of the invocation and of its X-Ray trace.
fn start_logging(environment: &Environment) {
    let level = environment.optional("LOG_LEVEL").and_then(|text| text.parse().ok());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .init();
}

/// Serves invocations until Lambda ends the process. `handle` answers an event and says what has
/// happened meanwhile, as a line of metrics, which is printed. An error fails the invocation.
pub async fn run<Event, Response>(
    handle: impl AsyncFn(Event) -> Result<(Response, Vec<u8>), Error>,
) -> Result<(), Error>
where
    Event: DeserializeOwned,
    Response: Serialize,
{
    let handle = &handle;
    // Boxed, because the compiler gives up on types that nest as deep as these futures do.
    let service = service_fn(|event: LambdaEvent<Event>| {
        Box::pin(async move {
            let (response, metrics) = handle(event.payload).await?;
            if let Err(error) = std::io::stdout().lock().write_all(&metrics) {
                tracing::error!(%error, "metrics cannot be printed");
            }
            Ok::<_, Error>(response)
        })
    });
    Box::pin(lambda_runtime::run(service)).await
}
