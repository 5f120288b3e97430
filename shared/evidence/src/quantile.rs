//! Confidence sequences for quantiles of times, e.g. the 99th percentile of the time to score.
//!
//! **What they cover.** If the probability of a time of at most `q`, given all before, is `p` for
//! every request (as it is when times are independent and of one distribution), then the intervals
//! after 1, 2, 3, … requests hold `q` **all at once** with a probability of at least the
//! confidence. Times that are longer for hours and then shorter break this condition: the interval
//! is then about neither.
//!
//! **How.** With `B` the number of times that are at most `q`, the mean over `r`, drawn from a Beta
//! distribution, of the likelihood ratio of Bernoulli(r) to Bernoulli(p) is a martingale that
//! starts at 1; by Ville's inequality it ever reaches `1 / a` with a probability of at most `a`.
//! The counts where it stays below are an interval of ranks, and the times of these ranks bound
//! `q`: the beta-binomial mixture of Howard and Ramdas 2022, "Sequential estimation of quantiles
//! with applications to A/B testing and best-arm identification", Bernoulli 28 (3), for a fixed
//! quantile. Ties are harmless: the lower bound counts times below `q`, the upper one times up to
//! `q`.
//!
//! **Memory.** Times are counted in buckets whose ends differ by 1 % (Masson, Rim and Lee 2019,
//! "DDSketch", VLDB 12 (12), section 2), without any loss of counts: an interval is widened to the
//! ends of its buckets, so it stays valid. At most 8 bytes for each of 2,100 buckets, from 1 µs to
//! 20 minutes, whatever the number of requests.

mod wire;

use std::time::Duration;

use statrs::function::beta::ln_beta;

use crate::{
    counts::{add, sum},
    interval::{Anytime, Confidence, Interval},
};

/// The ratio of the two ends of a bucket.
const GROWTH: f64 = 1.01;
/// Longer times count as this one, in microseconds: 20 minutes, above the longest deadline.
const LONGEST: f64 = 1.2e9;
/// The weight of the prior around `p`, in requests. It makes the interval narrowest around some
/// thousands of requests; it is valid with any.
const PRIOR: f64 = 100.0;

/// Times, counted, and the confidence sequences of their quantiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeQuantiles {
    /// Bucket `k` counts times in microseconds above `GROWTH^(k-1)`, up to `GROWTH^k`.
    buckets: Vec<u64>,
    count: u64,
}

impl TimeQuantiles {
    /// Counts a time. Less than 1 µs counts as 1 µs, more than 20 minutes as 20 minutes.
    pub fn push(&mut self, time: Duration) {
        let bucket = bucket_of(time);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// Counts the times of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (own, count) in self.buckets.iter_mut().zip(&other.buckets) {
            add(own, *count);
        }
        add(&mut self.count, other.count);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many times are above `limit`. Those in its bucket, which may be up to 1 % shorter, count as
    /// above it.
    pub fn above(&self, limit: Duration) -> u64 {
        sum(self.buckets.iter().skip(bucket_of(limit)))
    }

    /// The time that a share of at least `p` of the times does not exceed, up to 1 % too long; `None`
    /// without times.
    pub fn quantile(&self, p: f64) -> Option<Duration> {
        let bucket = self.bucket(nearest_rank(p, self.count.max(1)));
        (self.count > 0).then(|| Duration::from_secs_f64(millis(bucket) / 1e3))
    }

    /// The `p`-quantile in milliseconds, `0 < p < 1`, and its interval. `None` before the first
    /// time.
    pub fn interval(&self, p: f64, confidence: Confidence) -> Option<Interval<Anytime>> {
        if self.count == 0 || !(p > 0.0 && p < 1.0) {
            return None;
        }
        let (fewest, most) = counts_within(self.count, p, confidence);
        Some(Interval {
            estimate: millis(self.bucket(nearest_rank(p, self.count))),
            // Of rank 0 there is no time: nothing bounds the quantile from below.
            low: if fewest == 0 { 0.0 } else { millis(self.bucket(fewest)) / GROWTH },
            high: if most >= self.count { LONGEST / 1e3 } else { millis(self.bucket(most + 1)) },
            confidence,
            validity: Anytime,
        })
    }

    /// The bucket of the time with this rank, from 1 on.
    fn bucket(&self, rank: u64) -> usize {
        let mut below = 0_u64;
        let holds = |count: &u64| {
            add(&mut below, *count);
            below >= rank
        };
        self.buckets.iter().position(holds).unwrap_or(self.buckets.len())
    }
}

/// Which bucket counts a time.
fn bucket_of(time: Duration) -> usize {
    let micros = (time.as_secs_f64() * 1e6).clamp(1.0, LONGEST);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2,101 by the clamp"
    )]
    let bucket = (micros.ln() / GROWTH.ln()).ceil() as usize;
    bucket
}

/// The upper end of a bucket in milliseconds.
fn millis(bucket: usize) -> f64 {
    GROWTH.powf(bucket as f64) / 1e3
}

/// The smallest rank of `count` whose share is at least `p`; at least 1.
fn nearest_rank(p: f64, count: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the count"
    )]
    let rank = (p * count as f64).ceil() as u64;
    rank.clamp(1, count)
}

