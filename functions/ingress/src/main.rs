//! The ingress function on AWS: connects the library to its tables, its stream and its secret.

mod metrics;

use std::{process::ExitCode, sync::Arc, time::Duration};

use rendezvous_aws::{
    DynamoEndpoints, DynamoLedger, DynamoOutcomes, KinesisStream, S3Payloads, StackSecrets, lambda,
};
use rendezvous_core::limits::MAX_ROWS;
use rendezvous_ingress::{Dependencies, Ingress, Ports, Settings, http::Http};

use crate::metrics::Metrics;

struct Aws;

impl Ports for Aws {
    type Endpoints = DynamoEndpoints;
    type Input = KinesisStream;
    type Ledger = DynamoLedger;
    type Outcomes = DynamoOutcomes;
    type Payloads = S3Payloads;
    type Secrets = StackSecrets;
    type Telemetry = Metrics;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let environment = aws.environment();
        let stack = environment.required("STACK")?;
        let endpoints = aws.endpoints()?.into();
        let input = aws.stream("INPUT_STREAM")?.into();
        let ledger = Arc::new(aws.ledger()?);
        let outcomes = aws.outcomes()?.into();
        let settings = Settings {
            margin: Duration::from_millis(environment.number("ANSWER_MARGIN_MS")?.into()),
            max_payload_bytes: environment.number("MAX_PAYLOAD_BYTES")?.try_into()?,
            inline_payload_bytes: environment.number("INLINE_PAYLOAD_BYTES")?.try_into()?,
            ledger_retention: ledger.retention(),
            // An instance has one call at a time.
            in_flight: MAX_ROWS,
        };
        let payloads = aws.payloads()?.into();
        let secrets = aws.secrets()?.into();
        let telemetry = Metrics::new(stack, ledger.clone()).into();
        let dependencies: Dependencies<Aws> =
            Dependencies { endpoints, input, ledger, outcomes, payloads, secrets, telemetry };
        let adapter = Http::new(Ingress::new(dependencies, settings).into());
        lambda::run(async |event| Ok(Box::pin(adapter.handle(event)).await)).await
    })
    .await
}
