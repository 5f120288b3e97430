//! Alarms: each rule on both sides of its limit.

use std::time::Duration;

use rendezvous_core::{Arm, FailureKind, ModelId, arms::Guard};
use rendezvous_evidence::{
    alarms::{Alarm, Observation, Over, alarms},
    callers::{Unusual, Unusually},
    drift::Drift,
    guard::{Action, Verdict},
    window::{Outcomes, Pair, Window},
};

fn model(name: &str) -> ModelId {
    name.parse().unwrap()
}

fn one(observation: Observation<'_>) -> Option<Alarm> {
    let alarms = alarms([observation]);
    assert!(alarms.len() <= 1);
    for alarm in &alarms {
        assert!(
            !alarm.figures.is_empty() && alarm.meaning.ends_with('.') && alarm.first.ends_with('.')
        );
    }
    alarms.into_iter().next()
}

#[test]
fn a_drift_needs_a_sure_distance_and_a_large_index() {
    let large = Drift { distance: 0.3, bound: 0.1, index: 0.4, baseline: 9_000, recent: 700 };
    let of = |over, drift: &Drift| {
        one(Observation::Drift { of: "/distance", over, drift, canary: None })
    };
    let alarm = of(Over::Day, &large).unwrap();
    assert_eq!((alarm.name, alarm.subject.as_str()), ("drift", "/distance"));
    assert_eq!(
        alarm.figures,
        "distance 0.300, by chance at most 0.100; index 0.40, large from 0.25; 700 values against 9000"
    );
    for drift in [Drift { bound: 0.3, ..large }, Drift { index: 0.2, ..large }] {
        assert_eq!(of(Over::Day, &drift), None);
    }
    assert_eq!(of(Over::Minutes, &large), None, "too few for minutes");
    let many = Drift { recent: 1_000, ..large };
    assert!(of(Over::Minutes, &many).is_some());
}

#[test]
fn a_drift_of_a_model_says_whether_the_canary_drifts() {
    let large = Drift { distance: 0.3, bound: 0.1, index: 0.4, baseline: 9_000, recent: 700 };
    let calm = Drift { distance: 0.02, index: 0.01, ..large };
    let canary = model("mlp@1");
    let figures = |of, drift| {
        let canary = Some((&canary, drift));
        one(Observation::Drift { of, over: Over::Day, drift: &large, canary }).unwrap().figures
    };
    let calm = figures("gbt@2", &calm);
    let says = "; the canary mlp@1 does not drift: distance 0.020, index 0.01";
    assert!(calm.ends_with(says), "{calm}");
    assert!(figures("gbt@2", &large).contains("the canary mlp@1 drifts, too"));
    assert!(!figures("mlp@1", &large).contains("the canary"), "it is the canary itself");
}

#[test]
fn over_an_hour_a_model_drifts_only_if_it_differs_from_the_canary() {
    let large = Drift { distance: 0.3, bound: 0.08, index: 0.4, baseline: 9_000, recent: 700 };
    let (gbt, mlp) = (model("gbt@2"), model("mlp@1"));
    let raised = |of: &ModelId, canary: Option<Drift>| {
        let (of, over, drift) = (of.as_str(), Over::Hour, &large);
        let canary = canary.as_ref().map(|drift| (&mlp, drift));
        one(Observation::Drift { of, over, drift, canary }).is_some()
    };
    let canary = |distance| Some(Drift { distance, bound: 0.05, ..large });
    assert!(raised(&gbt, canary(0.16)));
    assert!(!raised(&gbt, canary(0.18)), "by chance both are as far from the baseline");
    assert!(!raised(&gbt, None), "nothing to compare with");
    assert!(!raised(&mlp, Some(large)), "it is the canary itself");
}