/// How many of `n` times may be at most the `p`-quantile: the fewest and the most for which the
/// mixture stays below its threshold.
fn counts_within(n: u64, p: f64, confidence: Confidence) -> (u64, u64) {
    let threshold = -(1.0 - confidence.share()).ln();
    let plausible = |count: u64| log_mixture(count, n, p) < threshold;
    // The mixture is convex in the count, and small around the expected one.
    let centre = nearest_rank(p, n);
    let fewest = boundary(0, centre, plausible);
    let most = n - boundary(0, n - centre, |count| plausible(n - count));
    (fewest, most)
}

/// The smallest number of `low..=high` that is plausible, where all above it are, `high` in any
/// case.
fn boundary(mut low: u64, mut high: u64, plausible: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if plausible(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn log_mixture(count: u64, n: u64, p: f64) -> f64 {
    let (hits, misses) = (count as f64, (n - count) as f64);
    let (a, b) = (PRIOR * p, PRIOR * (1.0 - p));
    ln_beta(a + hits, b + misses) - ln_beta(a, b) - hits * p.ln() - misses * (-p).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{from_bytes, to_bytes};

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn quantiles_are_exact_up_to_the_width_of_a_bucket() {
        let mut times = TimeQuantiles::default();
        (1..=100_000).for_each(|i| times.push(micros(i)));
        for p in [0.01, 0.5, 0.9, 0.99] {
            let interval = times.interval(p, Confidence::DEFAULT).unwrap();
            let exact = p * 100.0;
            assert!(interval.estimate >= exact && interval.estimate <= exact * GROWTH, "{p}");
            assert!(interval.low < exact && interval.high > exact);
            assert!(interval.high - interval.low < 3.0 + exact * 0.04, "{interval:?}");
        }
    }

    #[test]
    fn few_requests_do_not_bound_a_high_quantile_from_above() {
        let mut times = TimeQuantiles::default();
        assert_eq!(times.interval(0.99, Confidence::DEFAULT), None);
        (0..100).for_each(|_| times.push(micros(5_000)));
        let interval = times.interval(0.99, Confidence::DEFAULT).unwrap();
        assert!(interval.high > 1e6, "{interval:?}");
        (0..10_000).for_each(|_| times.push(micros(5_000)));
        let interval = times.interval(0.99, Confidence::DEFAULT).unwrap();
        assert!(interval.low <= 5.0 && interval.high >= 5.0 && interval.high < 5.06);
    }

    #[test]
    fn times_out_of_range_count_as_its_ends() {
        let mut times = TimeQuantiles::default();
        times.push(Duration::ZERO);
        times.push(Duration::MAX);
        assert_eq!(times.count(), 2);
        assert!(times.buckets.len() < 2_110);
    }

    #[test]
    fn merged_and_read_again_is_as_counted_together() {
        let times = |of: &mut dyn Iterator<Item = u64>| {
            let mut times = TimeQuantiles::default();
            of.for_each(|i| times.push(micros(i * i)));
            times
        };
        let mut merged = times(&mut (1..3_000).step_by(2));
        merged.merge(&times(&mut (0..9_000).step_by(2)));
        let together = times(&mut (1..3_000).step_by(2).chain((0..9_000).step_by(2)));
        assert_eq!(merged, together);
        let bytes = to_bytes(&merged).unwrap();
        assert_eq!(from_bytes::<TimeQuantiles>(&bytes), Ok(merged));
        assert!(bytes.len() < 2_500, "{}", bytes.len());
        assert!(from_bytes::<TimeQuantiles>(&[1, 1, 255, 255, 255, 255, 15, 1]).is_err());
    }

    #[test]
    fn a_time_in_the_bucket_of_the_limit_counts_as_above_it() {
        let mut times = TimeQuantiles::default();
        (1..=1_000).for_each(|i| times.push(micros(i * 1_000)));
        let above = times.above(micros(500_000));
        assert!((500..=505).contains(&above), "{above}");
        assert_eq!((times.above(Duration::MAX), times.above(Duration::ZERO)), (0, 1_000));
        let median = times.quantile(0.5).unwrap();
        assert!(median >= micros(500_000) && median <= micros(505_000), "{median:?}");
        assert_eq!(TimeQuantiles::default().quantile(0.5), None);
    }

    /// Looked at after every 20th of 2,000 requests.
    #[test]
    fn at_99_percent_hardly_a_stream_ever_misses_the_quantile() {
        let mut random = fastrand::Rng::with_seed(11);
        let streams = 300;
        let missed = (0..streams).filter(|_| {
            let mut times = TimeQuantiles::default();
            let mut missed = false;
            for i in 1..=2_000 {
                // Exponential with a mean of 20 ms: the 90th percentile is 20 ms * ln(10).
                times.push(Duration::from_secs_f64(-0.02 * (1.0 - random.f64()).ln()));
                let interval = times.interval(0.9, Confidence::DEFAULT);
                missed |= i % 20 == 0 && interval.unwrap().excludes(20.0 * 10_f64.ln());
            }
            missed
        });
        assert!(missed.count() <= streams / 100);
    }
}
