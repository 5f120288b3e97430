//! The rendezvous function on AWS: connects the library to its tables.

mod metrics;

use std::sync::Arc;

use rendezvous::Rendezvous;
use rendezvous_aws::{Aws, Environment, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::of_process();
    lambda::start_logging(&environment);
    let aws = Aws::new(environment)?;
    let stack = aws.environment().required("STACK")?.to_owned();
    let ledger = Arc::new(aws.ledger()?);
    let rendezvous = Rendezvous::new(Arc::new(aws.endpoints()?), ledger.clone());
    lambda::run(async |event| {
        let before = ledger.calls();
        let (response, filed) = rendezvous.handle(event).await;
        (response, metrics::line(&stack, &filed, ledger.calls() - before))
    })
    .await
}
