//! Drift: how far a distribution is from that of a baseline.
//!
//! Two figures, which an alarm needs both ([`Drift::is_drift`]):
//!
//! - **The distance**, from 0 to 1, with a bound that it exceeds by chance with a probability of at most
//!   1 - [`CONFIDENCE`]. For numbers it is that of Kolmogorov and Smirnov: the greatest difference of the
//!   shares of values up to `x`, over all `x`. Its bound is the sum of both sketches' rank errors and, for
//!   both samples, of the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant, each with a
//!   quarter of the error. For texts it is the total variation: half of the sum of the differences of
//!   all shares; its bound is the sum of what the counts may be off and, for both samples, of the
//!   inequality of Bretagnolle and Huber-Carol, each with half of the error.
//! - **The population stability index**: the sum of `(q - p) ln(q / p)` over cells, `p` being the share in the baseline and
//!   `q` the recent one. Cells of numbers are the deciles of the baseline; equal deciles are one cell, and where the lowest
//!   decile is the least value, lower values have a cell of their own. Cells of texts are the texts that the
//!   baseline lists, and one for all others. A share below [`LEAST_SHARE`] counts as that.
//!   Usual readings: below 0.1 no change, above 0.25 a large one. It says how large a drift is, the distance how sure.
//!
//! The values of a sample count as independent. Where they are not, e.g. because a few callers send many similar
//! requests, the distance exceeds its bound more often; the index does not.

use serde::Serialize;

use crate::{
    agreement::SHARES,
    interval::Confidence,
    sketch::{Sketch, Steps},
    texts::Texts,
    window::FeatureWindow,
};

/// The confidence of the bound of a distance.
pub const CONFIDENCE: f64 = 0.999;
/// An index above it is a drift, if the distance is beyond its bound.
pub const LARGE_INDEX: f64 = 0.25;
/// What an empty cell counts as.
pub const LEAST_SHARE: f64 = 1e-4;
/// Into how many parts the baseline is divided.
const PARTS: u32 = 10;

/// How far a recent distribution is from a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    pub distance: f64,
    /// What the distance exceeds hardly ever by chance.
    pub bound: f64,
    /// The population stability index.
    pub index: f64,
    /// How many values the baseline has.
    pub baseline: u64,
    /// How many recent values there are.
    pub recent: u64,
}

impl Drift {
    /// Whether the distance is beyond its bound and the index is large.
    pub fn is_drift(&self) -> bool {
        self.distance > self.bound && self.index > LARGE_INDEX
    }
}

/// The drift of numbers; `None` where one side has none.
pub fn numbers(baseline: &Sketch, recent: &Sketch) -> Option<Drift> {
    let least = baseline.least().filter(|_| recent.count() > 0)?;
    let (before, after) = (baseline.steps(), recent.steps());
    let part = (1.0 - CONFIDENCE) / 4.0;
    let rank_error = |of: &Sketch| Confidence::new(1.0 - part).map_or(1.0, |c| of.rank_error(c));
    let by_chance = |of: &Sketch| ((2.0 / part).ln() / (2.0 * of.count() as f64)).sqrt();
    let bound = |of: &Sketch| rank_error(of) + by_chance(of);
    Some(Drift {
        distance: kolmogorov_smirnov(&before, &after),
        bound: (bound(baseline) + bound(recent)).min(1.0),
        index: index(cells(&before, &after, least)),
        baseline: baseline.count(),
        recent: recent.count(),
    })
}

/// The drift of texts; `None` where one side has none.
pub fn texts(baseline: &Texts, recent: &Texts) -> Option<Drift> {
    if baseline.total() == 0 || recent.total() == 0 {
        return None;
    }
    let mut rest = (baseline.total(), recent.total());
    let mut cells: Vec<(u64, u64)> = Vec::new();
    for (text, count) in baseline.iter() {
        let cell = (count, recent.count(text));
        rest = (rest.0.saturating_sub(cell.0), rest.1.saturating_sub(cell.1));
        cells.push(cell);
    }
    // What the counts may be off belongs to the rest, but to other cells in truth.
    let missed = |of: &Texts, rest: u64| {
        let off = of.error().saturating_mul(cells.len() as u64).min(rest);
        off as f64 / of.total() as f64
    };
    let missed = missed(baseline, rest.0) + missed(recent, rest.1);
    cells.push(rest);
    let drift = counts(&cells)?;
    Some(Drift { bound: (drift.bound + missed).min(1.0), ..drift })
}

