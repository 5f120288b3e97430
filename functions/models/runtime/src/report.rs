use std::time::Duration;

use rendezvous_core::{Failure, FailureKind, Json, ModelId};

/// The report of one batch.
#[derive(Clone, Debug)]
pub struct ModelReport {
    pub model: ModelId,
    /// Requests of the model's endpoints that it is expected to score.
    pub requests: usize,
    /// Requests of which the endpoint's configuration expects no score of this model.
    pub skipped: usize,
    /// Records that are no readable requests.
    pub unreadable: usize,
    pub scored: usize,
    pub failed: usize,
    pub timed_out: usize,
    pub invalid: usize,
    pub expired: usize,
    /// Scores and failures that were not sent; Lambda hands their requests over again.
    pub unsent: usize,
    /// For each score, how long the call of the model took that gave it.
    pub times: Vec<Duration>,
    /// How far behind the stream the batch was.
    pub lag: Duration,
}

impl ModelReport {
    /// A report without any request.
    pub fn new(model: ModelId) -> Self {
        Self {
            model,
            requests: 0,
            skipped: 0,
            unreadable: 0,
            scored: 0,
            failed: 0,
            timed_out: 0,
            invalid: 0,
            expired: 0,
            unsent: 0,
            times: Vec::new(),
            lag: Duration::ZERO,
        }
    }

    /// Counts one request's result, given by a call that took `time`.
    pub(crate) fn count(&mut self, result: &Result<Json, Failure>, time: Duration) {
        let counter = match result {
            Ok(_) => {
                self.times.push(time);
                &mut self.scored
            }
            Err(failure) => match failure.kind {
                FailureKind::Failed => &mut self.failed,
                FailureKind::TimedOut => &mut self.timed_out,
                FailureKind::Invalid => &mut self.invalid,
                FailureKind::Expired => &mut self.expired,
            },
        };
        *counter += 1;
    }
}
