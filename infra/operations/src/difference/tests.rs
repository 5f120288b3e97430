use super::*;

#[test]
fn a_change_of_the_features_is_said() {
    let text = include_str!("../../../contract/examples/endpoint-tensors.json");
    let with = |features: [&str; 2]| {
        let mut draft = Configuration::parse(text).unwrap().into_draft();
        draft.features = features.map(str::to_owned).to_vec();
        Configuration::new(draft).unwrap()
    };
    let (before, after) = (with(["/distance", "/carrier"]), with(["/distance", "/weather/wind"]));
    let changes = Difference::between(&before, &after).changes;
    assert_eq!(
        changes,
        [
            "the distribution of \"/weather/wind\" in the requests is watched",
            "the distribution of \"/carrier\" is not watched any more",
        ]
    );
}

#[test]
fn a_change_of_the_tensors_is_said() {
    let text = include_str!("../../../contract/examples/endpoint-tensors.json");
    let parsed = |text: &str| Configuration::parse(text).unwrap();
    let changes =
        |before: &Configuration, after: &Configuration| Difference::between(before, after).changes;
    let with = parsed(text);
    let mut draft = with.clone().into_draft();
    draft.tensors = None;
    let without = Configuration::new(draft).unwrap();
    let new = "tensors are new: inputs distance, carrier, weather, last_delays; outputs \
               delay_probability";
    assert_eq!(changes(&without, &with), [new]);
    assert_eq!(changes(&with, &without), ["there are no tensors any more"]);
    let renamed = text.replace("\"carrier\"", "\"airline\"").replace("INT16", "INT32");
    assert_eq!(
        changes(&with, &parsed(&renamed)),
        [
            "input \"airline\" is new: BYTES, shape [-1, 1], of [\"/carrier\"]",
            "input \"last_delays\" becomes INT32, shape [-1, 4], of [\"/last_delays\"]",
            "input \"carrier\" is not there any more",
        ]
    );
    let mut draft = with.clone().into_draft();
    draft.tensors.as_mut().unwrap().inputs.reverse();
    let turned = Configuration::new(draft).unwrap();
    let order = "only the order of arms, pins, observers, features or tensors changes";
    assert_eq!(changes(&with, &turned), [order]);
    assert!(changes(&with, &with).is_empty());
}

#[test]
fn a_change_of_the_horizon_of_outcomes_and_of_the_baseline_is_said() {
    let text = include_str!("../../../contract/examples/endpoint-tensors.json");
    let before = Configuration::parse(text).unwrap();
    let mut draft = before.clone().into_draft();
    (draft.outcome_horizon_days, draft.baseline) = (Some(7), None);
    let same = Configuration::new(draft.clone()).unwrap();
    (draft.outcome_horizon_days, draft.baseline) = (Some(30), Some("spring".to_owned()));
    let after = Configuration::new(draft).unwrap();
    let changes = Difference::between(&same, &after).changes;
    assert_eq!(
        changes,
        ["outcomes are awaited for 30 days, so far 7", "the baseline becomes spring"]
    );
    let back = Difference::between(&after, &before).changes;
    assert_eq!(back[1], "the baseline becomes that of the first seven days");
}
