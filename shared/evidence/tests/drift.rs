//! Drift: figures of sketches against the exact ones of the values.

use fastrand::Rng;
use rendezvous_evidence::{
    Confidence, Sketch,
    drift::{Drift, LEAST_SHARE, feature, numbers, quantiles, texts},
    texts::Texts,
    window::{Feature, Features, Merge},
};

/// Values with an exact representation as they are kept.
fn draw(random: &mut Rng, n: usize, of: impl Fn(f64) -> f64) -> Vec<f64> {
    #[expect(clippy::cast_possible_truncation, reason = "as values are kept")]
    let kept = |x: f64| f64::from(x as f32);
    (0..n).map(|_| kept(of(random.f64()))).collect()
}

/// Merged from minutes of 600 values.
fn sketch(values: &[f64], random: &mut Rng) -> Sketch {
    let mut all = Sketch::new(random.u64(..));
    for minute in values.chunks(600) {
        let mut sketch = Sketch::new(random.u64(..));
        for x in minute {
            sketch.push(*x);
        }
        all.merge(&sketch);
    }
    all
}

fn share_up_to(values: &[f64], x: f64) -> f64 {
    values.iter().filter(|value| **value <= x).count() as f64 / values.len() as f64
}

fn exact_distance(first: &[f64], second: &[f64]) -> f64 {
    let differences = first
        .iter()
        .chain(second)
        .map(|x| (share_up_to(first, *x) - share_up_to(second, *x)).abs());
    differences.fold(0.0, f64::max)
}

fn exact_index(baseline: &[f64], recent: &[f64]) -> f64 {
    let mut sorted = baseline.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..10).map(|i| sorted[sorted.len() * i / 10 - 1]).collect();
    edges.push(f64::INFINITY);
    let mut below = f64::NEG_INFINITY;
    let mut sum = 0.0;
    for edge in edges {
        let share = |of: &[f64]| {
            let inside = of.iter().filter(|x| **x > below && **x <= edge).count();
            (inside as f64 / of.len() as f64).max(LEAST_SHARE)
        };
        let (p, q) = (share(baseline), share(recent));
        sum += (q - p) * (q / p).ln();
        below = edge;
    }
    sum
}

#[test]
fn figures_are_those_of_the_values_up_to_the_rank_errors() {
    let mut random = Rng::with_seed(4);
    for power in [1.0, 1.2, 2.0, 3.0] {
        let baseline = draw(&mut random, 6_000, |u| u);
        let recent = draw(&mut random, 3_000, |u: f64| u.powf(power));
        let (before, after) = (sketch(&baseline, &mut random), sketch(&recent, &mut random));
        let drift = numbers(&before, &after).unwrap();
        let off = before.rank_error(Confidence::DEFAULT) + after.rank_error(Confidence::DEFAULT);
        let exact = exact_distance(&baseline, &recent);
        assert!((drift.distance - exact).abs() <= off, "{drift:?} {exact} {off}");
        let exact = exact_index(&baseline, &recent);
        assert!((drift.index - exact).abs() < 0.02 + 0.1 * exact, "{drift:?} {exact}");
        assert_eq!(drift.is_drift(), power >= 2.0, "{drift:?}");
        assert_eq!((drift.baseline, drift.recent), (6_000, 3_000));
    }
}

/// Few values are all kept, so that nothing is approximate.
#[test]
fn figures_of_few_values_are_exact() {
    let mut random = Rng::with_seed(4);
    let baseline = draw(&mut random, 200, |u| u);
    let recent = draw(&mut random, 100, |u| u * u);
    let drift = numbers(&sketch(&baseline, &mut random), &sketch(&recent, &mut random)).unwrap();
    assert!((drift.distance - exact_distance(&baseline, &recent)).abs() < 1e-12);
    assert!((drift.index - exact_index(&baseline, &recent)).abs() < 1e-12);
    // Each of four quarters of 0.1 %: sqrt(ln(2 / 0.00025) / 2n).
    let by_chance = |n: f64| (8_000_f64.ln() / (2.0 * n)).sqrt();
    assert!((drift.bound - by_chance(200.0) - by_chance(100.0)).abs() < 1e-9, "{drift:?}");
}

