//! Confidence sequences for the mean of bounded observations, by the empirical Bernstein method.
//!
//! **What they cover.** Let `x_i` be the observations and `m_i` the mean of `x_i` given all before
//! it. With a probability of at least the confidence, the interval after `n` observations holds
//! `(m_1 + … + m_n) / n` **for every n at once**. So one may look after every request and stop when
//! it pleases. The observations need not be independent or of one distribution: if the difference
//! between two models changes with the seasons, the interval is about its average so far. For
//! losses this is the setting of Choe and Ramdas 2024, "Comparing Sequential Forecasters",
//! Operations Research 72 (4).
//!
//! **Autocorrelated observations** need no correction as long as what came before does not foretell
//! which model will be better next: then every `m_i` is the mean difference itself. Where it does
//! (one model is better for a while, then the other), the interval still covers the average of the
//! `m_i`, but this average itself moves around the mean of the long run, which the interval does
//! not count. `tests/streams.rs` measures it for two equally good models whose errors are
//! autoregressive: at 99 %, within 50,000 requests, 0.1 % of the streams claim a difference where
//! an error keeps 0.8 of the one before, 0.9 % at 0.9, 3 % at 0.95, 44 % at 0.99. Where errors
//! persist like that, observe the means of blocks (e.g. days) that are longer than the spells. This
//! takes many more requests, since the range of a block's mean is as wide as that of one
//! observation.
//!
//! **How.** For `y >= -1` and `0 <= l < 1`, `exp(l y - psi(l) y²) <= 1 + l y` holds, where
//! `psi(l) = -ln(1 - l) - l` (Fan, Grama and Liu 2015, "Exponential inequalities for martingales
//! with applications", Electronic Journal of Probability 20, section 4). So with `S` the sum of
//! `y_i` less their conditional means, and `V` the sum of `y_i²`, `exp(l S - psi(l) V)` is a
//! nonnegative supermartingale that starts at 1: Howard, Ramdas, McAuliffe and Sekhon 2021,
//! "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49 (2),
//! Theorem 4, with zero as the predictable centre. A weighted mean of such processes over several
//! `l` is one, too (a discrete mixture in the terms of that paper). By Ville's inequality it ever
//! reaches `1 / a` with a probability of at most `a`. The interval is where it stays below, `a`
//! being half of the error on each side.
//!
//! **Why not another.** Zero as the centre costs a factor of `1 + (mean / deviation)²` in `V`,
//! which is close to 1 for differences of models and for rare events, and it buys three things:
//! half the range, a state of three numbers that can be merged, and figures that do not depend on
//! the order within a look. The sequences of Waudby-Smith and Ramdas 2023, "Estimating means of
//! bounded random variables by betting", are tighter, but they cover a mean that never changes:
//! when it drifts, they cover an average with weights of the method's choice, or nothing.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{
    counts::add,
    interval::{Anytime, Confidence, Interval},
};

/// The slopes `l` of the mixture: 0.9 and its halves. The smallest suits 10^8 observations with a
/// deviation of a third of the range; beyond that the interval stays valid and shrinks more slowly.
const SLOPES: usize = 15;
const STEEPEST: f64 = 0.9;
/// Each Newton step stays on the safe side, so that a limit only widens the interval.
const MAX_STEPS: usize = 50;

/// The running mean of observations in a stated range, and its confidence sequence. 40 bytes,
/// whatever the number of observations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSequence {
    low: f64,
    high: f64,
    count: u64,
    /// The sum of the observations, and of their squares.
    sum: f64,
    squares: f64,
}

impl MeanSequence {
    /// For differences between `-bound` and `bound`. `bound` is positive.
    pub fn of_differences(bound: f64) -> Self {
        Self { low: -bound, high: bound, count: 0, sum: 0.0, squares: 0.0 }
    }

    /// For rates: observations are 0 or 1, or between them. The interval of a rare event is
    /// narrow, that of a frequent one is not: count the rarer of an event and its contrary.
    pub fn of_rates() -> Self {
        Self { low: 0.0, ..Self::of_differences(1.0) }
    }