#[test]
fn calibration_is_wrong_beyond_a_twentieth_and_not_by_chance() {
    let outcomes = |value: f64, n: u32| {
        let mut outcomes = Outcomes::default();
        // One in five.
        (0..n).for_each(|i| outcomes.push(value, f64::from(u8::from(i % 5 == 0))));
        outcomes
    };
    let gbt = model("gbt@2");
    let of = |outcomes: &Outcomes| one(Observation::Outcomes { model: &gbt, outcomes });
    let alarm = of(&outcomes(0.3, 20_000)).unwrap();
    assert_eq!((alarm.name, alarm.subject.as_str()), ("calibration_high", "gbt@2"));
    assert_eq!((alarm.over, alarm.together), (Some(Over::Week), true));
    assert!(alarm.figures.starts_with("predicted 0.300, observed 0.200 on 20000 requests"));
    assert_eq!(of(&outcomes(0.1, 20_000)).unwrap().name, "calibration_low");
    assert_eq!(of(&outcomes(0.24, 20_000)), None, "within the limit");
    assert_eq!(of(&outcomes(0.3, 100)), None, "may be chance");
    assert_eq!(of(&Outcomes::default()), None);
}

#[test]
fn disagreement_is_sure_and_paired() {
    let pair = |apart: u32, unpaired: u32| {
        let mut pair = Pair::new(0.5);
        (0..1_000).for_each(|i| pair.push(Some(0.1), Some(if i < apart { 0.9 } else { 0.1 })));
        (0..unpaired).for_each(|_| pair.push(Some(0.1), None));
        pair
    };
    let (first, second) = (model("gbt@2"), model("mlp@1"));
    let of = |pair: &Pair| {
        one(Observation::Pair { first: &first, second: &second, over: Over::Minutes, pair })
    };
    assert_eq!(of(&pair(400, 0)).unwrap().subject, "gbt@2, mlp@1");
    assert_eq!(of(&pair(210, 0)), None, "not sure");
    assert_eq!(of(&pair(400, 100)), None, "too few are paired");
}

#[test]
fn a_model_is_silent_or_failing() {
    let gbt = model("gbt@2");
    let of = |expected, window: Option<&Window>| {
        one(Observation::Model { model: &gbt, expected, window }).map(|alarm| alarm.name)
    };
    assert_eq!(of(19, None), None);
    assert_eq!(of(20, None), Some("model_silent"));
    assert_eq!(of(20, Some(&Window::new(1))), Some("model_silent"));
    let window = |failures: u32| {
        let mut window = Window::new(1);
        for i in 0..500 {
            if i < failures {
                window.failure(FailureKind::TimedOut);
            } else {
                window.score(Duration::from_millis(5), None);
            }
        }
        window
    };
    assert_eq!(of(500, Some(&window(30))), None, "not sure");
    let failing = window(100);
    assert_eq!(of(500, Some(&failing)), Some("model_failing"));
    let observation = Observation::Model { model: &gbt, expected: 500, window: Some(&failing) };
    assert!(
        one(observation).unwrap().figures.ends_with("of 500 messages; 0.05 allowed, 100 timed_out")
    );
}

#[test]
fn callers_are_reported_as_they_are() {
    let unusual = |kind| Unusual { kind, requests: 0, minutes: 3, usual: 29.6 };
    let silent = one(Observation::Callers(unusual(Unusually::Silent))).unwrap();
    assert_eq!(silent.name, "callers_silent");
    assert_eq!(silent.figures, "0 requests in 3 minutes, usually 30");
    let surging = one(Observation::Callers(unusual(Unusually::Surging))).unwrap();
    assert_eq!(surging.name, "callers_surging");
}

#[test]
fn a_ramp_is_stopped_when_it_is_removed_or_stuck() {
    let arm: Arm = "gbt".parse().unwrap();
    let of = |action, hours, hold_minutes| {
        let verdict = Verdict { action, because: "figures".into() };
        let guard = Guard { hold_minutes, ..Guard::default() };
        let held = Duration::from_hours(hours);
        one(Observation::Ramp { arm: &arm, guard: &guard, held, verdict: &verdict })
    };
    assert_eq!(of(Action::Remove, 0, 10).unwrap().name, "ramp_stopped");
    assert_eq!(of(Action::Step, 100, 10), None);
    assert_eq!(of(Action::Wait, 24, 10), None);
    assert_eq!(of(Action::Wait, 25, 10).unwrap().figures, "figures");
    assert_eq!(of(Action::Wait, 25, 600), None);
}