#[test]
fn of_equal_distributions_hardly_a_distance_is_beyond_its_bound() {
    let mut random = Rng::with_seed(8);
    let beyond = |random: &mut Rng| {
        let (baseline, recent) = (draw(random, 3_000, |u| u), draw(random, 600, |u| u));
        let drift = numbers(&sketch(&baseline, random), &sketch(&recent, random)).unwrap();
        drift.distance > drift.bound
    };
    assert!(!(0..300).any(|_| beyond(&mut random)));
}

#[test]
fn a_constant_that_changes_is_a_drift_in_both_directions() {
    let of = |x: f64| {
        let mut sketch = Sketch::new(1);
        (0..1_000).for_each(|_| sketch.push(x));
        sketch
    };
    for to in [0.4, 0.6] {
        let drift = numbers(&of(0.5), &of(to)).unwrap();
        assert!(drift.is_drift() && (drift.distance - 1.0).abs() < 1e-9, "{drift:?}");
    }
    let same = numbers(&of(0.5), &of(0.5)).unwrap();
    assert!(!same.is_drift() && same.distance == 0.0 && same.index.abs() < 1e-9);
    assert_eq!(numbers(&of(0.5), &Sketch::new(1)), None);
    assert_eq!(quantiles(&of(0.5), &Sketch::new(1)), []);
}

#[test]
fn quantiles_stand_side_by_side() {
    let mut random = Rng::with_seed(8);
    let (u, half) = (draw(&mut random, 30_000, |u| u), draw(&mut random, 30_000, |u| u / 2.0));
    let points = quantiles(&sketch(&u, &mut random), &sketch(&half, &mut random));
    assert_eq!(points.len(), 9);
    for point in points {
        assert!((point.baseline - point.share).abs() < 0.025, "{point:?}");
        assert!((point.recent - point.share / 2.0).abs() < 0.0125, "{point:?}");
    }
}

fn carriers(shares: &[(&str, usize)]) -> Texts {
    let mut texts = Texts::default();
    for (text, count) in shares {
        (0..*count).for_each(|_| texts.push(text));
    }
    texts
}

/// By hand: shares 0.5, 0.3, 0.2 become 0.2, 0.3, 0.1 and 0.4 of a new one.
#[test]
fn texts_drift_by_their_shares() {
    let baseline = carriers(&[("AA", 5_000), ("DL", 3_000), ("WN", 2_000)]);
    let recent = carriers(&[("AA", 200), ("DL", 300), ("WN", 100), ("ZZ", 400)]);
    let drift = texts(&baseline, &recent).unwrap();
    assert!((drift.distance - 0.4).abs() < 1e-12, "{drift:?}");
    let cell = |p: f64, q: f64| (q - p) * (q / p).ln();
    let index = cell(0.5, 0.2) + cell(0.2, 0.1) + cell(LEAST_SHARE, 0.4);
    assert!((drift.index - index).abs() < 1e-9, "{drift:?}");
    assert!(drift.is_drift());
    let same: Drift = texts(&baseline, &baseline).unwrap();
    assert!(same.distance == 0.0 && !same.is_drift());
    assert_eq!(texts(&baseline, &Texts::default()), None);
}

/// A text in every request that occurs once tells nothing.
#[test]
fn texts_that_are_all_different_are_no_drift() {
    let mut random = Rng::with_seed(8);
    let mut ids = || {
        let mut texts = Texts::default();
        (0..20_000).for_each(|_| texts.push(&random.u64(..).to_string()));
        texts
    };
    let drift = texts(&ids(), &ids()).unwrap();
    assert!(!drift.is_drift(), "{drift:?}");
    assert!(drift.bound > 0.1, "hardly anything is known: {drift:?}");
}

#[test]
fn a_feature_that_is_missing_is_a_drift_of_its_kinds() {
    let minute = |missing: usize, seed| {
        let mut features = Features::new(["/distance"], seed);
        for i in 0..1_000_u32 {
            let number = Feature::Number(f64::from(i % 100));
            features.push([if (i as usize) < missing { Feature::Missing } else { number }]);
        }
        features
    };
    let mut baseline = minute(0, 1);
    baseline.merge(&minute(10, 2));
    let of = |features: &Features| {
        let before = baseline.get("/distance").unwrap();
        feature(before, features.get("/distance").unwrap())
    };
    let drift = of(&minute(300, 3));
    assert!(drift.kinds.unwrap().is_drift() && !drift.numbers.unwrap().is_drift(), "{drift:?}");
    assert!(!of(&minute(10, 3)).kinds.unwrap().is_drift());
    assert_eq!(drift.texts, None);
}