    /// The rate of an event that happened in `events` of `count` observations.
    pub fn of_events(events: u64, count: u64) -> Self {
        Self { count, sum: events as f64, squares: events as f64, ..Self::of_rates() }
    }

    /// Counts an observation. One outside of the range counts as the nearest end of it; NaN is not
    /// counted.
    pub fn push(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        let x = x.max(self.low).min(self.high);
        self.count += 1;
        self.sum += x;
        self.squares += x * x;
    }

    /// Counts the observations of `other`, which has the same range.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.count, other.count);
        self.sum += other.sum;
        self.squares += other.squares;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean so far and its interval; `None` before the first observation.
    pub fn interval(&self, confidence: Confidence) -> Option<Interval<Anytime>> {
        if self.count == 0 {
            return None;
        }
        let estimate = self.sum / self.count as f64;
        let margin = self.scale() * self.boundary(confidence) / self.count as f64;
        Some(Interval {
            estimate,
            low: (estimate - margin).max(self.low),
            high: (estimate + margin).min(self.high),
            confidence,
            validity: Anytime,
        })
    }

    /// Whether the interval excludes zero. Cheap enough to ask after every observation.
    pub fn excludes_zero(&self, confidence: Confidence) -> bool {
        let (sum, variance) = (self.sum.abs() / self.scale(), self.variance());
        let threshold = threshold(confidence);
        // No term of the mixture exceeds this, since `psi(l) >= l² / 2`.
        sum * sum >= 2.0 * variance * threshold && Mixture::at(sum, variance).log > threshold
    }

    /// The smallest deviation of the sum, in units of the scale, at which the mixture reaches its
    /// threshold.
    fn boundary(&self, confidence: Confidence) -> f64 {
        let (variance, threshold) = (self.variance(), threshold(confidence));
        // Where a term reaches the threshold alone, so does the mixture.
        let mut sum = TERMS
            .iter()
            .map(|term| (threshold - term.weight + term.psi * variance) / term.slope)
            .fold(f64::INFINITY, f64::min);
        // The mixture's logarithm grows and is convex: from above, each step stays above the root.
        for _ in 0..MAX_STEPS {
            let mixture = Mixture::at(sum, variance);
            let step = (mixture.log - threshold) / mixture.slope;
            if step <= 1e-9 * sum {
                break;
            }
            sum -= step;
        }
        sum
    }

    /// What bounds the distance of an observation from zero.
    fn scale(&self) -> f64 {
        self.high.max(-self.low)
    }

    fn variance(&self) -> f64 {
        self.squares / (self.scale() * self.scale())
    }
}

fn threshold(confidence: Confidence) -> f64 {
    -confidence.error_of_a_side().ln()
}

/// One process of the mixture.
#[derive(Clone, Copy)]
struct Term {
    /// The logarithm of its weight.
    weight: f64,
    slope: f64,
    psi: f64,
}

/// The weights sum to 1 and favour steep slopes a little, which rare events need.
static TERMS: LazyLock<[Term; SLOPES]> = LazyLock::new(|| {
    let weight = |k: usize| 1.0 / (k as f64 + 2.0);
    let total: f64 = (0..SLOPES).map(weight).sum();
    std::array::from_fn(|k| {
        let slope = STEEPEST * 0.5_f64.powf(k as f64);
        Term { weight: f64::ln(weight(k) / total), slope, psi: -f64::ln_1p(-slope) - slope }
    })
});

/// The logarithm of the mixture, and its derivative by the sum.
struct Mixture {
    log: f64,
    slope: f64,
}

