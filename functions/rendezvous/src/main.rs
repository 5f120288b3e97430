//! The rendezvous function on AWS: connects the library to its tables.

mod metrics;

use std::{process::ExitCode, sync::Arc};

use rendezvous::Rendezvous;
use rendezvous_aws::{batch::StreamBatch, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let stack = aws.environment().required("STACK")?;
        let ledger = Arc::new(aws.ledger()?);
        let rendezvous = Rendezvous::new(aws.endpoints()?.into(), ledger.clone());
        lambda::run(async |StreamBatch(event)| {
            let before = ledger.calls();
            let (response, filed) = rendezvous.handle(event).await;
            Ok((response, metrics::line(stack, &filed, ledger.calls() - before)))
        })
        .await
    })
    .await
}
