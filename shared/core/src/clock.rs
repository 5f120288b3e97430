//! Time: microseconds since the epoch, UTC, and the one place that reads the wall clock.

use std::{
    fmt,
    ops::{Add, Sub},
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// An instant as integer microseconds since the epoch, UTC: what every message carries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero when `earlier` is in truth later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Where simulated time began, and tokio's clock at that moment. Unset in production.
static SIMULATION: OnceLock<(Timestamp, Instant)> = OnceLock::new();

/// The current time.
///
/// In production this is the wall clock, read afresh at every call: a frozen and thawed sandbox
/// must not carry on from where it stopped.
pub fn now() -> Timestamp {
    match SIMULATION.get() {
        Some((start, anchor)) => {
            // A runtime that began before the simulation is behind its anchor.
            let now = Instant::now();
            *start + now.saturating_duration_since(*anchor) - anchor.saturating_duration_since(now)
        }
        None => wall(),
    }
}

/// From here on [`now`] follows tokio's clock, so that time can be paused and skipped.
///
/// For simulations and tests; the first call in a process counts, later ones do nothing. Every
/// runtime of the process sees its own tokio clock, so parallel tests do not disturb each other.
pub fn simulate(start: Timestamp) {
    SIMULATION.get_or_init(|| (start, Instant::now()));
}

/// Waits until [`now`] has reached `instant`; returns at once when it has.
pub async fn sleep_until(instant: Timestamp) {
    loop {
        let left = instant.since(now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one function that reads the wall clock")]
fn wall() -> Timestamp {
    // A machine whose clock stands before 1970 is answered with the epoch, not with a crash.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(micros(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_below_zero_and_sums_never_wrap() {
        let (early, late) = (Timestamp(5), Timestamp(1_000_005));
        assert_eq!(late.since(early), Duration::from_secs(1));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp(i64::MAX) + Duration::from_secs(1), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN) - Duration::MAX, Timestamp(i64::MIN));
    }
}
