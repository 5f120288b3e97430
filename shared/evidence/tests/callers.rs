//! Callers: when silence and surges are noticed, and how often by chance.

use fastrand::Rng;
use rendezvous_evidence::callers::{SPANS, Unusual, Unusually, judge};

const DAY: u64 = 1_440;
/// A minute with more than a week before it.
const NOW: u64 = 8 * DAY;

/// Every minute has `usual` requests, from `since` on `then`.
fn steady(usual: u64, since: u64, then: u64) -> impl Fn(u64) -> u64 {
    move |minute| if minute >= since { then } else { usual }
}

/// Minutes after a change until it is noticed.
fn noticed(usual: u64, then: u64) -> Option<(u64, Unusual)> {
    (1..=60).find_map(|after| {
        let unusual = judge(NOW + after - 1, 0, steady(usual, NOW, then))?;
        Some((after, unusual))
    })
}

#[test]
fn silence_is_noticed_within_2_minutes_or_3_or_30() {
    for (usual, within) in [(6, 3), (10, 2), (100, 2), (60_000, 2)] {
        let (after, unusual) = noticed(usual, 0).unwrap();
        assert!(after <= within, "{usual} a minute: after {after}");
        assert_eq!(unusual.kind, Unusually::Silent);
    }
    let (after, unusual) = noticed(1, 0).unwrap();
    assert!(after <= SPANS[2], "after {after}");
    assert!(unusual.minutes == 30 && unusual.requests < 15);
    assert!((unusual.usual - 30.0).abs() < 1e-9);
}

#[test]
fn half_of_the_callers_missing_is_noticed_and_less_is_not() {
    assert_eq!(noticed(600, 280).unwrap().1.kind, Unusually::Silent);
    assert_eq!(noticed(600, 400), None);
    assert_eq!(noticed(600, 4_000).unwrap().1.kind, Unusually::Surging);
    assert_eq!(noticed(600, 1_700), None, "less than three times as many");
}

#[test]
fn what_was_like_that_a_day_or_a_week_ago_is_usual() {
    let closed_at_night = |minute: u64| if minute % DAY < 480 { 0 } else { 100 };
    assert!((NOW..NOW + DAY).all(|minute| judge(minute, 0, closed_at_night).is_none()));
    let closed_on_sundays = |minute: u64| if minute / DAY % 7 == 1 { 0 } else { 100 };
    assert!((NOW..NOW + 2 * DAY).all(|minute| judge(minute, 0, closed_on_sundays).is_none()));
}

#[test]
fn a_new_endpoint_is_compared_with_nothing_and_after_a_day_with_that_day() {
    let began = |minute: u64| if minute < 100 { 0 } else { 50 };
    assert!((100..DAY).all(|minute| judge(minute, 100, began).is_none()));
    let stopped = |minute: u64| if (100..2 * DAY).contains(&minute) { 50 } else { 0 };
    assert_eq!(judge(2 * DAY + 2, 100, stopped).unwrap().kind, Unusually::Silent);
    // A week before there was nothing yet, which is no usual silence.
    let later = |minute: u64| minute.checked_sub(NOW).map_or(0, stopped);
    let kind = |since| judge(NOW + 2 * DAY + 2, since, later).map(|unusual| unusual.kind);
    assert_eq!((kind(NOW + 100), kind(0)), (Some(Unusually::Silent), None));
}

/// Small counts by the sum of exponential times.
fn poisson(mean: f64, random: &mut Rng) -> u64 {
    let (mut sum, mut count) = (0.0, 0);
    loop {
        sum -= (1.0 - random.f64()).ln();
        if sum > mean {
            return count;
        }
        count += 1;
    }
}

/// At a probability of 1e-7 a look no test sees one; a rate that changes by a quarter is not seen either.
#[test]
fn poisson_traffic_is_never_unusual() {
    let mut random = Rng::with_seed(6);
    for mean in [0.5, 5.0, 50.0] {
        let counts: Vec<u64> = (0..10 * DAY)
            .map(|minute| poisson(if minute > NOW { mean * 1.25 } else { mean }, &mut random))
            .collect();
        let of = |minute: u64| {
            usize::try_from(minute).ok().and_then(|at| counts.get(at)).copied().unwrap_or(0)
        };
        assert!((0..10 * DAY).all(|minute| judge(minute, 0, of).is_none()), "{mean} a minute");
    }
}
