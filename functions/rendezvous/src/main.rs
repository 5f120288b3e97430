//! The rendezvous function on AWS: connects the library to its tables.

mod metrics;

use std::{process::ExitCode, sync::Arc};

use rendezvous::Rendezvous;
use rendezvous_aws::{batch::Event, lambda};

use crate::metrics::Metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let stack = aws.environment().required("STACK")?;
        let ledger = Arc::new(aws.ledger()?);
        let metrics = Metrics::new(stack, ledger.clone());
        let rendezvous = Rendezvous::new(aws.endpoints()?.into(), ledger, metrics.into());
        lambda::run(async |event: Event| Ok(rendezvous.handle(event.batch()?).await)).await
    })
    .await
}
