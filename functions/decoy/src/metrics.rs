//! The metrics of a batch.

use std::time::Duration;

use metrique::{
    unit::{Byte, Millisecond},
    unit_of_work::metrics,
};
use rendezvous_core::ports::Telemetry;
use rendezvous_decoy::DecoyReport;

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Source"]])]
struct Batch {
    stack: String,
    source: &'static str,
    archived: usize,
    quarantined: usize,
    files: usize,
    #[metrics(unit = Byte)]
    archive_bytes: usize,
    #[metrics(unit = Millisecond)]
    archive_lag: Duration,
}

/// Prints a line of metrics for each batch.
pub(crate) struct Metrics {
    stack: String,
}

impl Metrics {
    pub(crate) fn new(stack: &str) -> Self {
        Self { stack: stack.to_owned() }
    }
}

impl Telemetry<DecoyReport> for Metrics {
    fn record(&self, report: &DecoyReport) {
        let DecoyReport { source, rows, quarantined, files, bytes, lag } = *report;
        let batch = Batch {
            stack: self.stack.clone(),
            source,
            archived: rows,
            quarantined,
            files,
            archive_bytes: bytes,
            archive_lag: lag,
        };
        rendezvous_aws::metrics::print(&rendezvous_aws::metrics::line(batch));
    }
}
