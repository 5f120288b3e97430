//! The runtime around a model: reads a batch of requests, scores them, sends their scores.
//!
//! A [`Model`] scores payloads and does nothing else. [`ModelFunction`] reads the stream `input`,
//! skips the requests of other endpoints and those whose deadline has passed, reads the payloads that are
//! too large for a message, calls the model, and sends each score to the stream `scores` as soon as its call has ended. A panic or a time-out of
//! the model becomes a failure, which is a message like a score: rendezvous then opens the next
//! choice at once.

#[cfg(feature = "aws")]
pub mod aws;
mod call;
pub mod card;
mod function;
mod payloads;
mod report;
pub mod time;
mod work;

use std::{collections::HashSet, future::Future, time::Duration};

use rendezvous_core::{Artifact, EndpointName, Failure, Invalid, Json, ModelId};

pub use {function::ModelFunction, report::ModelReport};

/// What the runtime must know about a model.
#[derive(Clone, Debug)]
pub struct Profile {
    pub id: ModelId,
    /// The endpoints whose requests it scores; all other requests are skipped.
    pub endpoints: HashSet<EndpointName>,
    /// How long one call of the model may take, including the time in which it waits for other
    /// calls. Further batches of the shard wait for as long.
    pub timeout: Duration,
    /// Score requests whose deadline has passed, too, e.g. for a challenger that is only compared.
    /// By default such requests fail as `expired`, so that a model that is behind catches up.
    pub scores_expired: bool,
}

impl Profile {
    /// Checks that a function with this time-out can send a failure after the model's own time-out,
    /// see [`time`].
    pub fn check_timeout(&self, function_timeout: Duration) -> Result<(), Invalid> {
        let longest = time::longest_model_timeout(function_timeout);
        if self.timeout <= longest {
            return Ok(());
        }
        let shorter = if longest.is_zero() {
            String::new()
        } else {
            format!("timeout_ms in the model card to {} or less, or ", longest.as_millis())
        };
        let needed = time::function_timeout_for(self.timeout).as_secs_f64().ceil();
        Err(Invalid::new(format!(
            "the time-out of model {} is {} ms, but its function ends after {} s, the last {} s of \
             which are for sending scores: set {shorter}the function's time-out to {needed} s or more",
            self.id,
            self.timeout.as_millis(),
            function_timeout.as_secs(),
            (time::SEND_WITHIN + time::RESERVE).as_secs(),
        )))
    }
}

/// A model: loaded once, then called concurrently.
pub trait Model: Send + Sync + 'static {
    fn profile(&self) -> &Profile;

    /// The most payloads of one call. With 1 there is one call for each request of a batch, and
    /// these calls run concurrently.
    fn largest_batch(&self) -> usize {
        1
    }

    /// Whether a call ends when the deadlines of all its requests have passed, e.g. because it is a call
    /// of another server, whose time is not free.
    fn until_deadline(&self) -> bool {
        false
    }

    /// From which artefact it scores now, where it is known. Every score and failure says so.
    fn artifact(&self) -> Option<Artifact> {
        None
    }

    /// Returns one result for each payload, in order.
    ///
    /// A panic fails the call. A call that takes longer than the time-out is cancelled at its next
    /// await: an implementation that computes for long must do so on another thread.
    fn score(&self, payloads: &[Json]) -> impl Future<Output = Vec<Result<Json, Failure>>> + Send;
}
