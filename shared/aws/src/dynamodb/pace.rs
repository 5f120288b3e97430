//! How often to poll a mailbox, from how long the endpoint's requests have lately taken.
//!
//! The usual time to a decision and its spread are tracked as TCP tracks round trips (RFC 6298:
//! a smoothed mean with gain 1/8, a smoothed mean deviation with gain 1/4). The first poll is when
//! answers usually begin to come; then every half spread, and less often once the usual time is
//! over. The longest interval grows with the wait: where many requests wait for long because the
//! system is behind, their polls must not take what it needs to catch up.

use std::time::Duration;

/// The bounds of the interval between two polls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) shortest: Duration,
    /// Exceeded where a request has waited more than [`PARTS`] times as long.
    pub(super) longest: Duration,
}

/// After a long wait the longest interval is one sixteenth of it, so that a late answer is found late
/// by at most that part of the time that it took.
const PARTS: u32 = 16;

/// What one endpoint has lately taken to be decided by a score.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Usual time and spread; nothing before the first observation.
    usual: Option<(Duration, Duration)>,
}

impl Pace {
    /// Learns from a request that a score settled after `taken`.
    pub(super) fn observe(&mut self, taken: Duration) {
        self.usual = Some(match self.usual {
            None => (taken, taken / 2),
            Some((mean, spread)) => {
                let off = mean.abs_diff(taken);
                // Early answers weigh more than late ones, so that a champion that is back is soon
                // polled at its own pace again.
                let mean = if taken < mean { taken + off / 2 } else { mean + off / 8 };
                (mean, spread * 3 / 4 + off / 4)
            }
        });
    }

    /// How long to wait before the next poll, `elapsed` after the request was received.
    pub(super) fn next(&self, elapsed: Duration, bounds: Bounds) -> Duration {
        let longest = bounds.longest.max(elapsed / PARTS);
        let clamp = |interval: Duration| interval.clamp(bounds.shortest, longest);
        let Some((mean, spread)) = self.usual else {
            // Nothing is known yet: the interval grows with the time waited.
            return clamp(elapsed / 4);
        };
        let early = mean.saturating_sub(spread).saturating_sub(elapsed);
        if !early.is_zero() {
            // Not bounded from above: no answer is expected earlier.
            return early.max(bounds.shortest);
        }
        let overdue = elapsed.saturating_sub(mean + spread * 4);
        clamp(spread / 2 + overdue / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { shortest: Duration::from_millis(1), longest: Duration::from_millis(50) };

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_usual_time_moves_by_half_to_early_answers_and_by_an_eighth_to_late_ones() {
        let mut pace = Pace::default();
        let mut usual = |taken| {
            pace.observe(ms(taken));
            pace.usual.unwrap()
        };
        assert_eq!(usual(80), (ms(80), ms(40)));
        assert_eq!(usual(160), (ms(90), ms(50)));
        assert_eq!(usual(10), (ms(50), Duration::from_micros(57_500)));
    }

    #[test]
    fn the_first_poll_is_when_answers_usually_begin_and_the_others_are_half_a_spread_apart() {
        let pauses = |pace: Pace, elapsed: [u64; 6]| elapsed.map(|at| pace.next(ms(at), BOUNDS));
        let known = Pace { usual: Some((ms(100), ms(20))) };
        // 220 ms are 40 over the usual time and four spreads.
        let expected = [80, 20, 10, 10, 20, 50].map(ms);
        assert_eq!(pauses(known, [0, 60, 80, 180, 220, 800]), expected);
        let expected = [1, 2, 25, 50, 50, 50].map(ms);
        assert_eq!(pauses(Pace::default(), [0, 8, 100, 200, 400, 800]), expected);
        let expected = [100, 625, 1_250].map(ms);
        let after_long = [1_600, 10_000, 20_000];
        assert_eq!(after_long.map(|at| known.next(ms(at), BOUNDS)), expected);
        assert_eq!(after_long.map(|at| Pace::default().next(ms(at), BOUNDS)), expected);
    }

    /// Polls for a request that is settled after `taken`: how many polls, and how late the last.
    fn watch(pace: &mut Pace, taken: Duration) -> (u32, Duration) {
        let (mut elapsed, mut polls) = (Duration::ZERO, 0);
        while elapsed < taken {
            elapsed += pace.next(elapsed, BOUNDS);
            polls += 1;
        }
        pace.observe(taken);
        (polls, elapsed.abs_diff(taken))
    }

    fn watch_often(pace: &mut Pace, taken: Duration, times: u32) {
        for _ in 0..times {
            watch(pace, taken);
        }
    }

    #[test]
    fn steady_answers_need_few_polls_and_little_delay() {
        let mut pace = Pace::default();
        for taken in [1, 8, 40, 120, 600] {
            watch_often(&mut pace, ms(taken), 100);
            let (polls, delay) = watch(&mut pace, ms(taken));
            assert!(polls <= 3, "{taken} ms: {polls} polls");
            assert!(delay <= ms(2), "{taken} ms: {delay:?} late");
        }
    }

    #[test]
    fn an_endpoint_that_becomes_quick_again_is_met_within_ten_requests() {
        let mut pace = Pace::default();
        watch_often(&mut pace, ms(400), 100);
        watch_often(&mut pace, ms(5), 10);
        let (_, delay) = watch(&mut pace, ms(5));
        assert!(delay <= ms(20), "{delay:?} late");
    }

    #[test]
    fn a_silent_request_is_polled_less_and_less_often() {
        let mut pace = Pace::default();
        watch_often(&mut pace, ms(5), 100);
        let (polls, _) = watch(&mut pace, ms(800));
        assert!(polls < 60, "{polls} polls");
        let (polls, _) = watch(&mut Pace::default(), ms(800));
        assert!(polls < 45, "{polls} polls");
        let (polls, delay) = watch(&mut Pace::default(), ms(20_000));
        assert!(polls < 100, "{polls} polls");
        assert!(delay <= ms(20_000) / PARTS, "{delay:?} late");
    }
}
