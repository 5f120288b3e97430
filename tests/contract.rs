//! The public contract, `infra/contract/`: schemas, golden examples and the Rust types agree.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{fs, path::PathBuf, time::Duration};

use jsonschema::Validator;
use rendezvous_core::{
    Configuration, Failure, FailureKind, RequestMessage, ScoreMessage, memory::Position,
};
use rendezvous_tests::{CONFIGURATION, Does, World};
use serde_json::{Value, json};

fn read(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../infra", name].iter().collect();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(name: &str) -> Validator {
    let schema = serde_json::from_str(&read(&format!("contract/{name}.schema.json"))).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn valid(schema: &Validator, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    if let Err(error) = schema.validate(&value) {
        panic!("{error}, at {}: {text}", error.instance_path());
    }
}

#[test]
fn the_golden_request_is_read_and_written_to_the_byte() {
    for example in ["request", "request-skip", "request-replay", "request-ref"] {
        let golden = read(&format!("contract/examples/{example}.json"));
        valid(&schema("request"), &golden);
        let message = RequestMessage::parse(golden.as_bytes()).unwrap();
        let written = RequestMessage::write_payload(&message.envelope, &message.payload).unwrap();
        assert_eq!(written, golden.trim());
    }
}

#[test]
fn the_golden_scores_are_read_and_written_to_the_byte() {
    let request = read("contract/examples/request.json");
    let request = RequestMessage::parse(request.as_bytes()).unwrap();
    for example in ["score", "failure", "score-artifact"] {
        let golden = read(&format!("contract/examples/{example}.json"));
        valid(&schema("score"), &golden);
        let message = ScoreMessage::parse(golden.as_bytes()).unwrap();
        assert_eq!(message.envelope, request.envelope);
        let written =
            ScoreMessage::write(request.raw_envelope, &message.score, message.artifact.as_ref());
        let written = written.unwrap();
        assert_eq!(written, golden.trim());
    }
}

/// Each change makes the golden message wrong for the schema and for the types.
#[test]
fn what_the_schemas_refuse_the_types_refuse() {
    let refused = |schema: &Validator, message: &Value| {
        let text = serde_json::to_vec(message).unwrap();
        assert!(!schema.is_valid(message), "the schema accepts {message}");
        text
    };
    let request: Value = serde_json::from_str(&read("contract/examples/request.json")).unwrap();
    let schema_of_request = schema("request");
    for (pointer, wrong) in [
        ("/v", json!(2)),
        ("/envelope/endpoint", json!("Flight Delay")),
        ("/envelope/config", json!(-1)),
        ("/envelope/arm", json!("")),
        ("/envelope/key", json!("k".repeat(257))),
        ("/envelope/received_us", json!("now")),
        ("/envelope/id", json!(7)),
        ("/envelope", json!(null)),
    ] {
        let mut message = request.clone();
        *message.pointer_mut(pointer).unwrap() = wrong;
        let text = refused(&schema_of_request, &message);
        assert!(RequestMessage::parse(&text).is_err(), "the type accepts {message}");
    }
    let reference: Value =
        serde_json::from_str(&read("contract/examples/request-ref.json")).unwrap();
    for (pointer, wrong) in [
        ("/payload_ref/url", json!(7)),
        ("/payload_ref/sha256", json!("AB")),
        ("/payload_ref/bytes", json!(0)),
        ("/payload_ref/bytes", json!(5_000_001)),
        ("/payload_ref", json!(null)),
    ] {
        let mut message = reference.clone();
        *message.pointer_mut(pointer).unwrap() = wrong;
        let text = refused(&schema_of_request, &message);
        assert!(RequestMessage::parse(&text).is_err(), "the type accepts {message}");
    }
    let mut both = reference.clone();
    both["payload"] = json!(1);
    assert!(RequestMessage::parse(&refused(&schema_of_request, &both)).is_err());
    let score: Value = serde_json::from_str(&read("contract/examples/score.json")).unwrap();
    let schema_of_score = schema("score");
    for (field, wrong) in [
        ("v", json!(0)),
        ("model", json!("gbt")),
        ("artifact", json!("of mine")),
        ("artifact", json!("a".repeat(129))),
        ("artifact", json!(7)),
        ("started_us", json!(1.5)),
        ("score", json!(null)),
        ("failure", json!({"kind": "failed", "message": "both"})),
    ] {
        let mut message = score.clone();
        message[field] = wrong;
        let text = refused(&schema_of_score, &message);
        assert!(ScoreMessage::parse(&text).is_err(), "the type accepts {message}");
    }
}

#[test]
fn a_deadline_that_no_request_can_have_is_poison() {
    let golden = read("contract/examples/request.json");
    for deadline in ["1763794344123456", "1763795244123457", "0"] {
        let text = golden.replace("1763794344323456", deadline);
        let error = RequestMessage::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("deadline_us"), "{error}");
    }
}

#[test]
fn a_score_that_is_too_large_becomes_a_failure() {
    let golden = read("contract/examples/score.json");
    let large = golden.replace("0.1187", &format!("\"{}\"", "9".repeat(16_384)));
    let message = ScoreMessage::parse(large.as_bytes()).unwrap();
    let Err(Failure { kind, message }) = message.score.result else { panic!("it was taken") };
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.contains("at most 16384"), "{message}");
}

