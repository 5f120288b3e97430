use super::*;

const EXAMPLE: &str = include_str!("../../../../infra/contract/examples/endpoint.json");
const ARMS: &str = include_str!("../../../../infra/contract/examples/endpoint-arms.json");

#[test]
fn an_unknown_field_is_refused_where_people_write_and_ignored_where_it_is_stored() {
    let text = r#"{"schedule":{"choices":[{"model":"a@1","afterms":9}],"deadline_ms":100}}"#;
    let refused = |text: &str| Configuration::parse(text).unwrap_err().to_string();
    assert_eq!(refused(text), "/schedule/choices/0/afterms: unknown field");
    let misspelt = refused(&text.replace("deadline_ms", "deadline"));
    assert!(misspelt.starts_with("/schedule/choices/0/afterms: unknown field; /schedule"));
    let stored: Configuration = serde_json::from_str(text).unwrap();
    assert_eq!(stored, Configuration::parse(&text.replace(",\"afterms\":9", "")).unwrap());
}

#[test]
fn the_pointer_to_the_truth_is_kept_and_checked() {
    let configuration = Configuration::parse(EXAMPLE).unwrap();
    assert_eq!(configuration.outcome(), Some("/late"));
    let error = Configuration::parse(&EXAMPLE.replace("/late", "late")).unwrap_err();
    assert!(error.to_string().starts_with("/outcome: \"late\" is not a JSON pointer"), "{error}");
}

#[test]
fn a_configuration_is_written_as_it_was_read() {
    for example in [EXAMPLE, ARMS] {
        let read = Configuration::parse(example).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(example).unwrap());
    }
}

#[test]
fn every_mistake_is_named_with_its_pointer() {
    let wrong = ARMS
        .replace("\"after_ms\": 250", "\"after_ms\": 900")
        .replace("\"deadline_ms\": 800", "\"deadline_ms\": 0");
    let error = Configuration::parse(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("/schedule/deadline_ms: is 0; it must be 1 to 29000"), "{error}");
    assert!(error.contains("; /schedule/choices/1/after_ms: prior@1 opens after"), "{error}");

    let wrong = ARMS
        .replace("0.05, 0.25, 1.0", "0.25, 0.05, 0.9, 1.2")
        .replace("\"model\": \"mlp@1\"", "\"model\": 7");
    let error = Configuration::parse(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("/arms/0/steps/3: 1.2 is no share"), "{error}");

    let wrong = ARMS
        .replace("0.05, 0.25, 1.0", "0.25, 0.05, 1.0")
        .replace("\"step\": 0", "\"step\": 3")
        .replace("\"arm\": \"gbt\"", "\"arm\": \"gb\"")
        .replace("\"model\": \"mlp@1\"", "\"model\": \"gbt@2\"");
    let error = Configuration::parse(&wrong).unwrap_err().to_string();
    for mistake in [
        "/arms/0/step: is 3; it must be 0 to 2",
        "/arms/0/steps/1: must be greater than 0 and than the step before it",
        "/pins/0/arm: there is no arm gb",
        "/observers/0/model: gbt@2 is both an observer and a choice of arm gbt",
    ] {
        assert!(error.contains(mistake), "{mistake} in {error}");
    }
}

#[test]
fn a_configuration_has_its_arms_observers_and_models() {
    let configuration = Configuration::parse(ARMS).unwrap();
    let arms: Vec<&str> = configuration.arms().map(|(arm, _)| arm.as_str()).collect();
    assert_eq!(arms, ["main", "gbt"]);
    let models: Vec<&str> = configuration.models().map(ModelId::as_str).collect();
    assert_eq!(models, ["logistic@1", "prior@1", "gbt@2", "mlp@1", "big@3"]);
    let arm: Arm = "gbt".parse().unwrap();
    assert_eq!(configuration.schedule(&arm).champion().as_str(), "gbt@2");
    assert_eq!(configuration.schedule(&Arm::main()).champion().as_str(), "logistic@1");
}

#[test]
fn what_is_wrong_with_the_whole_has_no_pointer_and_a_pointer_may_be_empty() {
    let error = Configuration::parse(&format!("{EXAMPLE} x")).unwrap_err().to_string();
    assert!(error.starts_with("trailing characters"), "{error}");
    let whole = EXAMPLE.replace("/late", "");
    assert_eq!(Configuration::parse(&whole).unwrap().outcome(), Some(""));
}

/// The example with observers of these models and shares.
fn observed_by(
    observers: impl IntoIterator<Item = (String, Share)>,
) -> Result<Configuration, Invalid> {
    let observer = |(model, share): (String, Share)| Observer {
        share,
        ..Observer::new(model.parse().unwrap(), Role::Canary)
    };
    let observers = observers.into_iter().map(observer).collect();
    Configuration::new(Draft { observers, ..Configuration::parse(EXAMPLE).unwrap().into_draft() })
}

