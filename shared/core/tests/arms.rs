//! Which arm a key belongs to, how arms grow, and how models step up and down.

use std::collections::HashMap;

use rendezvous_core::{
    Arm, ArmPlan, Configuration, Draft, EndpointName, Guard, Key, Observer, Pin, Role, Share,
    promotion,
};

const KEYS: u32 = 100_000;

fn endpoint() -> EndpointName {
    "flight-delay".parse().unwrap()
}

fn key(number: u32) -> Key {
    format!("customer-{number}").parse().unwrap()
}

fn share(fraction: f64) -> Share {
    Share::new(fraction).unwrap()
}

fn arm(name: &str) -> Arm {
    name.parse().unwrap()
}

fn schedule(choices: &str) -> String {
    format!(r#"{{"choices":[{choices}],"deadline_ms":800}}"#)
}

const THREE: &str =
    r#"{"model":"gbt@1"},{"model":"logistic@1","after_ms":250},{"model":"prior@1","after_ms":400}"#;

fn configuration() -> Configuration {
    let observers =
        r#"[{"model":"mlp@1","role":"canary"},{"model":"big@1","role":"challenger","share":0.1}]"#;
    let text = format!(r#"{{"schedule":{},"observers":{observers}}}"#, schedule(THREE));
    Configuration::parse(&text).unwrap()
}

/// A configuration with arms of these steps, of which the one of this number is in force.
fn with_arms(arms: &[(&str, &[f64], usize)]) -> Configuration {
    let mut draft = configuration().into_draft();
    for (name, steps, step) in arms {
        draft.arms.push(ArmPlan {
            name: arm(name),
            schedule: draft.schedule.clone(),
            steps: steps.iter().map(|step| share(*step)).collect(),
            step: *step,
            guard: None,
        });
    }
    Configuration::new(draft).unwrap()
}

fn arms_of(configuration: &Configuration) -> Vec<Arm> {
    (0..KEYS).map(|number| configuration.assign(&endpoint(), &key(number))).collect()
}

/// Whether a count of `KEYS` draws is within five standard deviations of its expectation.
fn is_expected(count: usize, share: f64) -> bool {
    let n = f64::from(KEYS);
    (count as f64 - n * share).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt()
}

#[test]
fn every_arm_has_its_share_of_the_keys() {
    let configuration =
        with_arms(&[("a", &[0.05, 0.25], 0), ("b", &[0.1, 0.3], 1), ("c", &[0.4], 0)]);
    let mut counts: HashMap<Arm, usize> = HashMap::new();
    for arm in arms_of(&configuration) {
        *counts.entry(arm).or_default() += 1;
    }
    for (name, share) in [("a", 0.05), ("b", 0.3), ("c", 0.4), ("main", 0.25)] {
        assert!(is_expected(counts[&arm(name)], share), "{name}: {counts:?}");
    }
}

#[test]
fn an_arm_that_grows_takes_keys_from_main_only_and_as_many_as_is_said() {
    let steps: [&[f64]; 2] = [&[0.05, 0.25], &[0.1, 0.3]];
    let before = with_arms(&[("a", steps[0], 0), ("b", steps[1], 0)]);
    let after = with_arms(&[("a", steps[0], 1), ("b", steps[1], 0)]);
    let (old, new) = (arms_of(&before), arms_of(&after));
    let moved: Vec<_> = old.iter().zip(&new).filter(|(old, new)| old != new).collect();
    assert!(moved.iter().all(|(old, new)| **old == Arm::main() && **new == arm("a")));
    assert_eq!(before.movements(&after), [(Arm::main(), arm("a"), share(0.2))]);
    assert!(is_expected(moved.len(), 0.2), "{}", moved.len());
    assert_eq!(after.movements(&after), []);
}

#[test]
fn movements_between_any_two_arms_are_said() {
    let before = with_arms(&[("a", &[0.2], 0), ("b", &[0.5], 0)]);
    let after = with_arms(&[("b", &[0.5], 0)]);
    let movements = before.movements(&after);
    assert_eq!(movements, [(arm("a"), arm("b"), share(0.2)), (arm("b"), Arm::main(), share(0.2))]);
    let (old, new) = (arms_of(&before), arms_of(&after));
    for (from, to, part) in movements {
        let moved = old.iter().zip(&new).filter(|(old, new)| **old == from && **new == to);
        assert!(is_expected(moved.count(), part.as_fraction()));
    }
}

#[test]
fn what_moves_between_two_arms_in_several_places_is_one_movement() {
    let before = with_arms(&[("x", &[0.5], 0)]);
    // `a` has the first tenth of the keys and may grow to two, `b` has the third.
    let after = with_arms(&[("a", &[0.1, 0.2], 0), ("b", &[0.1], 0)]);
    let moved = |to: Arm, part: f64| (arm("x"), to, share(part));
    let expected = [moved(Arm::main(), 0.3), moved(arm("a"), 0.1), moved(arm("b"), 0.1)];
    assert_eq!(before.movements(&after), expected);
    let both = with_arms(&[("x", &[0.2], 0), ("y", &[0.3], 0)]);
    let ended = [(arm("y"), Arm::main(), share(0.3)), (arm("x"), Arm::main(), share(0.2))];
    assert_eq!(both.movements(&configuration()), ended);
}

#[test]
fn a_pinned_key_belongs_to_its_arm_whatever_the_shares() {
    let mut draft = with_arms(&[("a", &[0.05], 0)]).into_draft();
    draft.pins = ["customer-1", "customer-2"]
        .iter()
        .zip([arm("a"), Arm::main()])
        .map(|(key, arm)| Pin { key: key.parse().unwrap(), arm })
        .collect();
    draft.arms[0].steps = vec![Share::ALL];
    let configuration = Configuration::new(draft).unwrap();
    let arms: Vec<_> =
        (1..=3).map(|number| configuration.assign(&endpoint(), &key(number))).collect();
    assert_eq!(arms, [arm("a"), Arm::main(), arm("a")]);
}

#[test]
fn an_observer_is_expected_for_its_share_of_the_keys_in_every_arm_alike() {
    let mut draft = with_arms(&[("a", &[0.5], 0)]).into_draft();
    draft.observers.push(Observer {
        share: share(0.1),
        ..Observer::new("x@1".parse().unwrap(), Role::Challenger)
    });
    let configuration = Configuration::new(draft).unwrap();
    let (mut big, mut both, mut big_in_main) = (0, 0, 0);
    for number in 0..KEYS {
        let skips = configuration.skips(&endpoint(), &key(number));
        let scores = |model: &str| skips.iter().all(|skipped| skipped.as_str() != model);
        assert!(scores("mlp@1") && scores("gbt@1"));
        big += usize::from(scores("big@1"));
        both += usize::from(scores("big@1") && scores("x@1"));
        let in_main = configuration.assign(&endpoint(), &key(number)) == Arm::main();
        big_in_main += usize::from(scores("big@1") && in_main);
    }
    assert!(is_expected(big, 0.1), "{big}");
    assert!(is_expected(both, 0.01), "models are drawn independently: {both}");
    assert!(is_expected(big_in_main, 0.05), "arms and observers are drawn independently");
}

fn models(configuration: &Configuration, name: &Arm) -> Vec<(String, u128)> {
    let choices = configuration.schedule(name).choices().iter();
    choices.map(|choice| (choice.model.to_string(), choice.after.as_millis())).collect()
}

fn choice(model: &str, after: u128) -> (String, u128) {
    (model.to_owned(), after)
}

#[test]
fn a_promoted_model_is_first_and_the_former_champion_its_first_stand_in() {
    let before = configuration();
    let promoted = promotion::promote(&before, &"big@1".parse().unwrap()).unwrap();
    let expected = [
        choice("big@1", 0),
        choice("gbt@1", 250),
        choice("logistic@1", 250),
        choice("prior@1", 400),
    ];
    assert_eq!(models(&promoted, &Arm::main()), expected);
    assert_eq!(promoted.observers().len(), 1, "a choice is no observer");

    let promoted = promotion::promote(&before, &"logistic@1".parse().unwrap()).unwrap();
    let expected = [choice("logistic@1", 0), choice("gbt@1", 250), choice("prior@1", 400)];
    assert_eq!(models(&promoted, &Arm::main()), expected);

    let alone = format!(
        r#"{{"schedule":{},"observers":[{{"model":"b@1","role":"challenger"}}]}}"#,
        schedule(r#"{"model":"a@1"}"#)
    );
    let promoted =
        promotion::promote(&Configuration::parse(&alone).unwrap(), &"b@1".parse().unwrap())
            .unwrap();
    assert_eq!(models(&promoted, &Arm::main()), [choice("b@1", 0), choice("a@1", 400)]);
}

#[test]
fn a_model_that_is_unknown_or_champion_already_is_not_promoted() {
    let refused = |model: &str| {
        promotion::promote(&configuration(), &model.parse().unwrap()).unwrap_err().to_string()
    };
    assert_eq!(refused("gbt@1"), "gbt@1 is the champion already");
    assert!(refused("gbt@9").starts_with("gbt@9 is neither on a schedule nor an observer"));
}

#[test]
fn an_arm_begins_with_its_first_step_and_ends_as_main_or_not_at_all() {
    let (before, big) = (configuration(), "big@1".parse().unwrap());
    let steps = vec![share(0.05), Share::ALL];
    let started =
        promotion::promote_in_arm(&before, &big, arm("big"), steps.clone(), None).unwrap();
    assert_eq!(models(&started, &Arm::main()), models(&before, &Arm::main()));
    assert_eq!(models(&started, &arm("big"))[0], choice("big@1", 0));
    assert_eq!(started.draft().arms[0].share(), share(0.05));
    assert_eq!(before.movements(&started), [(Arm::main(), arm("big"), share(0.05))]);

    let finished = promotion::finish(&started, &arm("big")).unwrap();
    assert_eq!(models(&finished, &Arm::main()), models(&started, &arm("big")));
    assert_eq!(finished, promotion::promote(&started, &big).unwrap());
    assert!(finished.draft().arms.is_empty());

    let removed = promotion::remove(&started, &arm("big")).unwrap();
    assert_eq!(models(&removed, &Arm::main()), models(&before, &Arm::main()));
    let observers: Vec<_> = removed.observers().iter().map(|each| each.model.as_str()).collect();
    assert_eq!(observers, ["mlp@1", "big@1"], "the model goes on as a challenger");

    // Another try, with other steps, begins anew; another model may not take the name.
    let mut later = started.clone().into_draft();
    later.arms[0].step = 1;
    let later = Configuration::new(later).unwrap();
    let again = promotion::promote_in_arm(&later, &big, arm("big"), steps.clone(), None).unwrap();
    assert_eq!(again, started);
    assert_eq!(promotion::restart(&later), started);
    let other = "logistic@1".parse().unwrap();
    let refused = promotion::promote_in_arm(&later, &other, arm("big"), steps, None);
    assert!(refused.unwrap_err().to_string().contains("its champion is big@1"));
    assert!(promotion::finish(&before, &arm("big")).is_err());
}

#[test]
fn a_retired_model_is_listed_nowhere_and_its_successor_need_not_wait() {
    let retire = |configuration: &Configuration, model: &str| {
        promotion::retire(configuration, &model.parse().unwrap())
    };
    let retired = retire(&with_arms(&[("a", &[0.5], 0)]), "gbt@1").unwrap();
    for name in [Arm::main(), arm("a")] {
        assert_eq!(models(&retired, &name), [choice("logistic@1", 0), choice("prior@1", 400)]);
    }
    let mut waits = configuration().into_draft();
    let mut choices = waits.schedule.choices().to_vec();
    choices[0].after = std::time::Duration::from_millis(50);
    waits.schedule = waits.schedule.with_choices(choices).unwrap();
    let waits = retire(&Configuration::new(waits).unwrap(), "prior@1").unwrap();
    let expected = [choice("gbt@1", 50), choice("logistic@1", 250)];
    assert_eq!(models(&waits, &Arm::main()), expected, "the champion is the same");
    let retired = retire(&retired, "prior@1").unwrap();
    let refused = retire(&retired, "logistic@1").unwrap_err().to_string();
    assert_eq!(refused, "logistic@1 is the only choice of arm main");
    assert!(retire(&retired, "big@1").unwrap().models().all(|model| model.as_str() != "big@1"));
    let refused = retire(&retired, "gbt@1").unwrap_err().to_string();
    assert!(refused.starts_with("gbt@1 is neither"), "{refused}");
}

#[test]
fn the_last_steps_of_all_arms_sum_to_at_most_all_requests() {
    let mut draft: Draft = with_arms(&[("a", &[0.5], 0), ("b", &[0.1, 0.5], 0)]).into_draft();
    Configuration::new(draft.clone()).unwrap();
    draft.arms[1].steps[1] = share(0.500_001);
    let error = Configuration::new(draft).unwrap_err().to_string();
    assert_eq!(error, "/arms: the last steps sum to 1.000001; the sum must be at most 1");
}

#[test]
fn an_arm_that_is_removed_leaves_the_other_arms_as_they_are() {
    let mut draft = with_arms(&[("a", &[0.2], 0), ("b", &[0.3], 0)]).into_draft();
    for (at, model) in [(0, "x@1"), (1, "y@1")] {
        let only = format!(r#"{{"model":"{model}"}}"#);
        draft.arms[at].schedule = serde_json::from_str(&schedule(&only)).unwrap();
    }
    draft.pins = vec![Pin { key: key(1), arm: arm("a") }, Pin { key: key(2), arm: arm("b") }];
    let before = Configuration::new(draft).unwrap();
    let removed = promotion::remove(&before, &arm("a")).unwrap();
    assert_eq!(models(&removed, &arm("b")), [choice("y@1", 0)]);
    assert_eq!(removed.draft().pins, before.draft().pins[1..], "the pins of the arm end with it");
    let observers: Vec<_> = removed.observers().iter().map(|each| each.model.as_str()).collect();
    assert_eq!(observers, ["mlp@1", "big@1", "x@1"]);
    let finished = promotion::finish(&before, &arm("b")).unwrap();
    assert_eq!(models(&finished, &Arm::main()), [choice("y@1", 0)]);
    assert_eq!(models(&finished, &arm("a")), [choice("x@1", 0)]);
    let observers: Vec<_> = finished.observers().iter().map(|each| each.model.as_str()).collect();
    assert_eq!(observers, ["mlp@1", "big@1", "gbt@1", "logistic@1", "prior@1"]);
}

#[test]
fn a_promotion_beside_an_arm_of_another_model_leaves_the_arm_as_it_is() {
    let (before, big) = (with_arms(&[("a", &[0.2], 0)]), "big@1".parse().unwrap());
    let promoted = promotion::promote(&before, &big).unwrap();
    assert_eq!(models(&promoted, &Arm::main())[0], choice("big@1", 0));
    assert_eq!(promoted.draft().arms, before.draft().arms);
    let started =
        promotion::promote_in_arm(&before, &big, arm("big"), vec![share(0.1)], None).unwrap();
    let arms: Vec<_> = started.arms().map(|(arm, _)| arm.as_str()).collect();
    assert_eq!(arms, ["main", "a", "big"]);
    let champion = "gbt@1".parse().unwrap();
    let refused = promotion::promote_in_arm(&before, &champion, arm("b"), vec![share(0.1)], None);
    assert_eq!(refused.unwrap_err().to_string(), "gbt@1 is the champion of main already");
}

/// What is wrong with a configuration that is changed like this.
fn wrong(change: impl FnOnce(&mut Draft)) -> String {
    let mut draft = with_arms(&[("a", &[0.1], 0), ("b", &[0.1], 0)]).into_draft();
    change(&mut draft);
    Configuration::new(draft).map_or_else(|error| error.to_string(), |_| String::new())
}

/// So many steps of one millionth each.
fn steps(count: u32) -> Vec<Share> {
    (1..=count).map(|step| share(f64::from(step) / 1e6)).collect()
}

#[test]
fn the_bounds_of_arms_are_checked_each() {
    let with_steps = |count| wrong(|draft| draft.arms[1].steps = steps(count));
    assert_eq!(with_steps(20), "");
    for count in [0, 21] {
        let expected = format!("/arms/1/steps: lists {count} shares; it must list 1 to 20");
        assert_eq!(with_steps(count), expected);
    }
    let with_arms = |count: usize| {
        wrong(|draft| {
            let arms = (0..count).map(|i| ArmPlan {
                name: arm(&format!("arm-{i}")),
                steps: steps(1),
                ..draft.arms[0].clone()
            });
            draft.arms = arms.collect();
        })
    };
    assert_eq!(with_arms(8), "");
    assert_eq!(with_arms(9), "/arms: lists 9 arms; at most 8 are allowed");
    let repeated = wrong(|draft| draft.arms[1].name = arm("a"));
    assert_eq!(repeated, "/arms/1/name: a is the name of an arm before it");
    let main = wrong(|draft| draft.arms[1].name = Arm::main());
    assert!(main.starts_with("/arms/1/name: main is the arm of the endpoint's schedule"), "{main}");
    let held = |hold_minutes: u32| {
        let guard = r#"{"hold_minutes":0}"#;
        let guard = Guard { hold_minutes, ..serde_json::from_str(guard).unwrap() };
        wrong(|draft| draft.arms[1].guard = Some(guard))
    };
    assert_eq!((held(1), held(10_080)), (String::new(), String::new()));
    for minutes in [0, 10_081] {
        let expected = format!("/arms/1/guard/hold_minutes: is {minutes}; it must be 1 to 10080");
        assert_eq!(held(minutes), expected);
    }
}

#[test]
fn the_bounds_of_pins_are_checked_each() {
    let pinned = |keys: &mut dyn Iterator<Item = u32>| {
        let pins: Vec<Pin> = keys.map(|number| Pin { key: key(number), arm: arm("a") }).collect();
        wrong(|draft| draft.pins = pins)
    };
    assert_eq!(pinned(&mut (0..100)), "");
    assert_eq!(pinned(&mut (0..101)), "/pins: lists 101 keys; at most 100 are allowed");
    assert_eq!(pinned(&mut [1, 2, 1].into_iter()), "/pins/2/key: is pinned before");
}
