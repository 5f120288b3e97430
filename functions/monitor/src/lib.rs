//! The monitor: looks after what no client waits for.
//!
//! | entrance | what it does |
//! | --- | --- |
//! | a batch of the ledger's changes | lists the requests that it leaves without a decision under the minute in which they are overdue; writes windows of its decisions |
//! | a batch of the stream `scores` | writes windows of its scores |
//! | a batch of the outcomes' changes | lists the outcomes that a guard waits for |
//! | a batch of the stream `input` | writes windows of its requests and their features |
//! | every minute | judges guarded arms; merges complete minutes and hours; raises alarms; counts the listed outcomes; decides the requests that are overdue |
//! | every day | computes from the archive how good the models were, when the outcomes of a day are known |
//!
//! Each may run twice, at the same time, late, or not at all for a while: the list is kept in the table of
//! windows, and a decision is committed by [`rendezvous_core::settle`](mod@rendezvous_core::settle) as
//! everywhere.

pub mod agreement;
pub mod alarms;
pub mod baselines;
pub mod day;
pub mod features;
pub mod freeze;
pub mod guards;
pub mod hours;
mod looks;
pub mod minutes;
pub mod outcomes;
pub mod overdue;
pub mod series;
pub mod windows;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rendezvous_aws::batch::{Response, StreamBatch, TableBatch};
use rendezvous_core::{
    EndpointCache, EndpointName, Unavailable, now,
    ports::{EndpointTable, Ledger, Telemetry, WindowTable},
};

use crate::{
    alarms::AlarmCounts,
    day::ModelOfDay,
    looks::{Baselines, Stopped},
};

/// Until when after its beginning a minute's run begins to look at endpoints, to count outcomes and to decide overdue
/// requests. What it has begun ends before the next run.
const LOOKS: Duration = Duration::from_secs(25);
const OUTCOMES: Duration = Duration::from_secs(35);
const OVERDUE: Duration = Duration::from_secs(50);

/// The Lambda function of the monitor.
pub struct Monitor<E, L, W, T> {
    endpoints: EndpointCache<E>,
    /// For what is read once in a step, and for publishing.
    table: Arc<E>,
    ledger: Arc<L>,
    windows: Arc<W>,
    telemetry: Arc<T>,
    baselines: Baselines,
    /// How long windows of minutes are kept.
    keep: Duration,
}

/// The report of one batch or of one minute's run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitorReport {
    /// `ledger`, `scores`, `input`, `outcomes`, `minute` or `day`.
    pub source: &'static str,
    /// How far behind its source a batch was.
    pub lag: Duration,
    /// Records that cannot be read.
    pub unreadable: usize,
    /// Requests that were listed, because a batch has left them without a decision.
    pub listed: usize,
    /// Overdue requests that the run has decided.
    pub settled: usize,
    /// Overdue requests that the run has found decided.
    pub decided_before: usize,
    /// Overdue requests, or days, that are left for the next run: a dependency is unavailable, or there was
    /// no time.
    pub left: usize,
    /// Windows that a batch has become.
    pub windows: usize,
    /// Outcomes that the run has counted for guards.
    pub outcomes: usize,
    /// Versions that the run has published.
    pub published: usize,
    /// How long after its deadline the run has decided a request, at most.
    pub latest: Duration,
    /// Days that the run has computed, and the figures of their models.
    pub days: usize,
    pub models: Vec<ModelOfDay>,
    /// The alarms by endpoint and name, after a run.
    pub alarms: BTreeMap<(EndpointName, String), AlarmCounts>,
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Windows of minutes are kept for `keep`.
    pub fn new(
        endpoints: Arc<E>,
        ledger: Arc<L>,
        windows: Arc<W>,
        telemetry: Arc<T>,
        keep: Duration,
    ) -> Self {
        let table = endpoints.clone();
        let baselines = Baselines::default();
        let endpoints = EndpointCache::new(endpoints);
        Self { endpoints, table, ledger, windows, telemetry, baselines, keep }
    }

    /// Lists the requests that a batch of the ledger's changes leaves without a decision, and writes the
    /// windows of its decisions. The batch is acknowledged when all of that is written; else Lambda delivers
    /// all of it again.
    pub async fn handle_ledger(&self, batch: TableBatch<'_>) -> Response {
        let mut report =
            MonitorReport { source: "ledger", lag: batch.lag(), ..MonitorReport::default() };
        let written = self.changes(&batch, &mut report).await;
        batch.response(self.reported(&report, written).into_iter())
    }

    /// Writes the windows of a batch of the stream `scores`.
    pub async fn handle_scores(&self, batch: StreamBatch<'_>) -> Response {
        let messages = batch.live_scores();
        let mut report = MonitorReport {
            source: "scores",
            lag: batch.lag(),
            unreadable: batch.records().len() - messages.len(),
            ..MonitorReport::default()
        };
        let written = match self.scores(&batch, messages, now() + self.keep).await {
            Ok(windows) => {
                report.windows = windows.len();
                self.put_windows(windows).await
            }
            Err(unavailable) => Err(unavailable),
        };
        batch.response(self.reported(&report, written).into_iter())
    }

    /// Reports a batch; returns from which of its records on it is to be delivered again.
    fn reported(&self, report: &MonitorReport, written: Result<(), Unavailable>) -> Option<usize> {
        self.telemetry.record(report);
        let unavailable = written.err()?;
        let source = report.source;
        tracing::error!(source, %unavailable, "a batch is not handled and will be delivered again");
        Some(0)
    }

    /// The work of a minute. What a dependency that is unavailable prevents is left for the next one, as is what there is
    /// no time for. What takes long after an outage comes last: a run that is cut short has judged the arms.
    pub async fn minute(&self) {
        let start = now();
        let mut report = MonitorReport { source: "minute", ..MonitorReport::default() };
        let stopped = self.guards(&mut report).await.unwrap_or_else(|unavailable| {
            tracing::error!(%unavailable, "arms are left for the next minute");
            Stopped::new()
        });
        if let Err(unavailable) = self.look(stopped, start + LOOKS, &mut report).await {
            tracing::error!(%unavailable, "alarms are left for the next minute");
        }
        if let Err(unavailable) = self.count_outcomes(start + OUTCOMES, &mut report).await {
            tracing::error!(%unavailable, "outcomes are left for the next minute");
        }
        if let Err(unavailable) = self.settle_overdue(start + OVERDUE, &mut report).await {
            tracing::error!(%unavailable, "overdue requests are left for the next minute");
        }
        if report.left > 0 {
            tracing::warn!(left = report.left, "overdue requests are left for the next minute");
        }
        self.telemetry.record(&report);
    }

    async fn changes(
        &self,
        batch: &TableBatch<'_>,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let (undecided, unreadable) = overdue::undecided(batch);
        report.unreadable = unreadable;
        report.listed = undecided.len();
        let mut entries = self.decisions(batch, now() + self.keep).await?;
        report.windows = entries.len();
        entries.extend(overdue::entries(batch.place(0).event_id, &undecided));
        self.put_windows(entries).await
    }
}
