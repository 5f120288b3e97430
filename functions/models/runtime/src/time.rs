//! How the time-out of a function limits the time-out of its model.
//!
//! When a function itself times out, Lambda discards what it had to say and invokes it again with
//! the same batch. So all calls of the model must end early enough for their failures to be sent:
//! a function gives the model its own time-out less [`SEND_WITHIN`] and [`RESERVE`], in one
//! invocation and for all calls together, those after a panic included.
//!
//! The limit is computed from the function's configured time-out and not from the deadline that
//! Lambda gives with each invocation, because a model that cannot fit must be refused at the start,
//! before there is an invocation. The two differ by the time in which the runtime reads the event,
//! which the reserve covers.

use std::time::Duration;

use tokio::time::Instant;

/// The time-out of a function that has no other, as in the local system. It is the
/// default of `TimeoutSeconds` in the template of the models, too.
pub const DEFAULT_FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time-out that Lambda allows for a function.
pub const MAX_FUNCTION_TIMEOUT: Duration = Duration::from_mins(15);

/// How long the runtime tries to send scores before it returns their requests to Lambda.
pub const SEND_WITHIN: Duration = Duration::from_secs(5);

/// For reading the batch and for the response to Lambda.
pub const RESERVE: Duration = Duration::from_secs(1);

/// The longest time-out that a model may have in a function with this time-out.
pub const fn longest_model_timeout(function_timeout: Duration) -> Duration {
    function_timeout.saturating_sub(SEND_WITHIN).saturating_sub(RESERVE)
}

/// The shortest time-out of a function that has a model with this time-out.
pub(crate) fn function_timeout_for(model_timeout: Duration) -> Duration {
    model_timeout + SEND_WITHIN + RESERVE
}

/// The time limits of the model's calls in one invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of one call.
    model_timeout: Duration,
    /// When every call must have ended.
    until: Instant,
}

impl Limits {
    /// The limits of an invocation that begins now.
    pub(crate) fn begin(model_timeout: Duration, function_timeout: Duration) -> Self {
        Self { model_timeout, until: Instant::now() + longest_model_timeout(function_timeout) }
    }

    /// The same limits, with at most `time` for a call.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        Self { model_timeout: self.model_timeout.min(time), ..self }
    }

    /// How long calls may take from now on, all together.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// How long a call that begins now may take, and what sets that limit.
    pub(crate) fn next(&self) -> (Duration, Limit) {
        let left = self.left();
        if self.model_timeout <= left {
            (self.model_timeout, Limit::Model)
        } else {
            (left, Limit::Invocation)
        }
    }
}

/// What limits a call of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The model's own time-out.
    Model,
    /// The rest of the invocation.
    Invocation,
}
