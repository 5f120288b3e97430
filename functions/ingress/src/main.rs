//! The ingress function on AWS: connects the library to its tables and its stream.

mod metrics;

use std::{process::ExitCode, sync::Arc, time::Duration};

use rendezvous_aws::lambda;
use rendezvous_ingress::{Bounds, Ingress, Settings};

/// A look into a mailbox costs half a read unit.
const LOOKS: Bounds =
    Bounds { shortest: Duration::from_millis(5), longest: Duration::from_millis(50) };

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let stack = aws.environment().required("STACK")?;
        let (endpoints, input) = (aws.endpoints()?, aws.stream("INPUT_STREAM")?);
        let (ledger, outcomes) = (Arc::new(aws.ledger()?), aws.outcomes()?);
        let (ours, outcomes) = (ledger.clone(), outcomes.into());
        let margin = Duration::from_millis(aws.environment().number("ANSWER_MARGIN_MS")?.into());
        let settings = Settings { margin, looks: LOOKS };
        let ingress = Ingress::new(endpoints.into(), input.into(), ours, outcomes, settings);
        lambda::run(async |event| {
            let before = ledger.calls();
            let (response, handled) = Box::pin(ingress.handle(event)).await;
            Ok((response, metrics::line(stack, handled, ledger.calls() - before)))
        })
        .await
    })
    .await
}
