//! Windows: merged as counted together, and read as they were written.

use std::time::Duration;

use fastrand::Rng;
use rendezvous_core::{
    FailureKind,
    decision::{Kind, Reason},
};
use rendezvous_evidence::{
    Confidence,
    bytes::{from_bytes, to_bytes},
    window::{Decisions, Feature, Features, Merge, Outcomes, Pair, Window, merged},
};

fn time(random: &mut Rng) -> Duration {
    Duration::from_secs_f64(0.02 * (1.0 - random.f64()).ln().abs())
}

fn scores(random: &mut Rng, requests: u32) -> Window {
    let mut window = Window::new(random.u64(..));
    for i in 0..requests {
        match i % 50 {
            0 => window.failure(FailureKind::Expired),
            1 => window.score(time(random), None),
            _ => window.score(time(random), Some(random.f64())),
        }
    }
    window
}

#[test]
fn a_models_window_counts_scores_and_failures_by_kind() {
    let mut random = Rng::with_seed(1);
    let windows: Vec<_> = (0..10).map(|_| scores(&mut random, 600)).collect();
    let bytes: Vec<_> = windows.iter().map(|window| to_bytes(window).unwrap()).collect();
    assert!(bytes[0].len() < 1_700, "{} bytes", bytes[0].len());
    let all: Window = merged(&bytes).unwrap().unwrap();
    assert_eq!((all.messages(), all.scored(), all.failures()), (6_000, 5_880, 120));
    assert_eq!((all.failed(FailureKind::Expired), all.failed(FailureKind::Failed)), (120, 0));
    assert_eq!((all.without_value(), all.values().count()), (120, 5_760));
    assert_eq!(all.time().count(), 5_880);
    assert!((all.values().quantile(0.5).unwrap() - 0.5).abs() < 0.03);
    assert_eq!(merged::<Window>([] as [&[u8]; 0]), Ok(None));
    assert!(merged::<Window>([&bytes[0][..], &[2, 0]]).is_err(), "another version");
}

#[test]
fn a_window_of_a_day_stays_small() {
    let mut random = Rng::with_seed(1);
    let mut day = scores(&mut random, 600);
    for _ in 1..1_440 {
        day.merge(&scores(&mut random, 600));
    }
    let bytes = to_bytes(&day).unwrap().len();
    assert!(bytes < 5_600, "{bytes} bytes");
}

#[test]
fn decisions_are_counted_by_kind_and_reason() {
    let mut decisions = Decisions::default();
    let after = Duration::from_millis(20);
    for i in 0..600 {
        decisions.push(Kind::Champion, Reason::Preferred, after, false, i % 2 == 0);
    }
    decisions.push(Kind::StandIn, Reason::Opened, after * 10, false, true);
    decisions.push(Kind::Fallback, Reason::Deadline, after * 40, true, true);
    decisions.push(Kind::None, Reason::Exhausted, after, false, true);
    decisions.merge(&decisions.clone());
    assert_eq!((decisions.count(), decisions.unanswered()), (1_206, 4));
    assert_eq!((decisions.late(), decisions.settled()), (2, 606));
    assert_eq!(decisions.kind(Kind::StandIn), 2);
    assert_eq!(decisions.reason(Reason::Deadline), 2);
    let all: Vec<_> = decisions.iter().collect();
    assert_eq!(all[0], (Kind::Champion, Reason::Preferred, 1_200));
    assert_eq!(all.len(), 4);
    assert_eq!(decisions.time().above(after * 2), 4);
    let bytes = to_bytes(&decisions).unwrap();
    assert!(bytes.len() < 100, "{} bytes", bytes.len());
    assert_eq!(from_bytes(&bytes), Ok(decisions));
}

#[test]
fn of_a_pair_nothing_is_said_below_95_percent() {
    let mut pair = Pair::new(0.5);
    assert_eq!(pair.disagreement(), None);
    for i in 0..95 {
        pair.push(Some(0.6), Some(if i % 5 == 0 { 0.4 } else { 0.7 }));
        pair.outcome(Some(0.6), Some(0.7), 1.0);
    }
    for _ in 0..5 {
        pair.push(Some(0.6), None);
        pair.outcome(None, Some(0.7), 1.0);
    }
    assert_eq!((pair.expected(), pair.paired()), (100, 95));
    let disagreement = pair.disagreement().unwrap().interval(Confidence::DEFAULT).unwrap();
    assert!((disagreement.estimate - 0.2).abs() < 1e-9);
    let difference = pair.difference(Confidence::DEFAULT).unwrap();
    assert!((difference.estimate - 0.04).abs() < 1e-9);
    let loss = pair.loss().unwrap().interval(Confidence::DEFAULT).unwrap();
    assert!((loss.estimate - (0.09 - 0.16)).abs() < 1e-9, "the second is better");
    let bytes = to_bytes(&pair).unwrap();
    assert!(bytes.len() < 110, "{} bytes", bytes.len());
    assert_eq!(from_bytes(&bytes), Ok(pair));
    let mut fewer = pair;
    fewer.push(None, None);
    fewer.outcome(None, None, 1.0);
    assert_eq!((fewer.disagreement(), fewer.loss()), (None, None));
    assert_eq!(fewer.difference(Confidence::DEFAULT), None);
    fewer.merge(&pair);
    assert_eq!((fewer.expected(), fewer.paired(), fewer.outcomes()), (201, 190, 201));
}

#[test]
fn features_are_numbers_texts_or_missing() {
    let mut random = Rng::with_seed(1);
    let mut minutes = [7, 8].map(|seed| Features::new(["/distance", "/carrier"], seed));
    for minute in &mut minutes {
        for i in 0..600 {
            let carrier = ["WN", "DL", "AA"][random.usize(..3)];
            let distance = Feature::Number(random.f64() * 3_000.0);
            let missing = if i == 0 { Feature::Missing } else { distance };
            minute.push([missing, Feature::Text(carrier)]);
        }
    }
    let bytes = to_bytes(&minutes[0]).unwrap();
    assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
    let [mut both, other] = minutes;
    both.merge(&other);
    both.merge(&Features::new(["/other"], 9));
    let distance = both.get("/distance").unwrap();
    assert_eq!(
        (both.requests(), distance.missing(), distance.numbers().count()),
        (1_200, 2, 1_198)
    );
    assert_eq!(both.get("/carrier").unwrap().texts().total(), 1_200);
    assert_eq!(both.iter().map(|(pointer, _)| pointer).last(), Some("/other"));
}

#[test]
fn outcomes_say_how_far_predicted_and_observed_are_apart() {
    let mut outcomes = Outcomes::default();
    assert_eq!(outcomes.means(), None);
    for i in 0..100 {
        outcomes.push(0.3, f64::from(u8::from(i % 5 == 0)));
    }
    outcomes.push(f64::NAN, 1.0);
    outcomes.merge(&outcomes.clone());
    let (predicted, observed) = outcomes.means().unwrap();
    assert!((predicted - 0.3).abs() < 1e-9 && (observed - 0.2).abs() < 1e-9);
    let excess = outcomes.excess().interval(Confidence::DEFAULT).unwrap();
    assert!((excess.estimate - 0.1).abs() < 1e-9 && outcomes.count() == 200);
    let loss = outcomes.loss().interval(Confidence::DEFAULT).unwrap();
    assert!((loss.estimate - (0.8 * 0.09 + 0.2 * 0.49)).abs() < 1e-9);
}
