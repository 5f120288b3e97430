//! The metrics of a batch and of a minute's run.

use std::time::Duration;

use metrique::{unit::Millisecond, unit_of_work::metrics};
use rendezvous_core::ports::Telemetry;
use rendezvous_monitor::MonitorReport;

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Source"]])]
struct Report {
    stack: String,
    source: &'static str,
    monitor_unreadable: usize,
    windows_written: usize,
    outcomes_counted: usize,
    versions_published: usize,
    overdue_listed: usize,
    overdue_settled: usize,
    overdue_left: usize,
    #[metrics(unit = Millisecond)]
    overdue_by: Duration,
    #[metrics(unit = Millisecond)]
    monitor_lag: Duration,
}

/// Prints a line of metrics for each report.
pub(crate) struct Metrics {
    stack: String,
}

impl Metrics {
    pub(crate) fn new(stack: &str) -> Self {
        Self { stack: stack.to_owned() }
    }
}

impl Telemetry<MonitorReport> for Metrics {
    fn record(&self, report: &MonitorReport) {
        let MonitorReport { source, lag, unreadable, listed, settled, left, latest, .. } = *report;
        let MonitorReport { windows, outcomes, published, .. } = *report;
        let report = Report {
            stack: self.stack.clone(),
            source,
            monitor_unreadable: unreadable,
            windows_written: windows,
            outcomes_counted: outcomes,
            versions_published: published,
            overdue_listed: listed,
            overdue_settled: settled,
            overdue_left: left,
            overdue_by: latest,
            monitor_lag: lag,
        };
        rendezvous_aws::metrics::print(&rendezvous_aws::metrics::line(report));
    }
}
