//! What is counted of a call.

use std::time::Duration;

use metrique::{
    unit::{Millisecond, Percent},
    unit_of_work::metrics,
};
use rendezvous_aws::{Calls, metrics::line as write};
use rendezvous_core::Kind;
use rendezvous_ingress::Handled;

/// A call that was answered with a decision.
#[metrics(
    rename_all = "PascalCase",
    emf::dimension_sets = [["Stack"], ["Stack", "Endpoint"], ["Stack", "Endpoint", "Kind", "Reason"]]
)]
struct Answer {
    stack: String,
    endpoint: String,
    kind: &'static str,
    reason: &'static str,
    answers: u64,
    fallbacks: u64,
    late: u64,
    unsettled: u64,
    #[metrics(unit = Millisecond)]
    answer_time: Duration,
    /// How much of the time that was allowed it took.
    #[metrics(unit = Percent)]
    deadline_share: f64,
    ledger_reads: u64,
    ledger_writes: u64,
}

/// Any other call.
#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack"]])]
struct Other {
    stack: String,
    status: String,
    refused: u64,
    unanswered: u64,
}

/// The line of one call. `calls` are those of the ledger meanwhile.
pub(crate) fn line(stack: &str, handled: Handled, calls: Calls) -> Vec<u8> {
    let stack = stack.to_owned();
    let Handled { status, answered } = handled;
    let Some(answered) = answered else {
        return write(Other {
            stack,
            status: status.to_string(),
            refused: u64::from((400..500).contains(&status)),
            unanswered: u64::from(status >= 500),
        });
    };
    write(Answer {
        stack,
        answers: 1,
        fallbacks: u64::from(matches!(answered.kind, Kind::Fallback | Kind::None)),
        late: u64::from(answered.late()),
        unsettled: u64::from(!answered.settled),
        answer_time: answered.took,
        deadline_share: answered.took.div_duration_f64(answered.allowed) * 100.0,
        ledger_reads: calls.reads,
        ledger_writes: calls.writes,
        endpoint: answered.endpoint.to_string(),
        kind: answered.kind.as_str(),
        reason: answered.reason.as_str(),
    })
}