#[test]
fn the_bounds_of_observers_are_checked_each() {
    let numbered = |count: usize| (0..count).map(|i| (format!("o{i}@1"), Share::ALL));
    let wrong = |observers: &[(&str, Share)]| {
        let observers = observers.iter().map(|(model, share)| ((*model).to_owned(), *share));
        observed_by(observers).unwrap_err().to_string()
    };
    assert!(observed_by(numbered(12)).is_ok());
    let error = observed_by(numbered(13)).unwrap_err().to_string();
    assert!(error.starts_with("/observers: lists 13 models; at most 12 are allowed"), "{error}");
    let twice = wrong(&[("o@1", Share::ALL), ("p@1", Share::ALL), ("o@1", Share::ALL)]);
    assert_eq!(twice, "/observers/2/model: o@1 is listed twice");
    let none = wrong(&[("o@1", Share::ALL), ("p@1", Share::NONE)]);
    assert_eq!(none, "/observers/1/share: is 0; an observer of no request must not be listed");
}

#[test]
fn an_endpoint_has_at_most_20_models_on_all_schedules_and_among_the_observers() {
    let schedule = |models: std::ops::Range<usize>| {
        let choices: Vec<_> = models.map(|i| format!(r#"{{"model":"m{i}@1"}}"#)).collect();
        let text = format!(r#"{{"choices":[{}],"deadline_ms":100}}"#, choices.join(","));
        serde_json::from_str::<Schedule>(&text).unwrap()
    };
    let mut draft =
        observed_by((0..12).map(|i| (format!("o{i}@1"), Share::ALL))).unwrap().into_draft();
    draft.schedule = schedule(0..8);
    let configuration = Configuration::new(draft.clone()).unwrap();
    assert_eq!(configuration.models().count(), 20);
    let arm = ArmPlan {
        name: "a".parse().unwrap(),
        schedule: schedule(1..9),
        steps: vec![Share::ALL],
        step: 0,
        guard: None,
    };
    draft.arms.push(arm);
    let error = Configuration::new(draft).unwrap_err().to_string();
    assert_eq!(error, "21 models are listed; at most 20 may be");
}

#[test]
fn a_key_is_scored_by_an_observer_whose_share_is_above_its_position() {
    let (endpoint, key) = ("e".parse().unwrap(), "k".parse().unwrap());
    let position = Share::position(&endpoint, &["observer", "o@1"], &key);
    let above = Share::new(position.as_fraction() + 1e-6).unwrap();
    let skips =
        |share| observed_by([("o@1".to_owned(), share)]).unwrap().skips(&endpoint, &key).len();
    assert_eq!((skips(position), skips(above)), (1, 0));
}

#[test]
fn features_are_pointers_each_listed_once() {
    let with = |features: &str| {
        let text = r#"{ "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 500 },
                        "features": FEATURES }"#;
        Configuration::parse(&text.replace("FEATURES", features))
    };
    let configuration = with(r#"["/distance", "/carrier"]"#).unwrap();
    assert_eq!(configuration.features(), ["/distance", "/carrier"]);
    let wrong = |features: &str| with(features).unwrap_err().to_string();
    let pointer = "/features/1: \"b\" is not a JSON pointer: it must begin with '/'";
    assert_eq!(wrong(r#"["/a", "b"]"#), pointer);
    assert_eq!(wrong(r#"["/a", "/a"]"#), "/features/1: lists \"/a\" again");
    let many: Vec<String> = (0..65).map(|i| format!("/{i}")).collect();
    let many = wrong(&format!("{many:?}"));
    assert_eq!(many, "/features: lists 65 fields; at most 64 are allowed");
}

#[test]
fn the_horizon_of_outcomes_is_seven_days_unless_it_is_given_and_a_baseline_has_a_name() {
    let with =
        |fields: &str| Configuration::parse(&EXAMPLE.replacen('{', &format!("{{{fields}"), 1));
    let example = Configuration::parse(EXAMPLE).unwrap();
    assert_eq!(example.outcome_horizon(), Duration::from_hours(7 * 24));
    assert_eq!(example.baseline(), None);
    let given =
        with(r#" "outcome_horizon_days": 30, "baseline": "2026-11-01_2026-11-08","#).unwrap();
    assert_eq!(given.outcome_horizon(), Duration::from_hours(30 * 24));
    assert_eq!(given.baseline(), Some("2026-11-01_2026-11-08"));
    let error = with(r#""outcome_horizon_days": 0, "baseline": "A/b","#).unwrap_err().to_string();
    assert!(error.starts_with("/outcome_horizon_days: is 0; it must be 1 to 366"), "{error}");
    assert!(error.contains("/baseline: \"A/b\" must have 1 to 64"), "{error}");
}
