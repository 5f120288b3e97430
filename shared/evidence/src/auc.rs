//! The area under the ROC curve of two models on the same requests.
//!
//! The area is the probability that a request whose outcome is 1 got a higher value than one whose
//! outcome is 0, ties counting half. The interval is that of DeLong, DeLong and Clarke-Pearson
//! 1988, "Comparing the areas under two or more correlated receiver operating characteristic
//! curves", Biometrics 44 (3): normal, with the variance estimated from the placement values of
//! both models, so that their correlation counts. Computed by midranks in `O(n log n)`: Sun and Xu
//! 2014, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21 (11).
//!
//! It holds for one look at a number of requests chosen beforehand, see [`FixedN`].

use serde::Serialize;

use crate::{
    interval::{Confidence, FixedN, Interval},
    ranks::midranks,
};

/// The areas of two models, and the first less the second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AucComparison {
    pub first: Interval<FixedN>,
    pub second: Interval<FixedN>,
    pub difference: Interval<FixedN>,
    pub requests: u64,
}

/// Compares the areas over requests as (first model's value, second model's value, whether the
/// outcome is 1). `None` with fewer than two requests of either outcome. Values are no NaN.
pub fn compare(requests: &[(f64, f64, bool)], confidence: Confidence) -> Option<AucComparison> {
    let column = |of: fn(&(f64, f64, bool)) -> f64, outcome: bool| -> Vec<f64> {
        requests.iter().filter(|request| request.2 == outcome).map(of).collect()
    };
    let first = Placements::new(&column(|r| r.0, true), &column(|r| r.0, false))?;
    let second = Placements::new(&column(|r| r.1, true), &column(|r| r.1, false))?;
    let interval =
        |of: &Placements| Interval::normal(mean(&of.positives), of.variance(), confidence);
    Some(AucComparison {
        difference: interval(&first.minus(&second)),
        first: interval(&first),
        second: interval(&second),
        requests: requests.len() as u64,
    })
}

/// For each request with outcome 1, the share of those with outcome 0 that have a lower value; for
/// each with outcome 0, the share of those with outcome 1 that have a higher one. The mean of
/// either is the area.
struct Placements {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Placements {
    fn new(positives: &[f64], negatives: &[f64]) -> Option<Self> {
        let (m, n) = (positives.len(), negatives.len());
        if m < 2 || n < 2 {
            return None;
        }
        let among_all = midranks(&[positives, negatives].concat());
        // A rank among all, less that among one's own, is the number of the others below.
        let others_below = |all: &[f64], own: &[f64], others: usize| -> Vec<f64> {
            all.iter().zip(midranks(own)).map(|(all, own)| (all - own) / others as f64).collect()
        };
        let negatives = others_below(&among_all[m..], negatives, m);
        Some(Self {
            positives: others_below(&among_all[..m], positives, n),
            negatives: negatives.into_iter().map(|below| 1.0 - below).collect(),
        })
    }

    fn minus(&self, other: &Self) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self {
            positives: minus(&self.positives, &other.positives),
            negatives: minus(&self.negatives, &other.negatives),
        }
    }

    /// The variance of the mean placement, by DeLong.
    fn variance(&self) -> f64 {
        let part = |values: &[f64]| {
            let mean = mean(values);
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            squares / (values.len() as f64 - 1.0) / values.len() as f64
        };
        part(&self.positives) + part(&self.negatives)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_requests(random: &mut fastrand::Rng, n: usize) -> Vec<(f64, f64, bool)> {
        let request = |_| {
            let truth = random.f64();
            let mut noisy = |by: f64| ((truth + by * (random.f64() - 0.5)) * 20.0).round() / 20.0;
            let (first, second) = (noisy(0.8), noisy(0.8));
            (first, second, random.f64() < truth)
        };
        (0..n).map(request).collect()
    }

    /// The definition: all pairs of a request with outcome 1 and one with outcome 0, and DeLong's
    /// variance of the kernel's components.
    fn by_definition(requests: &[(f64, f64, bool)]) -> (f64, f64) {
        let (positives, negatives): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.2);
        let kernel =
            |x: f64, y: f64| f64::midpoint(f64::from(u8::from(x > y)), f64::from(u8::from(x >= y)));
        let difference =
            |p: &(f64, f64, bool), n: &(f64, f64, bool)| kernel(p.0, n.0) - kernel(p.1, n.1);
        let (m, n) = (positives.len() as f64, negatives.len() as f64);
        let of_positives: Vec<f64> = positives
            .iter()
            .map(|p| negatives.iter().map(|q| difference(p, q)).sum::<f64>() / n)
            .collect();
        let of_negatives: Vec<f64> = negatives
            .iter()
            .map(|q| positives.iter().map(|p| difference(p, q)).sum::<f64>() / m)
            .collect();
        let estimate = mean(&of_positives);
        let sample = |values: &[f64]| {
            values.iter().map(|v| (v - estimate).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
        };
        (estimate, sample(&of_positives) / m + sample(&of_negatives) / n)
    }

    #[test]
    fn the_fast_algorithm_agrees_with_the_definition() {
        let requests = random_requests(&mut fastrand::Rng::with_seed(3), 200);
        let (estimate, variance) = by_definition(&requests);
        let fast = compare(&requests, Confidence::DEFAULT).unwrap().difference;
        assert!((fast.estimate - estimate).abs() < 1e-12);
        let margin = Confidence::DEFAULT.deviations() * variance.sqrt();
        assert!((fast.high - estimate - margin).abs() < 1e-12);
    }

    #[test]
    fn a_model_that_separates_the_outcomes_has_an_area_of_one() {
        let requests: Vec<_> = (0..10).map(|i| (f64::from(i), 0.5, i >= 5)).collect();
        let compared = compare(&requests, Confidence::DEFAULT).unwrap();
        assert!((compared.first.estimate - 1.0).abs() < 1e-12);
        assert!((compared.second.estimate - 0.5).abs() < 1e-12);
    }

    #[test]
    fn one_request_of_an_outcome_is_too_few() {
        let requests = [(0.1, 0.2, true), (0.3, 0.4, false), (0.5, 0.6, false)];
        assert_eq!(compare(&requests, Confidence::DEFAULT), None);
    }

    #[test]
    fn equal_models_differ_in_one_look_of_twenty_at_95_percent() {
        let mut random = fastrand::Rng::with_seed(5);
        let confidence = Confidence::new(0.95).unwrap();
        let excludes = (0..1_000).filter(|_| {
            let requests = random_requests(&mut random, 200);
            compare(&requests, confidence).unwrap().difference.excludes(0.0)
        });
        let excludes = excludes.count();
        assert!((30..=70).contains(&excludes), "{excludes}");
    }
}
