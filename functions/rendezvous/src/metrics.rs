//! What is counted of a batch.

use std::time::Duration;

use metrique::{unit::Millisecond, unit_of_work::metrics};
use rendezvous::Filed;
use rendezvous_aws::Calls;

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack"]])]
struct Batch {
    stack: String,
    scores_read: usize,
    scores_unreadable: usize,
    requests: usize,
    settled: usize,
    scores_retried: usize,
    rendezvous_ledger_reads: u64,
    rendezvous_ledger_writes: u64,
    #[metrics(unit = Millisecond)]
    rendezvous_lag: Duration,
}

/// The line of one batch. `calls` are those of the ledger meanwhile.
pub(crate) fn line(stack: &str, filed: &Filed, calls: Calls) -> Vec<u8> {
    let batch = Batch {
        stack: stack.to_owned(),
        scores_read: filed.scores,
        scores_unreadable: filed.unreadable,
        requests: filed.requests,
        settled: filed.settled,
        scores_retried: filed.again,
        rendezvous_ledger_reads: calls.reads,
        rendezvous_ledger_writes: calls.writes,
        rendezvous_lag: filed.lag,
    };
    rendezvous_aws::metrics::line(batch)
}
