//! The difference of two models by segment, e.g. by the airline in the payload.
//!
//! One look at many segments finds some that differ by chance, and no sequence guards the smallest
//! of them; so the intervals are for one look ([`FixedN`]), normal with the variance of the sample,
//! and point to where to look further.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::interval::{Confidence, FixedN, Interval};

/// The difference of the two models' Brier scores in one segment, first less second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Segment {
    /// The segment's text; `None` for all segments beyond the limit and requests without one.
    pub segment: Option<String>,
    /// Requests with both values and an outcome.
    pub requests: u64,
    /// `None` with fewer than two requests.
    pub brier: Option<Interval<FixedN>>,
}

/// Counts by segment. The first segments that appear, up to the limit, have an account of their
/// own; the others share one.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    limit: usize,
    named: BTreeMap<String, Spread>,
    others: Spread,
}

impl Segments {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, named: BTreeMap::new(), others: Spread::default() }
    }

    pub(crate) fn push(&mut self, segment: Option<&str>, difference: f64) {
        let full = self.named.len() >= self.limit;
        let spread = match segment {
            Some(name) if self.named.contains_key(name) || !full => {
                self.named.entry(name.to_owned()).or_default()
            }
            _ => &mut self.others,
        };
        spread.push(difference);
    }

    /// The segments, the largest first, then the others. Empty when no request named one.
    pub(crate) fn report(&self, confidence: Confidence) -> Vec<Segment> {
        if self.named.is_empty() {
            return Vec::new();
        }
        let mut segments: Vec<_> = self
            .named
            .iter()
            .map(|(name, spread)| spread.segment(Some(name.clone()), confidence))
            .collect();
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.requests));
        if self.others.count > 0 {
            segments.push(self.others.segment(None, confidence));
        }
        segments
    }
}

/// Count, mean and sum of squares around it: Welford 1962, "Note on a method for calculating
/// corrected sums of squares and products", Technometrics 4 (3).
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn push(&mut self, x: f64) {
        self.count += 1;
        let before = x - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (x - self.mean);
    }

    fn segment(&self, segment: Option<String>, confidence: Confidence) -> Segment {
        let count = self.count as f64;
        let brier = (self.count >= 2)
            .then(|| Interval::normal(self.mean, self.squares / (count - 1.0) / count, confidence));
        Segment { segment, requests: self.count, brier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_beyond_the_limit_share_one_account() {
        let mut segments = Segments::new(2);
        for (segment, x) in [("a", 0.1), ("b", 0.2), ("c", 0.3), ("b", 0.4), ("b", 0.6), ("d", 0.5)]
        {
            segments.push(Some(segment), x);
        }
        segments.push(None, 0.7);
        let report = segments.report(Confidence::DEFAULT);
        let names: Vec<_> = report.iter().map(|s| (s.segment.as_deref(), s.requests)).collect();
        assert_eq!(names, [(Some("b"), 3), (Some("a"), 1), (None, 3)]);
        assert_eq!(report[1].brier, None);
        // 0.2, 0.4, 0.6: the mean 0.4 has the variance 0.04 / 3.
        let brier = report[0].brier.unwrap();
        assert!((brier.estimate - 0.4).abs() < 1e-12);
        let margin = Confidence::DEFAULT.deviations() * (0.04_f64 / 3.0).sqrt();
        assert!((brier.high - 0.4 - margin).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_said_when_no_request_names_a_segment() {
        let mut segments = Segments::new(2);
        segments.push(None, 0.7);
        assert_eq!(segments.report(Confidence::DEFAULT), []);
    }
}