impl Mixture {
    fn at(sum: f64, variance: f64) -> Self {
        let exponents = TERMS.map(|term| term.weight + term.slope * sum - term.psi * variance);
        // The greatest is taken out, so that no exponential overflows.
        let greatest = exponents.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let (mut total, mut weighted) = (0.0, 0.0);
        for (term, exponent) in TERMS.iter().zip(exponents) {
            let part = (exponent - greatest).exp();
            total += part;
            weighted += term.slope * part;
        }
        Self { log: greatest + f64::ln(total), slope: weighted / total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> MeanSequence {
        let mut sequence = MeanSequence::of_differences(1.0);
        values.into_iter().for_each(|x| sequence.push(x));
        sequence
    }

    #[test]
    fn nothing_is_known_before_the_first_observation() {
        assert_eq!(of([]).interval(Confidence::DEFAULT), None);
        assert!(!of([]).excludes_zero(Confidence::DEFAULT));
        assert_eq!(of([f64::NAN]).count(), 0);
    }

    /// At a variance of 10,000 the mixture needs 4.15 deviations, where one look would need 2.58
    /// and the law of the iterated logarithm forbids any constant; computed with the formula of the
    /// module in Python.
    #[test]
    fn the_boundary_is_the_one_of_the_formula() {
        for (variance, expected) in [(0.0, 7.59), (1.0, 9.13), (100.0, 45.5), (10_000.0, 415.0)] {
            let sequence = MeanSequence { squares: variance, ..of([]) };
            let boundary = sequence.boundary(Confidence::DEFAULT);
            assert!((boundary / expected - 1.0).abs() < 0.002, "{variance}: {boundary}");
        }
    }

    #[test]
    fn the_range_scales_the_interval() {
        let mut wide = MeanSequence::of_differences(5.0);
        let narrow = of((0..1_000).map(|i| f64::from(i % 7) / 10.0 - 0.3));
        (0..1_000).for_each(|i| wide.push(f64::from(i % 7) / 2.0 - 1.5));
        let wide = wide.interval(Confidence::DEFAULT).unwrap();
        let narrow = narrow.interval(Confidence::DEFAULT).unwrap();
        assert!((wide.high - 5.0 * narrow.high).abs() < 1e-9);
        assert!((wide.low - 5.0 * narrow.low).abs() < 1e-9);
    }

    #[test]
    fn zero_is_excluded_exactly_when_it_is_outside_of_the_interval() {
        let mut sequence = of([]);
        let mut answers = [false; 2];
        for i in 0..3_000 {
            sequence.push(if i % 5 < 3 { 0.5 } else { -0.5 });
            let interval = sequence.interval(Confidence::DEFAULT).unwrap();
            assert_eq!(sequence.excludes_zero(Confidence::DEFAULT), interval.excludes(0.0), "{i}");
            answers[usize::from(interval.excludes(0.0))] = true;
        }
        assert_eq!(answers, [true, true]);
    }

    #[test]
    fn ten_thousand_requests_without_a_failure_bound_the_rate_below_a_thousandth() {
        let mut rate = MeanSequence::of_rates();
        (0..10_000).for_each(|_| rate.push(0.0));
        let interval = rate.interval(Confidence::DEFAULT).unwrap();
        assert!((interval.low, interval.estimate) == (0.0, 0.0));
        assert!(interval.high < 0.001, "{interval:?}");
        assert_eq!(rate, MeanSequence::of_events(0, 10_000));
    }

    #[test]
    fn observations_outside_of_the_range_count_as_its_end() {
        assert_eq!(of([7.0, -7.0]), of([1.0, -1.0]));
    }

    #[test]
    fn merged_is_as_counted_together() {
        let mut first = of([0.5, -0.25]);
        first.merge(&of([1.0]));
        assert_eq!(first, of([0.5, -0.25, 1.0]));
    }

    #[test]
    fn a_higher_confidence_has_a_wider_interval() {
        let sequence = of((0..100).map(|i| f64::from(i % 3) * 0.1));
        let at = |share| sequence.interval(Confidence::new(share).unwrap()).unwrap();
        assert!(at(0.999).high > at(0.99).high && at(0.99).high > at(0.9).high);
    }
}
