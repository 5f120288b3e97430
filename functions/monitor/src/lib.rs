//! The monitor: looks after what no client waits for.
//!
//! | entrance | what it does |
//! | --- | --- |
//! | a batch of the ledger's changes | lists the requests that it leaves without a decision under the minute in which they are overdue |
//! | every minute | decides the requests that are overdue |
//!
//! Both may run twice, at the same time, late, or not at all for a while: the list is kept in the table of
//! windows, and a decision is committed by [`rendezvous_core::settle`](mod@rendezvous_core::settle) as
//! everywhere.

pub mod overdue;

use std::{sync::Arc, time::Duration};

use rendezvous_aws::batch::{Response, TableBatch};
use rendezvous_core::{
    EndpointCache, Unavailable,
    ports::{EndpointTable, Ledger, Telemetry, WindowTable},
};

/// The Lambda function of the monitor.
pub struct Monitor<E, L, W, T> {
    endpoints: EndpointCache<E>,
    ledger: Arc<L>,
    windows: Arc<W>,
    telemetry: Arc<T>,
}

/// The report of one batch or of one minute's run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorReport {
    /// `ledger`, or `minute`.
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
    /// Overdue requests that are left for the next minute: a dependency is unavailable, or there was no time.
    pub left: usize,
    /// How long after its deadline the run has decided a request, at most.
    pub latest: Duration,
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    pub fn new(endpoints: Arc<E>, ledger: Arc<L>, windows: Arc<W>, telemetry: Arc<T>) -> Self {
        Self { endpoints: EndpointCache::new(endpoints), ledger, windows, telemetry }
    }

    /// Lists the requests that a batch of the ledger's changes leaves without a decision. The batch is
    /// acknowledged when all of them are listed; else Lambda delivers all of it again.
    pub async fn handle_ledger(&self, batch: TableBatch<'_>) -> Response {
        let mut report =
            MonitorReport { source: "ledger", lag: batch.lag(), ..MonitorReport::default() };
        let listed = self.list(&batch, &mut report).await;
        if let Err(unavailable) = &listed {
            tracing::error!(%unavailable, "a batch of changes is not handled and will be delivered again");
        }
        self.telemetry.record(&report);
        batch.response(listed.is_err().then_some(0).into_iter())
    }

    /// The work of a minute. What a dependency that is unavailable prevents is left for the next one.
    pub async fn minute(&self) {
        let mut report = MonitorReport { source: "minute", ..MonitorReport::default() };
        if let Err(unavailable) = self.settle_overdue(&mut report).await {
            tracing::error!(%unavailable, "overdue requests are left for the next minute");
        }
        if report.left > 0 {
            tracing::warn!(left = report.left, "overdue requests are left for the next minute");
        }
        self.telemetry.record(&report);
    }

    async fn list(
        &self,
        batch: &TableBatch<'_>,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let (undecided, unreadable) = overdue::undecided(batch);
        report.unreadable = unreadable;
        report.listed = undecided.len();
        self.windows.put(overdue::entries(batch.place(0).event_id, &undecided)).await
    }
}
