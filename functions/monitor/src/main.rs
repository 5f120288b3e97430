//! The monitor function on AWS: connects the library to its tables, and determines by which of its
//! entrances an event comes.

mod metrics;

use std::process::ExitCode;

use rendezvous_aws::{
    batch::{Event, Response},
    lambda,
};
use rendezvous_monitor::Monitor;
use serde::Deserialize;

use crate::metrics::Metrics;

/// The event of a schedule.
#[derive(Deserialize)]
struct Scheduled {
    run: Run,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Run {
    Minute,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let metrics = Metrics::new(aws.environment().required("STACK")?);
        let (endpoints, ledger) = (aws.endpoints()?.into(), aws.ledger()?.into());
        let monitor = Monitor::new(endpoints, ledger, aws.windows()?.into(), metrics.into());
        lambda::run(async |event: Event| {
            let Ok(records) = event.records() else {
                let Scheduled { run: Run::Minute } = event.read()?;
                monitor.minute().await;
                return Ok(Response::default());
            };
            Ok(monitor.handle_ledger(records.read()).await)
        })
        .await
    })
    .await
}
