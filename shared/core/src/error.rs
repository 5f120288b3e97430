//! The two errors of every port, and the one helper that bounds a call in time.

use std::{borrow::Cow, fmt, future::Future, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

/// A permanent error: the input is wrong and will be wrong at every attempt. Quarantine it and
/// continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(Cow<'static, str>);

impl Invalid {
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

/// A transient error of a dependency: the same call may succeed later. Retry within the deadline,
/// or return the record to Lambda.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unavailable {
    /// Which dependency, e.g. `ledger`.
    pub dependency: &'static str,
    pub kind: UnavailableKind,
    /// What the operator should know in addition; may be empty. Not shown to clients.
    pub detail: Cow<'static, str>,
}

/// How a dependency failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnavailableKind {
    /// The dependency limits the rate of calls.
    Throttled,
    /// The dependency did not answer in time. The call may have taken effect.
    TimedOut,
    /// The dependency failed or answered with an error. The call may have taken effect.
    Down,
}

impl Unavailable {
    pub fn throttled(dependency: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { dependency, kind: UnavailableKind::Throttled, detail: detail.into() }
    }

    pub fn timed_out(dependency: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { dependency, kind: UnavailableKind::TimedOut, detail: detail.into() }
    }

    pub fn down(dependency: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { dependency, kind: UnavailableKind::Down, detail: detail.into() }
    }

    pub fn is_throttled(&self) -> bool {
        self.kind == UnavailableKind::Throttled
    }

    /// What a client may read: the dependency and how it failed, without the detail.
    pub fn summary(&self) -> String {
        let dependency = self.dependency;
        match self.kind {
            UnavailableKind::Throttled => format!("{dependency} is rate-limited"),
            UnavailableKind::TimedOut => format!("{dependency} did not answer in time"),
            UnavailableKind::Down => format!("{dependency} is unavailable"),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

/// The result of `call`, or [`UnavailableKind::TimedOut`] of `dependency` after `limit`.
///
/// A call that is cut off may still take effect.
pub fn within<T>(
    dependency: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, Unavailable>>,
) -> impl Future<Output = Result<T, Unavailable>> {
    // An `async fn` would hold the call twice: as its argument, and while it waits.
    timeout(limit, call).map(move |result| {
        let detail = || format!("no answer within {} ms", limit.as_millis());
        result.unwrap_or_else(|_| Err(Unavailable::timed_out(dependency, detail())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_dependency_is_named() {
        let never = std::future::pending::<Result<(), Unavailable>>();
        let slow = within("outcomes table", Duration::from_millis(20), never).await.unwrap_err();
        assert_eq!(slow.dependency, "outcomes table");
        assert_eq!(
            slow.to_string(),
            "outcomes table did not answer in time (no answer within 20 ms)"
        );
    }

    #[test]
    fn only_what_is_rate_limited_is_throttled() {
        assert!(Unavailable::throttled("ledger", "").is_throttled());
        assert!(!Unavailable::down("ledger", "").is_throttled());
        assert!(!Unavailable::timed_out("ledger", "").is_throttled());
    }

    #[test]
    fn a_client_reads_no_detail() {
        let down = Unavailable::down("ledger", "table rendezvous-ledger-X");
        assert_eq!(down.summary(), "ledger is unavailable");
        assert_eq!(down.to_string(), "ledger is unavailable (table rendezvous-ledger-X)");
    }
}
