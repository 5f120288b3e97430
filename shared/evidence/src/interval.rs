//! An estimate with its interval, and how often it may be looked at.

use std::fmt;

use serde::{Serialize, Serializer};
use statrs::function::erf::erfc_inv;

/// The probability with which an interval covers what it estimates: above 0, below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Confidence(f64);

impl Confidence {
    /// What is meant where nobody says: 99 %.
    pub const DEFAULT: Self = Self(0.99);

    /// `None` unless `share` is above 0 and below 1.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share < 1.0).then_some(Self(share))
    }

    pub fn share(self) -> f64 {
        self.0
    }

    /// The probability of an error on one of the two sides of an interval.
    pub(crate) fn error_of_a_side(self) -> f64 {
        (1.0 - self.0) / 2.0
    }

    /// How many standard deviations a normal variable stays within with this probability.
    pub(crate) fn deviations(self) -> f64 {
        std::f64::consts::SQRT_2 * erfc_inv(1.0 - self.0)
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, since 0.999 times 100 is not 99.9 in binary.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

/// The interval holds at all times together: whoever looks after every request, and stops when it
/// pleases, errs with the stated probability at most. Serialises as `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anytime;

/// The interval holds, approximately, for one look at a number of requests that was chosen
/// beforehand. Whoever looks often and stops when it pleases errs more often than stated.
/// Serialises as `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedN;

impl Serialize for Anytime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl Serialize for FixedN {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

/// An estimate, and the bounds between which the true value lies with a probability of
/// `confidence`. `V` says how often one may look: [`Anytime`] or [`FixedN`].
///
/// Several intervals that are looked at together have their own confidence each: that all of `k`
/// intervals at 99 % hold has a probability of at least `1 - k * 1 %` (Bonferroni).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval<V> {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
    pub confidence: Confidence,
    #[serde(rename = "anytime")]
    pub validity: V,
}

impl<V> Interval<V> {
    pub fn excludes(&self, value: f64) -> bool {
        value < self.low || value > self.high
    }
}

impl Interval<FixedN> {
    /// The interval of an estimate that is normal with this variance, approximately.
    pub(crate) fn normal(estimate: f64, variance: f64, confidence: Confidence) -> Self {
        let margin = confidence.deviations() * variance.max(0.0).sqrt();
        let (low, high) = (estimate - margin, estimate + margin);
        Self { estimate, low, high, confidence, validity: FixedN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_the_normal_distribution() {
        for (share, expected) in
            [(0.95, 1.959_963_985), (0.99, 2.575_829_304), (0.5, 0.674_489_750)]
        {
            let deviations = Confidence::new(share).unwrap().deviations();
            assert!((deviations - expected).abs() < 1e-8, "{share}: {deviations}");
        }
    }

    #[test]
    fn a_confidence_is_a_share_between_zero_and_one() {
        for share in [0.0, 1.0, -0.5, f64::NAN] {
            assert_eq!(Confidence::new(share), None);
        }
        assert_eq!(Confidence::new(0.999).unwrap().to_string(), "99.9%");
    }

    #[test]
    fn the_type_of_an_interval_says_whether_it_may_be_looked_at_often() {
        let normal = Interval::normal(0.5, 0.0, Confidence::DEFAULT);
        let json = serde_json::to_value(normal).unwrap();
        assert_eq!(json["anytime"], false);
        assert_eq!(json["confidence"], 0.99);
        let anytime = Interval {
            estimate: normal.estimate,
            low: normal.low,
            high: normal.high,
            confidence: normal.confidence,
            validity: Anytime,
        };
        assert_eq!(serde_json::to_value(anytime).unwrap()["anytime"], true);
    }
}