#[test]
fn configurations_fit_their_schema() {
    let schema = schema("endpoint");
    let examples = [
        "contract/examples/endpoint-arms.json",
        "contract/examples/endpoint-tensors.json",
        "local/endpoints/flight-delay.json",
    ]
    .map(read);
    for text in [CONFIGURATION].into_iter().chain(examples.iter().map(String::as_str)) {
        valid(&schema, text);
        let configuration = Configuration::parse(text).unwrap();
        let written = serde_json::to_string(&configuration).unwrap();
        valid(&schema, &written);
        assert_eq!(Configuration::parse(&written).unwrap(), configuration);
    }
    for (from, to, words) in [
        ("\"value\"", "\"valeu\"", "unknown field"),
        ("challenger", "spectator", "unknown variant"),
        ("a@1", "a", "name@version"),
        ("\"deadline_ms\": 1000", "\"deadline_ms\": 0", "1 to 29000"),
        ("\"/p\"", "\"p\"", "JSON pointer"),
    ] {
        let text = CONFIGURATION.replace(from, to);
        let error = Configuration::parse(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!schema.is_valid(&serde_json::from_str(&text).unwrap()), "{text}");
    }
    // What a schema cannot express.
    for (from, to, words) in [
        ("\"b@1\"", "\"a@1\"", "a@1 is listed twice"),
        ("\"d@1\"", "\"a@1\"", "both an observer and a choice of arm main"),
        ("\"after_ms\": 200", "\"after_ms\": 1000", "could never answer in time"),
    ] {
        let error = Configuration::parse(&CONFIGURATION.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn arms_that_the_schema_refuses_the_types_refuse() {
    let (schema, example) = (schema("endpoint"), read("contract/examples/endpoint-arms.json"));
    let example: Value = serde_json::from_str(&example).unwrap();
    for (pointer, wrong) in [
        ("/arms/0/name", json!("main")),
        ("/arms/0/steps", json!([])),
        ("/arms/0/steps/0", json!(0)),
        ("/arms/0/steps/2", json!(1.1)),
        ("/arms/0/step", json!(20)),
        ("/arms/0/guard/hold_minutes", json!(0)),
        ("/arms/0/guard/fallback_rate", json!(-0.1)),
        ("/arms/0/guard/loss", json!(1.5)),
        ("/arms/0/schedule/deadline_ms", json!(0)),
        ("/pins/0/key", json!("")),
        ("/observers/1/share", json!(0)),
    ] {
        let mut configuration = example.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match configuration.pointer_mut(parent).unwrap() {
            // A member that the example leaves out is added.
            Value::Object(members) => drop(members.insert(name.to_owned(), wrong)),
            other => *other.pointer_mut(&format!("/{name}")).unwrap() = wrong,
        }
        assert!(!schema.is_valid(&configuration), "the schema accepts {configuration}");
        let error = Configuration::parse(&configuration.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(pointer), "{pointer}: {error}");
    }
}

#[test]
fn tensors_that_the_schema_refuses_the_types_refuse() {
    let (schema, example) = (schema("endpoint"), read("contract/examples/endpoint-tensors.json"));
    let example: Value = serde_json::from_str(&example).unwrap();
    for (pointer, wrong) in [
        ("/tensors/inputs", json!([])),
        ("/tensors/outputs", json!([])),
        ("/tensors/inputs/0/name", json!("")),
        ("/tensors/outputs/0/name", json!("model")),
        ("/tensors/inputs/0/datatype", json!("FP8")),
        ("/tensors/inputs/0/shape", json!([])),
        ("/tensors/inputs/0/shape", json!([1, 1])),
        ("/tensors/inputs/0/shape", json!([-1, 0])),
        ("/tensors/inputs/0/shape", json!([-1, 65_537])),
        ("/tensors/inputs/0/shape", json!([-1, 1, 1, 1, 1, 1, 1, 1, 1])),
        ("/tensors/inputs/0/field", json!("distance")),
        ("/tensors/inputs/0/field", json!("/a~")),
        ("/tensors/inputs/0/field", json!("/a".repeat(33))),
        ("/tensors/inputs/2/fields", json!([])),
        ("/tensors/inputs/2/fields/0", json!("/~2")),
    ] {
        let mut configuration = example.clone();
        *configuration.pointer_mut(pointer).unwrap() = wrong;
        assert!(!schema.is_valid(&configuration), "the schema accepts {configuration}");
        let error = Configuration::parse(&configuration.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(pointer), "{pointer}: {error}");
    }
    for field in ["field", "fields", "filed"] {
        let mut configuration = example.clone();
        let tensor = if field == "field" { 2 } else { 0 };
        configuration["tensors"]["inputs"][tensor][field] = json!(["/a"]);
        assert!(!schema.is_valid(&configuration), "the schema accepts {configuration}");
        assert!(Configuration::parse(&configuration.to_string()).is_err(), "{configuration}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_system_puts_on_its_streams_fits_the_schemas() {
    let world = World::new().await;
    world.model("a@1", Does::Fail(5));
    world.model("b@1", Does::Score(5));
    let streams = [
        (schema("request"), world.system.input.subscribe(Position::Latest, 1), 1),
        (schema("score"), world.system.scores.subscribe(Position::Latest, 1), 2),
    ];
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    world.ask_with("{\"a\":1}", &[("traceparent", trace), ("Rendezvous-Key", "ключ")]).await;
    for (schema, lanes, expected) in streams {
        let mut seen = 0;
        for lane in lanes {
            tokio::select! {
                batch = lane.next(10, usize::MAX, Duration::ZERO) => for record in batch {
                    let text = std::str::from_utf8(&record.data).unwrap();
                    valid(&schema, text);
                    assert!(text.contains(trace));
                    assert_eq!(record.key.as_str(), "ключ");
                    seen += 1;
                },
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        assert_eq!(seen, expected);
    }
}