/// The drift of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// Of the shares of numbers, of texts, and of requests without either.
    pub kinds: Option<Drift>,
    pub numbers: Option<Drift>,
    pub texts: Option<Drift>,
}

/// The drift of a feature.
pub fn feature(baseline: &FeatureWindow, recent: &FeatureWindow) -> FeatureDrift {
    let kinds = [
        (baseline.missing(), recent.missing()),
        (baseline.numbers().count(), recent.numbers().count()),
        (baseline.texts().total(), recent.texts().total()),
    ];
    FeatureDrift {
        kinds: counts(&kinds),
        numbers: numbers(baseline.numbers(), recent.numbers()),
        texts: texts(baseline.texts(), recent.texts()),
    }
}

/// The quantiles of a baseline and of recent values at one share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QuantilePoint {
    /// The share of the values that are at most the quantile.
    pub share: f64,
    pub baseline: f64,
    pub recent: f64,
}

/// The quantiles side by side; empty where one side has no values.
pub fn quantiles(baseline: &Sketch, recent: &Sketch) -> Vec<QuantilePoint> {
    let (before, after) = (baseline.steps(), recent.steps());
    let point = |share| {
        let (baseline, recent) = (before.quantile(share)?, after.quantile(share)?);
        Some(QuantilePoint { share, baseline, recent })
    };
    SHARES.into_iter().filter_map(point).collect()
}

/// The greatest difference of the shares up to a value, over all values that occur on a side.
fn kolmogorov_smirnov(first: &Steps, second: &Steps) -> f64 {
    let (mut one, mut two) = (first.iter().peekable(), second.iter().peekable());
    let (mut shares, mut greatest) = ((0.0, 0.0), 0.0_f64);
    loop {
        let next = match (one.peek(), two.peek()) {
            (Some(one), Some(two)) => one.0.min(two.0),
            // Behind the end of one side its share is 1, and the other one only grows.
            _ => break greatest,
        };
        while let Some(step) = one.next_if(|step| step.0 <= next) {
            shares.0 = step.1;
        }
        while let Some(step) = two.next_if(|step| step.0 <= next) {
            shares.1 = step.1;
        }
        greatest = greatest.max((shares.0 - shares.1).abs());
    }
}

/// The shares of both sides between the deciles of the baseline.
fn cells(baseline: &Steps, recent: &Steps, least: f64) -> Vec<(f64, f64)> {
    let deciles = (1..PARTS).map(|i| baseline.quantile(f64::from(i) / f64::from(PARTS)));
    let mut edges: Vec<f64> = deciles.flatten().collect();
    if edges.first().is_some_and(|first| *first <= least) {
        edges.insert(0, least.next_down());
    }
    edges.dedup();
    let mut up_to = (0.0, 0.0);
    let mut cells = Vec::with_capacity(edges.len() + 1);
    let shares = edges.iter().map(|edge| (baseline.share_up_to(*edge), recent.share_up_to(*edge)));
    for next in shares.chain([(1.0, 1.0)]) {
        cells.push((next.0 - up_to.0, next.1 - up_to.1));
        up_to = next;
    }
    cells
}

/// The population stability index.
fn index(cells: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let of_cell = |(p, q): (f64, f64)| {
        let (p, q) = (p.max(LEAST_SHARE), q.max(LEAST_SHARE));
        (q - p) * (q / p).ln()
    };
    cells.into_iter().map(of_cell).sum()
}

/// The drift of counts by cell.
fn counts(cells: &[(u64, u64)]) -> Option<Drift> {
    let sum = |of: fn(&(u64, u64)) -> u64| cells.iter().map(of).sum::<u64>();
    let (baseline, recent) = (sum(|cell| cell.0), sum(|cell| cell.1));
    if baseline == 0 || recent == 0 {
        return None;
    }
    let share = |(p, q): &(u64, u64)| (*p as f64 / baseline as f64, *q as f64 / recent as f64);
    let shares: Vec<(f64, f64)> = cells.iter().map(share).collect();
    let used = cells.iter().filter(|cell| **cell != (0, 0)).count() as f64;
    let exponent = used * std::f64::consts::LN_2 + (2.0 / (1.0 - CONFIDENCE)).ln();
    let by_chance = |n: u64| (exponent / (2.0 * n as f64)).sqrt();
    Some(Drift {
        distance: shares.iter().map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0,
        bound: (by_chance(baseline) + by_chance(recent)).min(1.0),
        index: index(shares),
        baseline,
        recent,
    })
}
