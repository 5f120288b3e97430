//! Callers that fall silent, or send far more than usual.
//!
//! The requests of the last [`SPANS`] minutes are compared with those of the same minutes of the last day and of the last week,
//! [`AROUND`] minutes on either side included. A minute without requests counts like any other, so that no event
//! has to arrive for silence to be noticed.
//!
//! **Rule.** Callers are silent when there are fewer than half as many requests as usual, a surge is more
//! than [`SURGE`] times as many, both by the same minutes alone, so that the hour at which callers begin or
//! end each day is usual, and with those around them; and so few, or so many, would come by chance with a
//! probability of at most [`CHANCE`]. All must hold against the last day and against the last week; what is
//! before the endpoint's first request is not compared with.
//!
//! **Chance.** Given the sum of two Poisson counts of one rate, each is binomial with the share of its minutes
//! (Przyborowski and Wilenski 1940, "Homogeneity of results in testing samples from Poisson series", Biometrika
//! 31), so that the usual rate need not be known exactly. On Poisson traffic that is as usual, looked at every
//! minute of a year, three spans of two sides each have the probability [`CHANCE`] at most: less than 0.32 verdicts a year
//! by chance. Traffic that comes in bursts has more.
//!
//! **How soon.** Callers that stop are silent within 2 whole minutes when there were at least 10 requests a minute, within 3
//! when there were 6, within 30 when there was one (`tests/callers.rs`).

use serde::Serialize;
use statrs::function::beta::checked_beta_reg;

/// The last minutes that are looked at: few for an endpoint with many requests, more for one with few.
pub const SPANS: [u64; 3] = [2, 3, 30];
/// How many minutes before and after belong to the usual ones.
pub const AROUND: u64 = 15;
/// From how many times the usual requests on it is a surge.
pub const SURGE: f64 = 3.0;
/// The probability of a verdict by chance, at each look.
pub const CHANCE: f64 = 1e-7;

const DAY: u64 = 24 * 60;
const WEEK: u64 = 7 * DAY;

/// That callers send fewer or more requests than usual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unusual {
    pub kind: Unusually,
    /// Requests of the last minutes.
    pub requests: u64,
    pub minutes: u64,
    /// How many there would be at the rate of the last day, or of the last week: the one that is nearer.
    pub usual: f64,
}

/// What is unusual about callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unusually {
    Silent,
    Surging,
}

/// Looks at the last minutes up to `minute`, the last one that is complete, counted from any fixed instant.
/// `since` is the first minute of which a window is kept, and `requests` says how many a minute had.
pub fn judge(minute: u64, since: u64, requests: impl Fn(u64) -> u64) -> Option<Unusual> {
    let sum = |from: u64, to: u64| (from..=to).map(&requests).sum::<u64>();
    SPANS.into_iter().find_map(|minutes| {
        let first = (minute + 1).checked_sub(minutes)?;
        let recent = sum(first, minute);
        let past = [DAY, WEEK].into_iter().filter_map(|back| {
            let from = first.checked_sub(back + AROUND).filter(|from| *from >= since)?;
            let count = sum(from, (minute - back) + AROUND);
            let same = sum(first - back, minute - back);
            Some(Past { same, count, minutes: minutes + 2 * AROUND })
        });
        let past: Vec<Past> = past.collect();
        [Unusually::Silent, Unusually::Surging].into_iter().find_map(|kind| {
            let unusual = |past: &Past| past.is_against(kind, recent, minutes);
            (!past.is_empty() && past.iter().all(unusual)).then(|| {
                let usual = past.iter().map(|past| past.usual(minutes));
                let usual = match kind {
                    Unusually::Silent => usual.fold(f64::INFINITY, f64::min),
                    Unusually::Surging => usual.fold(0.0, f64::max),
                };
                Unusual { kind, requests: recent, minutes, usual }
            })
        })
    })
}

/// The requests of an earlier day.
struct Past {
    /// In the same minutes.
    same: u64,
    /// In these and those around them.
    count: u64,
    minutes: u64,
}

impl Past {
    /// How many requests there would be in so many minutes.
    fn usual(&self, minutes: u64) -> f64 {
        self.count as f64 * minutes as f64 / self.minutes as f64
    }

    fn is_against(&self, kind: Unusually, recent: u64, minutes: u64) -> bool {
        let (usual, same) = (self.usual(minutes), self.same as f64);
        let (n, k) = ((self.count + recent) as f64, recent as f64);
        let share = minutes as f64 / (minutes + self.minutes) as f64;
        // The tails of the binomial distribution of `n` and the share, as incomplete beta functions.
        let (enough, tail) = match kind {
            Unusually::Silent => {
                (2.0 * k < usual.min(same), checked_beta_reg(n - k, k + 1.0, 1.0 - share))
            }
            Unusually::Surging => (
                self.same > 0 && k > SURGE * usual.max(same),
                checked_beta_reg(k, n - k + 1.0, share),
            ),
        };
        enough && tail.is_ok_and(|chance| chance <= CHANCE)
    }
}
