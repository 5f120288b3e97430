//! How far two models agree, without any outcome.

use serde::Serialize;

use crate::{kept::KeptPair, ranks::spearman};

/// The shares at which the models' quantiles are compared.
pub(crate) const SHARES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/// How far the values of two models agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Requests for which both models have a value.
    pub requests: u64,
    /// A value at or above it is on the upper side.
    pub threshold: f64,
    /// The share of requests whose two values are on the same side of the threshold.
    pub same_side: f64,
    /// The mean of the absolute difference of the two values.
    pub mean_absolute_difference: f64,
    /// Spearman's rank correlation, over the requests kept. It does not depend on the scales.
    pub rank_correlation: Option<f64>,
    /// Requests that were kept: all, or a uniform sample.
    pub kept: u64,
}

/// Counts what [`Agreement`] needs of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreeing {
    threshold: f64,
    requests: u64,
    same_side: u64,
    differences: f64,
}

impl Agreeing {
    pub(crate) fn new(threshold: f64) -> Self {
        Self { threshold, requests: 0, same_side: 0, differences: 0.0 }
    }

    /// Counts a request, and says whether its values are on the same side.
    pub(crate) fn push(&mut self, first: f64, second: f64) -> bool {
        let same = (first >= self.threshold) == (second >= self.threshold);
        self.requests += 1;
        self.same_side += u64::from(same);
        self.differences += (first - second).abs();
        same
    }

    /// `None` before the first request.
    pub(crate) fn report(&self, kept: &[KeptPair]) -> Option<Agreement> {
        let (first, second) = columns(kept);
        let share = |sum: f64| sum / self.requests as f64;
        (self.requests > 0).then(|| Agreement {
            requests: self.requests,
            threshold: self.threshold,
            same_side: share(self.same_side as f64),
            mean_absolute_difference: share(self.differences),
            rank_correlation: spearman(&first, &second),
            kept: kept.len() as u64,
        })
    }
}

/// The quantiles of two models at one share of the requests. Models whose scales differ are
/// compared like this, each by its own quantiles: Dunning and Friedman 2017, "Machine Learning
/// Logistics".
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QuantilePair {
    /// The share of the requests whose value is at most the quantile.
    pub share: f64,
    pub first: f64,
    pub second: f64,
    /// The share of requests that are on the same side of both models' own quantile: what the
    /// models would agree upon if each had a threshold that lets the same share through.
    pub same_side: f64,
}

/// The quantile–quantile comparison over the requests kept; empty without any.
pub(crate) fn quantiles(kept: &[KeptPair]) -> Vec<QuantilePair> {
    if kept.is_empty() {
        return Vec::new();
    }
    let (mut first, mut second) = columns(kept);
    first.sort_unstable_by(f64::total_cmp);
    second.sort_unstable_by(f64::total_cmp);
    let pair = |share: f64| {
        let (of_first, of_second) = (quantile(&first, share), quantile(&second, share));
        let same = |pair: &&KeptPair| (pair.first > of_first) == (pair.second > of_second);
        let same_side = kept.iter().filter(same).count() as f64 / kept.len() as f64;
        QuantilePair { share, first: of_first, second: of_second, same_side }
    };
    SHARES.map(pair).to_vec()
}

/// The smallest of the sorted values that at least this share is not above.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of values"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn columns(kept: &[KeptPair]) -> (Vec<f64>, Vec<f64>) {
    kept.iter().map(|pair| (pair.first, pair.second)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(n: u32, second: impl Fn(f64) -> f64) -> Vec<KeptPair> {
        let pair = |i| {
            let first = f64::from(i) / f64::from(n);
            KeptPair { first, second: second(first), outcome: None }
        };
        (1..=n).map(pair).collect()
    }

    #[test]
    fn models_of_one_order_and_two_scales_agree_by_their_own_quantiles() {
        let kept = pairs(1_000, |first| first.powi(2) / 2.0);
        let mut agreeing = Agreeing::new(0.5);
        for pair in &kept {
            agreeing.push(pair.first, pair.second);
        }
        let agreement = agreeing.report(&kept).unwrap();
        assert!((agreement.same_side - 0.5).abs() < 0.01, "{agreement:?}");
        assert!((agreement.rank_correlation.unwrap() - 1.0).abs() < 1e-9);
        for point in quantiles(&kept) {
            assert!((point.first - point.share).abs() < 1e-9);
            assert!((point.second - point.share.powi(2) / 2.0).abs() < 1e-9);
            assert!((point.same_side - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn opposite_models_disagree() {
        let kept = pairs(1_000, |first| 1.0 - first);
        let mut agreeing = Agreeing::new(0.5);
        let same = kept.iter().filter(|pair| agreeing.push(pair.first, pair.second)).count();
        assert_eq!(same, 1, "only 0.5 itself is on the upper side of both");
        assert!((agreeing.report(&kept).unwrap().rank_correlation.unwrap() + 1.0).abs() < 1e-9);
        assert!(quantiles(&kept)[4].same_side < 0.01);
    }

    #[test]
    fn without_requests_nothing_is_said() {
        assert_eq!(Agreeing::new(0.5).report(&[]), None);
        assert_eq!(quantiles(&[]), []);
    }
}
