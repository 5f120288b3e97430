//! How often to look into a mailbox that somebody else fills: seldom enough to be cheap, often
//! enough to be quick, by what the endpoint has lately taken.
//!
//! The usual time to a decision and its spread are tracked as TCP tracks round trips (RFC 6298:
//! a smoothed mean with gain 1/8, a smoothed mean deviation with gain 1/4). The first look is when
//! answers usually begin to come; then every half spread, ever less often once the usual time is
//! over.

use std::time::Duration;

/// The bounds of the interval between two looks.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub shortest: Duration,
    pub longest: Duration,
}

/// What one endpoint has lately taken to be decided by a score.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Usual time and spread; nothing before the first observation.
    usual: Option<(Duration, Duration)>,
}

impl Pace {
    /// Learns from a request that a score has settled after `taken`. (One settled by the clock says
    /// nothing about when scores come.)
    pub(crate) fn observe(&mut self, taken: Duration) {
        self.usual = Some(match self.usual {
            None => (taken, taken / 2),
            Some((mean, spread)) => {
                let off = mean.abs_diff(taken);
                // Answers that come early pull harder than late ones: a champion that is back
                // must not be waited for at the pace of its stand-in.
                let mean = if taken < mean { taken + off / 2 } else { mean + off / 8 };
                (mean, spread * 3 / 4 + off / 4)
            }
        });
    }

    /// How long to wait before the next look, `elapsed` after the request was received and after
    /// `looks` looks that found nothing.
    pub(crate) fn next(&self, elapsed: Duration, looks: u32, bounds: Bounds) -> Duration {
        let clamp = |interval: Duration| interval.clamp(bounds.shortest, bounds.longest);
        let Some((mean, spread)) = self.usual else {
            // Nothing is known yet: begin small, and let the interval grow with the wait.
            return clamp(elapsed / 4);
        };
        let early = mean.saturating_sub(spread).saturating_sub(elapsed);
        if looks == 0 && !early.is_zero() {
            // Not clamped from above: nothing is expected earlier.
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

    /// Looks at a request that is settled after `taken`: how many looks, and how late the last.
    fn watch(pace: &mut Pace, taken: Duration) -> (u32, Duration) {
        let (mut elapsed, mut looks) = (Duration::ZERO, 0);
        while elapsed < taken {
            elapsed += pace.next(elapsed, looks, BOUNDS);
            looks += 1;
        }
        pace.observe(taken);
        (looks, elapsed.abs_diff(taken))
    }

    fn watch_often(pace: &mut Pace, taken: Duration, times: u32) {
        for _ in 0..times {
            watch(pace, taken);
        }
    }

    #[test]
    fn steady_answers_are_met_with_few_looks_and_little_delay() {
        let mut pace = Pace::default();
        for taken in [1, 8, 40, 120, 600] {
            watch_often(&mut pace, ms(taken), 100);
            let (looks, delay) = watch(&mut pace, ms(taken));
            assert!(looks <= 3, "{taken} ms: {looks} looks");
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
    fn silence_is_looked_into_ever_less_often() {
        let mut pace = Pace::default();
        watch_often(&mut pace, ms(5), 100);
        let (looks, _) = watch(&mut pace, ms(800));
        assert!(looks < 60, "{looks} looks");
        let (looks, _) = watch(&mut Pace::default(), ms(800));
        assert!(looks < 45, "{looks} looks");
    }
}
