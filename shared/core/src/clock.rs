//! Time: microseconds since the epoch, UTC, and the one place that reads the wall clock.

use std::{
    cell::Cell,
    fmt,
    ops::{Add, Sub},
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

    /// The time from `earlier` to this instant; zero when `earlier` is later.
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

thread_local! {
    static SIMULATED: Cell<Option<Simulated>> = const { Cell::new(None) };
}

/// Where simulated time began, tokio's clock at that moment, and how far the current actor's clock
/// is ahead.
#[derive(Clone, Copy)]
struct Simulated {
    start: Timestamp,
    anchor: Instant,
    ahead_us: i64,
}

/// The current time.
///
/// In production this is the wall clock, read afresh at every call: a sandbox that was frozen and
/// thawed must not continue from where it stopped.
pub fn now() -> Timestamp {
    match SIMULATED.get() {
        Some(Simulated { start, anchor, ahead_us }) => {
            // A runtime that began before the simulation is behind its anchor.
            let now = Instant::now();
            let true_time = start + now.saturating_duration_since(anchor)
                - anchor.saturating_duration_since(now);
            Timestamp(true_time.0.saturating_add(ahead_us))
        }
        None => wall(),
    }
}

/// From here on [`now`] follows tokio's clock on this thread and begins at `start`, so that time can
/// be paused and skipped. For simulations and tests only; a test has a thread of its own.
pub fn simulate(start: Timestamp) {
    SIMULATED.set(Some(Simulated { start, anchor: Instant::now(), ahead_us: 0 }));
}

/// Whether time on this thread is simulated.
pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// Runs `section` with a simulated clock that is `ahead_us` microseconds ahead (negative: behind).
/// Without a simulation it changes nothing.
pub fn with_clock_ahead<T>(ahead_us: i64, section: impl FnOnce() -> T) -> T {
    let set = |ahead_us: i64| {
        let former = SIMULATED.get()?;
        SIMULATED.set(Some(Simulated { ahead_us, ..former }));
        Some(former.ahead_us)
    };
    let former = set(ahead_us);
    let result = section();
    if let Some(former) = former {
        set(former);
    }
    result
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
    // A clock before 1970 reads as the epoch.
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
        assert_eq!(Timestamp::from_micros(1_500).as_micros(), 1_500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_follows_tokios_and_an_actors_is_ahead_or_behind() {
        let start = Timestamp(1_000_000_000);
        simulate(start);
        sleep_until(start + Duration::from_secs(2)).await;
        assert_eq!(now(), start + Duration::from_secs(2));
        assert_eq!(with_clock_ahead(500_000, now), start + Duration::from_millis(2_500));
        assert_eq!(with_clock_ahead(-500_000, now), start + Duration::from_millis(1_500));
        assert_eq!(now(), start + Duration::from_secs(2), "outside the section it is right again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_instant_before_the_start_of_the_simulation_is_before_its_start() {
        tokio::time::advance(Duration::from_secs(5)).await;
        let anchor = Instant::now() + Duration::from_secs(3);
        SIMULATED.set(Some(Simulated { start: Timestamp(10_000_000), anchor, ahead_us: 0 }));
        assert_eq!(now(), Timestamp(7_000_000));
    }
}
