//! The metrics of a batch.

use std::{sync::Arc, time::Duration};

use metrique::{unit::Millisecond, unit_of_work::metrics};
use rendezvous::RendezvousReport;
use rendezvous_aws::{CallsSince, DynamoLedger};
use rendezvous_core::ports::Telemetry;

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack"]])]
struct Batch {
    stack: String,
    scores_read: usize,
    scores_unreadable: usize,
    scores_expired: usize,
    requests: usize,
    settled: usize,
    scores_retried: usize,
    rendezvous_ledger_reads: u64,
    rendezvous_ledger_writes: u64,
    #[metrics(unit = Millisecond)]
    rendezvous_lag: Duration,
}

/// Prints a line of metrics for each batch.
pub(crate) struct Metrics {
    stack: String,
    calls: CallsSince,
}

impl Metrics {
    pub(crate) fn new(stack: &str, ledger: Arc<DynamoLedger>) -> Self {
        Self { stack: stack.to_owned(), calls: CallsSince::new(ledger) }
    }
}

impl Telemetry<RendezvousReport> for Metrics {
    fn record(&self, report: &RendezvousReport) {
        let calls = self.calls.take();
        let batch = Batch {
            stack: self.stack.clone(),
            scores_read: report.scores,
            scores_unreadable: report.unreadable,
            scores_expired: report.expired,
            requests: report.requests,
            settled: report.settled,
            scores_retried: report.again,
            rendezvous_ledger_reads: calls.reads,
            rendezvous_ledger_writes: calls.writes,
            rendezvous_lag: report.lag,
        };
        rendezvous_aws::metrics::print(&rendezvous_aws::metrics::line(batch));
    }
}
