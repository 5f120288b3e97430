//! The ingress function on AWS: connects the library to its tables and its stream.

mod metrics;

use std::{sync::Arc, time::Duration};

use rendezvous_aws::{Aws, Environment, lambda};
use rendezvous_ingress::{Bounds, Ingress, Settings};

/// A consistent read, a write and the reply take some 20 ms when they are slow. A look costs one
/// read unit's half, $0.06 a million.
const SETTINGS: Settings = Settings {
    margin: Duration::from_millis(30),
    looks: Bounds { shortest: Duration::from_millis(5), longest: Duration::from_millis(50) },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::of_process();
    lambda::start_logging(&environment);
    let aws = Aws::new(environment)?;
    let stack = aws.environment().required("STACK")?.to_owned();
    let ledger = Arc::new(aws.ledger()?);
    let ingress = Ingress::new(
        Arc::new(aws.endpoints()?),
        Arc::new(aws.stream("INPUT_STREAM")?),
        ledger.clone(),
        Arc::new(aws.outcomes()?),
        SETTINGS,
    );
    lambda::run(async |event| {
        let before = ledger.calls();
        let (response, handled) = ingress.handle(event).await;
        (response, metrics::line(&stack, handled, ledger.calls() - before))
    })
    .await
}
