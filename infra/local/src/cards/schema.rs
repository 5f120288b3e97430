//! `infra/contract/card.schema.json` and the readers of cards agree.

use std::{fs, path::Path};

use jsonschema::Validator;
use proptest::{
    prelude::{Just, Strategy, prop_oneof, proptest},
    sample::Index,
};
use serde_json::{Value, json};

use super::AnyCard;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn schema() -> Validator {
    let text = fs::read_to_string(format!("{ROOT}/infra/contract/card.schema.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

/// The examples of the contract: a card of each engine, with every member.
fn examples() -> Vec<Value> {
    let read = |engine| {
        let file = format!("{ROOT}/infra/contract/examples/card-{engine}.json");
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    ["onnx", "function", "remote"].map(read).into()
}

/// The cards in a folder and below it.
fn cards(folder: &Path, found: &mut Vec<(String, Value)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cards(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let card: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            if card["model"].is_string() && card["endpoints"].is_array() {
                found.push((path.display().to_string(), card));
            }
        }
    }
}

#[test]
fn every_card_of_the_repository_fits_the_schema_and_is_read() {
    let (schema, mut found) = (schema(), Vec::new());
    for folder in ["functions/models", "infra/contract/examples", "infra/ctl", "tests"] {
        cards(&Path::new(ROOT).join(folder), &mut found);
    }
    assert!(found.len() > 25, "{} cards", found.len());
    for (file, card) in found {
        if let Err(error) = schema.validate(&card) {
            panic!("{file}: {}: {error}", error.instance_path());
        }
        if let Err(error) = AnyCard::parse(&card.to_string()) {
            panic!("{file}: {error}");
        }
    }
}

#[test]
fn what_the_rules_between_members_refuse_both_refuse() {
    let schema = schema();
    let card = &examples()[0];
    for (pointer, members) in [
        ("/inputs/0", json!({ "categories": ["a"], "range": [0, 1] })),
        ("/inputs/0", json!({ "categories": ["a"], "impute": 1 })),
        ("/inputs/0", json!({ "categories": ["a"], "type": "text" })),
        ("/inputs/0", json!({ "type": "text", "range": [0, 1] })),
        ("/inputs/0", json!({ "type": "bool", "range": [0, 1] })),
        ("/inputs/0", json!({ "type": "text", "impute": 1 })),
        ("/inputs/0", json!({ "impute": "a" })),
        ("/inputs/0", json!({ "type": "bool", "impute": 1 })),
        ("/inputs/0", json!({ "optional": true, "impute": 1 })),
        ("/inputs/0", json!({ "optional": true, "categories": ["a"] })),
        ("/inputs/0", json!({ "optional": true, "type": "i64" })),
        ("/inputs/0", json!({ "optional": true, "type": "bool" })),
    ] {
        let mut wrong = card.clone();
        let mut entry = members;
        entry["field"] = json!("/x");
        *wrong.pointer_mut(pointer).unwrap() = entry;
        assert!(!schema.is_valid(&wrong), "the schema accepts {wrong}");
        let error = AnyCard::parse(&wrong.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(pointer), "{error}");
    }
}

/// The pointers of a card's values, those below `sample` and `provenance` excepted: they are free.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let mut below = |name: &str, value: &Value| {
        if !["sample", "provenance"].contains(&name) {
            places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| below(&i.to_string(), value));
        }
        _ => {}
    }
}

#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Add(&'static str, Value),
}

fn change() -> impl Strategy<Value = Change> {
    // No null, which stands for an absent member, and no array of a text, which could be taken for an object
    // whose members have no names.
    let wrong = prop_oneof![
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(1.5)),
        Just(json!(1e9)),
        Just(json!(true)),
        Just(json!("")),
        Just(json!("A a")),
        Just(json!("/a")),
        Just(json!([])),
        Just(json!([7])),
        Just(json!({})),
        Just(json!({ "x": 1 })),
    ];
    let name = prop_oneof![
        Just("more"),
        Just("engine"),
        Just("type"),
        Just("impute"),
        Just("optional"),
        Just("range"),
        Just("length"),
        Just("categories"),
        Just("fields"),
        Just("onnx"),
    ];
    prop_oneof![
        wrong.clone().prop_map(Change::Replace),
        Just(Change::Remove),
        (name, wrong).prop_map(|(name, value)| Change::Add(name, value)),
    ]
}

/// Makes the change at the pointer.
fn changed(card: &Value, pointer: &str, change: Change) -> Value {
    let mut card = card.clone();
    match change {
        Change::Replace(value) => *card.pointer_mut(pointer).unwrap() = value,
        Change::Add(name, value) => {
            if let Some(Value::Object(members)) = card.pointer_mut(pointer) {
                members.insert(name.to_owned(), value);
            }
        }
        Change::Remove => {
            let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", ""));
            match card.pointer_mut(parent) {
                Some(Value::Object(members)) => _ = members.remove(name),
                Some(Value::Array(items)) => {
                    if let Ok(place) = name.parse() {
                        let _: Value = items.remove(place);
                    }
                }
                _ => {}
            }
        }
    }
    card
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_the_schema_refuses_the_readers_refuse(
        which in 0_usize..3,
        changes in proptest::collection::vec((proptest::prelude::any::<Index>(), change()), 1..3),
    ) {
        thread_local! {
            static SCHEMA: Validator = schema();
            static EXAMPLES: Vec<Value> = examples();
        }
        let mut card = EXAMPLES.with(|examples| examples[which].clone());
        for (index, change) in changes {
            let mut found = Vec::new();
            places(&card, "", &mut found);
            card = changed(&card, &found[index.index(found.len())], change);
        }
        let refused = SCHEMA.with(|schema| !schema.is_valid(&card));
        if refused {
            let read = AnyCard::parse(&card.to_string());
            assert!(read.is_err(), "the schema refuses what is read: {card}");
        }
    }
}
