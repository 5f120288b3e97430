//! The two messages, and the names in them.

use std::{fmt::Display, str::FromStr};

use rendezvous_core::{
    Arm, Artifact, EndpointName, Json, Key, Minute, ModelId, Payload, RequestId, RequestMessage,
    ScoreMessage, limits::MAX_DEPTH, tensors::pointer_parts,
};
use serde_json::value::{RawValue, to_raw_value};

/// A record of the stream `input`: what was read and is written again reads as the same.
pub(crate) fn request(bytes: &[u8]) {
    let Ok(read) = RequestMessage::parse(bytes) else { return };
    let written = RequestMessage::write_payload(&read.envelope, &read.payload).unwrap();
    let again = RequestMessage::parse(&written).unwrap();
    assert_eq!(again.envelope, read.envelope);
    match (&again.payload, &read.payload) {
        (Payload::Inline(again), Payload::Inline(read)) => assert_eq!(again.get(), read.get()),
        (Payload::Stored(again), Payload::Stored(read)) => assert_eq!(again, read),
        _ => panic!("another form of the payload"),
    }
    // A model takes the payload by this.
    if let Payload::Inline(raw) = read.payload {
        let _ = Json::parse(raw.get()).map(|json| assert_eq!(json.as_str(), raw.get()));
    }
    let failed = ScoreMessage::write(read.raw_envelope, &failure(), None).unwrap();
    let score = ScoreMessage::parse(&failed).unwrap();
    assert_eq!(score.envelope, read.envelope, "a model hands the envelope back as it came");
}

fn failure() -> rendezvous_core::Score {
    rendezvous_core::Score {
        model: "a@1".parse().unwrap(),
        started: rendezvous_core::Timestamp::from_micros(1),
        finished: rendezvous_core::Timestamp::from_micros(2),
        result: Err(rendezvous_core::Failure::new(rendezvous_core::FailureKind::Failed, "no")),
    }
}

/// A record of the stream `scores`.
pub(crate) fn score(bytes: &[u8]) {
    let Ok(read) = ScoreMessage::parse(bytes) else { return };
    let envelope: Box<RawValue> = to_raw_value(&*read.envelope).unwrap();
    let written = ScoreMessage::write(&envelope, &read.score, read.artifact.as_ref()).unwrap();
    let again = ScoreMessage::parse(&written).unwrap();
    assert_eq!(again.envelope, read.envelope);
    assert_eq!(again.score, read.score);
    assert_eq!(again.artifact, read.artifact);
    if let Ok(score) = &read.score.result {
        assert!(depth(score.as_str()) <= MAX_DEPTH, "a score is nested deeper than JSON may be");
    }
}

/// How deep arrays and objects nest, counted in another way than by the core.
fn depth(json: &str) -> usize {
    fn of(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(list) => 1 + list.iter().map(of).max().unwrap_or(0),
            serde_json::Value::Object(map) => 1 + map.values().map(of).max().unwrap_or(0),
            _ => 0,
        }
    }
    // A number that no double holds is valid JSON, and no `Value`.
    serde_json::from_str(json).map_or(0, |value| of(&value))
}

/// Names in paths, headers and messages: each is shown as it was read.
pub(crate) fn names(bytes: &[u8]) {
    fn same<T: FromStr + Display>(text: &str) {
        if let Ok(name) = text.parse::<T>() {
            assert_eq!(name.to_string(), text);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    same::<EndpointName>(text);
    same::<ModelId>(text);
    same::<Key>(text);
    same::<Arm>(text);
    same::<Artifact>(text);
    same::<Minute>(text);
    if let Ok(id) = text.parse::<RequestId>() {
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
    }
    if let Some(parts) = pointer_parts(text) {
        let escaped = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
        assert_eq!(parts.iter().map(escaped).collect::<String>(), text);
    }
    if let Ok(json) = Json::parse(text) {
        assert_eq!(json.as_str(), text.trim_matches([' ', '\n', '\r', '\t']));
        assert!(depth(json.as_str()) <= MAX_DEPTH);
        assert_eq!(Json::parse(json.as_str()).unwrap(), json);
    }
}
