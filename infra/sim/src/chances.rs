use std::time::Duration;

use rendezvous_core::random;

/// How often something goes wrong by chance, as shares in [0, 1]. By default nothing does.
///
/// Each draw is keyed by what it is about, so that a changed share changes no other draw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chances {
    /// Of the invocations by a mapping: the invocation ends within [`CRASHED_WITHIN`], whatever the
    /// function is doing, and the function does not respond. What it holds in memory stays.
    pub crashes: f64,
    /// Of the invocations by a mapping: the function handles the batch, but Lambda does not receive
    /// its response and delivers the batch again.
    pub redeliveries: f64,
    /// Of the writes to a stream or to the ledger: the answer is lost, and the client of the AWS SDK
    /// sends the same call again.
    pub lost_answers: f64,
}

/// How long after its start an invocation that crashes by chance ends at the latest.
pub const CRASHED_WITHIN: Duration = Duration::from_millis(50);

/// Whether something that happens in `share` of all cases happens in this one.
pub(crate) fn happens(share: f64, purpose: &'static str, subject: impl FnOnce() -> String) -> bool {
    share > 0.0 && random::fraction(purpose, &subject()) < share
}
