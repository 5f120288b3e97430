//! The monitor function on AWS: connects the library to its tables, and determines by which of its
//! entrances an event comes.

mod metrics;

use std::{process::ExitCode, time::Duration};

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
    Day,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let metrics = Metrics::new(aws.environment().required("STACK")?);
        let scores = format!(":stream/{}", aws.environment().required("SCORES_STREAM")?);
        let outcomes = format!(":table/{}/", aws.environment().required("OUTCOMES_TABLE")?);
        let input = format!(":stream/{}", aws.environment().required("INPUT_STREAM")?);
        let (endpoints, ledger) = (aws.endpoints()?.into(), aws.ledger()?.into());
        let (windows, archive) = (aws.windows()?.into(), aws.archive()?);
        let days = aws.environment().number("WINDOW_DAYS")?;
        let keep = Duration::from_hours(24 * u64::from(days));
        let monitor = Monitor::new(endpoints, ledger, windows, metrics.into(), keep);
        lambda::run(async |event: Event| {
            let Ok(records) = event.records() else {
                match event.read()? {
                    Scheduled { run: Run::Minute } => Box::pin(monitor.minute()).await,
                    Scheduled { run: Run::Day } => Box::pin(monitor.day(&archive)).await,
                }
                return Ok(Response::default());
            };
            // The other source is the ledger's change stream.
            Ok(if records.source().ends_with(&input) {
                monitor.handle_input(records.read()).await
            } else if records.source().ends_with(&scores) {
                monitor.handle_scores(records.read()).await
            } else if records.source().contains(&outcomes) {
                Box::pin(monitor.handle_outcomes(records.read())).await
            } else {
                monitor.handle_ledger(records.read()).await
            })
        })
        .await
    })
    .await
}
