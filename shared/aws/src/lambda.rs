//! A Lambda function around a handler: logs, events in, responses out.

use std::process::ExitCode;

use lambda_extension::Extension;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        self,
        format::{Format, Json, JsonFields},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

pub use lambda_runtime::Error;

use crate::{Aws, Environment, metrics};

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

/// Writes logs to standard output, a JSON object a line: ours from `LOG_LEVEL` on (`info` where it is
/// not set), those of libraries only from warnings on, since below that they quote payloads and
/// credentials. Each line carries the ids of the invocation and of its X-Ray trace.
fn start_logging(environment: &Environment) {
    let level = environment.optional("LOG_LEVEL").and_then(|text| text.parse().ok());
    tracing_subscriber::registry().with(layer()).with(filter(level.unwrap_or(Level::INFO))).init();
    // A panic's text may quote a payload, too; where it was says enough.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic");
    }));
}

fn layer<S>() -> fmt::Layer<S, JsonFields, Format<Json>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false)
}

fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(
            ["rendezvous", "ingress", "decoy", "monitor", "onnx_model"].map(|ours| (ours, level)),
        )
        // The span that holds the ids.
        .with_target("lambda_runtime", LevelFilter::INFO)
}

/// Joins the lines of metrics of a burst, if Lambda will announce the end of the process, at which the
/// last lines are printed.
///
/// Lambda announces it by SIGTERM, and only to functions with an extension. This one subscribes to no
/// event, so that no invocation waits for it. Where there is no API for extensions, as on some emulators,
/// each line is printed at once.
async fn join_metrics() {
    let extension = Extension::new().with_events(&[]).with_extension_name("metrics");
    match (extension.register().await, signal(SignalKind::terminate())) {
        (Ok(extension), Ok(terminate)) => {
            metrics::hold();
            // The call for the next event, of which there is none, tells Lambda that the extension has started.
            let events = async { drop(extension.run().await) };
            tokio::spawn(until_end(events, terminate));
        }
        (Err(error), _) => tracing::debug!(%error, "each line of metrics is printed at once"),
        (_, Err(error)) => tracing::warn!(%error, "each line of metrics is printed at once"),
    }
}

async fn until_end(events: impl Future<Output = ()> + Send + 'static, mut terminate: Signal) {
    let events = tokio::spawn(events);
    terminate.recv().await;
    events.abort();
    metrics::flush();
    std::process::exit(0);
}

/// Serves invocations until Lambda ends the process. An error of `handle` fails the invocation.
pub async fn run<Event, Response>(
    handle: impl AsyncFn(Event) -> Result<Response, Error>,
) -> Result<(), Error>
where
    Event: DeserializeOwned,
    Response: Serialize,
{
    join_metrics().await;
    let handle = &handle;
    // Boxed, because the compiler gives up on types that nest as deep as these futures do.
    let service = service_fn(|event: LambdaEvent<Event>| Box::pin(handle(event.payload)));
    Box::pin(lambda_runtime::run(service)).await
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is logged at `level` of one invocation in which this code and a library log something.
    fn logged(level: Level) -> Vec<Value> {
        let lines = Lines::default();
        let layer = layer().with_writer(lines.clone());
        let subscriber = tracing_subscriber::registry().with(layer).with(filter(level));
        tracing::subscriber::with_default(subscriber, || {
            let _invocation =
                tracing::info_span!(target: "lambda_runtime", "invoke", requestId = "r").entered();
            tracing::trace!(target: "lambda_runtime_api_client", "a payload");
            tracing::debug!(target: "aws_smithy_runtime", "a token");
            tracing::debug!(target: "rendezvous_ingress", "ours, in detail");
            tracing::error!(target: "rendezvous_ingress", "ours, an error");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_chattiest_level_tells_nothing_of_libraries_and_the_quietest_still_tells_the_ids() {
        for (level, expected) in [(Level::TRACE, 2), (Level::ERROR, 1)] {
            let lines = logged(level);
            assert_eq!(lines.len(), expected, "{lines:?}");
            for line in lines {
                assert!(line["message"].as_str().unwrap().starts_with("ours"));
                assert_eq!(line["span"]["requestId"], "r");
            }
        }
    }
}
