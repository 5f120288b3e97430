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
    days_computed: usize,
    versions_published: usize,
    overdue_listed: usize,
    overdue_settled: usize,
    overdue_left: usize,
    alarms_active: usize,
    #[metrics(unit = Millisecond)]
    overdue_by: Duration,
    #[metrics(unit = Millisecond)]
    monitor_lag: Duration,
}

/// One endpoint's alarms of a name, each minute while one is active, and in the minute in which the last one ends.
#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Endpoint", "Alarm"]])]
struct OfAlarm {
    stack: String,
    endpoint: String,
    alarm: String,
    alarms_active: usize,
    alarms_begun: usize,
    alarms_ended: usize,
}

/// A model on a day whose outcomes are known.
#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Endpoint", "Model"]])]
struct ModelDay {
    stack: String,
    endpoint: String,
    model: String,
    day_outcomes: u64,
    day_brier: f64,
    day_log_loss: f64,
    day_excess: f64,
    day_missing: u64,
}

/// Prints a line of metrics for each report, and for each endpoint and alarm.
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
        let MonitorReport { windows, outcomes, published, days, .. } = *report;
        let (alarms, models) = (&report.alarms, &report.models);
        let alarms_active = alarms.values().map(|counts| counts.active).sum();
        let report = Report {
            stack: self.stack.clone(),
            source,
            monitor_unreadable: unreadable,
            windows_written: windows,
            outcomes_counted: outcomes,
            days_computed: days,
            versions_published: published,
            overdue_listed: listed,
            overdue_settled: settled,
            overdue_left: left,
            alarms_active,
            overdue_by: latest,
            monitor_lag: lag,
        };
        rendezvous_aws::metrics::print(&rendezvous_aws::metrics::line(report));
        for ((endpoint, alarm), counts) in alarms {
            let raised = OfAlarm {
                stack: self.stack.clone(),
                endpoint: endpoint.to_string(),
                alarm: alarm.clone(),
                alarms_active: counts.active,
                alarms_begun: counts.begun,
                alarms_ended: counts.ended,
            };
            rendezvous_aws::metrics::print(&rendezvous_aws::metrics::line(raised));
        }
        for of in models {
            let day = ModelDay {
                stack: self.stack.clone(),
                endpoint: of.endpoint.to_string(),
                model: of.model.to_string(),
                day_outcomes: of.outcomes,
                day_brier: of.brier,
                day_log_loss: of.log_loss,
                day_excess: of.excess,
                day_missing: of.missing,
            };
            rendezvous_aws::metrics::print(&rendezvous_aws::metrics::line(day));
        }
    }
}
