//! How often each alarm is raised by chance, on traffic that does not change.
//!
//! `cargo test -p rendezvous-evidence --test evidence chance -- --ignored --nocapture` prints the table in
//! `functions/monitor/README.md`: 10,000 days.

#![allow(clippy::cast_precision_loss, reason = "this is test code")]

use std::time::Duration;

use fastrand::Rng;
use rendezvous_core::{FailureKind, ModelId};
use rendezvous_evidence::{
    alarms::{Observation, Over, alarms},
    drift,
    window::{Feature, Features, Merge, Pair, Window},
};
use statrs::function::beta::beta_reg;

const HOURS: usize = 24;
/// The days for which a baseline is used: as many as are looked at with it in a month.
const MONTH: u32 = 30;

/// Poisson counts by the sum of exponential times.
fn poisson(mean: f64, random: &mut Rng) -> u32 {
    let (mut sum, mut count) = (0.0, 0);
    loop {
        sum -= (1.0 - random.f64()).ln();
        if sum > mean {
            return count;
        }
        count += 1;
    }
}

/// An endpoint with a model and a canary whose values have a skewed distribution, a numeric feature with ties and a
/// text with some frequent values.
struct Hour {
    model: Window,
    canary: Window,
    features: Features,
}

impl Hour {
    fn new(mean: f64, random: &mut Rng) -> Self {
        let seed = random.u64(..);
        let mut hour = Self {
            model: Window::new(seed),
            canary: Window::new(seed ^ 2),
            features: Features::new(["/number", "/text"], seed ^ 1),
        };
        for _ in 0..poisson(mean, random) {
            hour.model.score(Duration::from_millis(5), Some(random.f64().powi(2)));
            hour.canary.score(Duration::from_millis(5), Some(random.f64().powi(2)));
            let text = format!("{}", (random.f64().powi(2) * 16.0).floor());
            let number = (random.f64() * 24.0).floor();
            hour.features.push([Feature::Number(number), Feature::Text(&text)]);
        }
        hour
    }

    fn merge(&mut self, other: &Self) {
        self.model.merge(&other.model);
        self.canary.merge(&other.canary);
        self.features.merge(&other.features);
    }

    fn sum<'h>(hours: impl IntoIterator<Item = &'h Self>) -> Self {
        let mut random = Rng::with_seed(0);
        let mut sum = Self::new(0.0, &mut random);
        hours.into_iter().for_each(|hour| sum.merge(hour));
        sum
    }

    /// The alarms about the model, against a baseline.
    fn of_model(&self, baseline: &Self, over: Over) -> usize {
        let canary: ModelId = "canary@1".parse().unwrap();
        let drift =
            |of: fn(&Self) -> &Window| drift::numbers(of(baseline).values(), of(self).values());
        let (of_model, of_canary) = (drift(|hour| &hour.model), drift(|hour| &hour.canary));
        let canary = of_canary.as_ref().map(|drift| (&canary, drift));
        let drift = of_model.as_ref();
        alarms(drift.map(|drift| Observation::Drift { of: "x", over, drift, canary })).len()
    }

    /// The alarms about the number and the text.
    fn of_features(&self, baseline: &Self) -> [usize; 2] {
        let feature = |pointer| {
            let (before, after) = (baseline.features.get(pointer), self.features.get(pointer));
            drift::feature(before.unwrap(), after.unwrap())
        };
        [feature("/number").numbers, feature("/text").texts].map(|drift| {
            let (drift, over) = (drift.as_ref(), Over::Day);
            alarms(drift.map(|drift| Observation::Drift { of: "x", over, drift, canary: None }))
                .len()
        })
    }
}

/// The alarms of so many days with so many requests an hour: of the model over an hour and over a day, of the
/// number and the text over a day.
fn drifts(days: u32, mean: f64, seed: u64) -> [usize; 4] {
    let mut random = Rng::with_seed(seed);
    let mut raised = [0; 4];
    for _ in 0..days.div_ceil(MONTH) {
        let same: Vec<Hour> = (0..HOURS)
            .map(|_| {
                let days: Vec<Hour> = (0..7).map(|_| Hour::new(mean, &mut random)).collect();
                Hour::sum(&days)
            })
            .collect();
        let whole = Hour::sum(&same);
        let mut last: Vec<Hour> = (0..HOURS).map(|_| Hour::new(mean, &mut random)).collect();
        for _ in 0..MONTH {
            for hour in 0..HOURS {
                last[hour] = Hour::new(mean, &mut random);
                let day = Hour::sum(&last);
                let of_hour = last[hour].of_model(&same[hour], Over::Hour);
                let [number, text] = day.of_features(&whole);
                let looks = [of_hour, day.of_model(&whole, Over::Day), number, text];
                raised.iter_mut().zip(looks).for_each(|(sum, each)| *sum += each);
            }
        }
    }
    raised
}

#[test]
fn drift_is_hardly_ever_raised_by_chance() {
    for mean in [3.0, 20.0, 200.0] {
        assert_eq!(drifts(MONTH, mean, 1), [0; 4], "{mean} requests an hour");
    }
}

#[test]
#[ignore = "it takes minutes and prints a table"]
fn the_table_of_drift() {
    let days = 10_000;
    for mean in [3.0, 20.0, 100.0] {
        let [hour, model, number, text] = drifts(days, mean, 2);
        println!(
            "{days} days, {mean} requests an hour: over an hour {hour}; over a day {model} of the \
             model, {number} of the number, {text} of the text"
        );
    }
}

/// The least number of events of `n` for which the rule raises its alarm.
fn least(n: u64, raises: impl Fn(u64) -> bool) -> u64 {
    (0..=n).find(|events| raises(*events)).unwrap()
}

/// The probability of at least `k` events of `n`.
fn at_least(k: u64, n: u64, rate: f64) -> f64 {
    if k == 0 { 1.0 } else { beta_reg(k as f64, (n - k + 1) as f64, rate) }
}

/// The expected alarms in a year, if each of the 525,600 minutes were independent, of a model that fails
/// or disagrees at a rate that is half of what is allowed.
#[test]
fn failures_and_disagreement_at_half_of_their_limits_are_never_raised() {
    let model: ModelId = "gbt@2".parse().unwrap();
    let minutes = 365.0 * 24.0 * 60.0;
    for n in [100_u64, 600, 3_000] {
        let failing = |events: u64| {
            let mut window = Window::new(1);
            (0..events).for_each(|_| window.failure(FailureKind::Failed));
            (events..n).for_each(|_| window.score(Duration::from_millis(5), None));
            let (model, window) = (&model, Some(&window));
            !alarms([Observation::Model { model, expected: n, window }]).is_empty()
        };
        let failures = minutes * at_least(least(n, failing), n, 0.025);
        let apart = |events: u64| {
            let mut pair = Pair::new(0.5);
            (0..n).for_each(|i| pair.push(Some(0.1), Some(if i < events { 0.9 } else { 0.1 })));
            let (first, second, pair) = (&model, &model, &pair);
            !alarms([Observation::Pair { first, second, over: Over::Day, pair }]).is_empty()
        };
        let disagreement = minutes * at_least(least(n, apart), n, 0.1);
        println!("{n} in 5 minutes: {failures:.2e} failing, {disagreement:.2e} disagreeing a year");
        assert!(failures < 1.0 && disagreement < 0.01, "{n}: {failures} {disagreement}");
    }
}
