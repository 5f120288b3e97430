//! The items of the ledger and of the tables of outcomes, endpoints and windows. Each attribute is
//! described once, here: all code that writes or reads an item uses these functions.
//!
//! Items are of the types of [`serde_dynamo`], as in the events of a table's change stream, and
//! need no SDK; `serde_dynamo` converts them from and to those of the SDK.

pub mod endpoint;
pub mod ledger;
pub mod outcome;
pub mod update;
pub mod window;

use std::{collections::HashMap, fmt::Display, marker::PhantomData, str::FromStr};

use bytes::Bytes;
use rendezvous_core::{Invalid, Json, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use serde_dynamo::AttributeValue;

/// The attributes of an item, or of a map within an item.
pub type Attributes = HashMap<String, AttributeValue>;

/// An attribute that holds a `T`.
#[derive(Debug)]
pub struct Attribute<T> {
    pub name: &'static str,
    /// The type that DynamoDB knows it by, e.g. `S`.
    pub kind: &'static str,
    write: fn(&T) -> AttributeValue,
    read: fn(&AttributeValue) -> Option<Result<T, Invalid>>,
    holds: PhantomData<fn() -> T>,
}

impl<T> Attribute<T> {
    const fn new(
        name: &'static str,
        kind: &'static str,
        write: fn(&T) -> AttributeValue,
        read: fn(&AttributeValue) -> Option<Result<T, Invalid>>,
    ) -> Self {
        Self { name, kind, write, read, holds: PhantomData }
    }

    /// The attribute's value.
    pub fn value(&self, of: &T) -> AttributeValue {
        (self.write)(of)
    }

    /// Sets the attribute.
    pub fn put(&self, of: &T, attributes: &mut Attributes) {
        attributes.insert(self.name.to_owned(), self.value(of));
    }

    /// Reads the attribute; `None` where there is none of this name.
    pub fn find(&self, attributes: &Attributes) -> Result<Option<T>, Invalid> {
        let Some(value) = attributes.get(self.name) else { return Ok(None) };
        match (self.read)(value) {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => Err(Invalid::new(format!("attribute {}: {error}", self.name))),
            None => {
                Err(Invalid::new(format!("attribute {} is not of type {}", self.name, self.kind)))
            }
        }
    }

    /// Reads an attribute that every item has.
    pub fn get(&self, attributes: &Attributes) -> Result<T, Invalid> {
        let found = self.find(attributes)?;
        found.ok_or_else(|| Invalid::new(format!("attribute {} is missing", self.name)))
    }

    /// Whether there is an attribute of this name.
    pub fn is_in(&self, attributes: &Attributes) -> bool {
        attributes.contains_key(self.name)
    }
}

/// A text (S).
const fn text<T: Display + FromStr<Err = Invalid>>(name: &'static str) -> Attribute<T> {
    Attribute::new(
        name,
        "S",
        |value| AttributeValue::S(value.to_string()),
        |value| s(value).map(str::parse),
    )
}

/// A text of any form (S).
const fn plain(name: &'static str) -> Attribute<String> {
    Attribute::new(
        name,
        "S",
        |value| AttributeValue::S(value.clone()),
        |value| s(value).map(|text| Ok(text.to_owned())),
    )
}

/// A value as JSON (S).
const fn json<T: Serialize + DeserializeOwned>(name: &'static str) -> Attribute<T> {
    Attribute::new(
        name,
        "S",
        // These types are made of texts and numbers: to write them as JSON cannot fail.
        |value| AttributeValue::S(serde_json::to_string(value).unwrap_or_default()),
        |value| s(value).map(parse_json),
    )
}

/// JSON of a client or of a model, byte for byte (S).
const fn opaque(name: &'static str) -> Attribute<Json> {
    Attribute::new(
        name,
        "S",
        |value| AttributeValue::S(value.as_str().to_owned()),
        |value| s(value).map(parse_json),
    )
}

/// A whole number (N).
const fn whole(name: &'static str) -> Attribute<i64> {
    Attribute::new(name, "N", |value| AttributeValue::N(value.to_string()), n)
}

/// A whole number that is not negative (N).
const fn unsigned(name: &'static str) -> Attribute<u64> {
    Attribute::new(
        name,
        "N",
        |value| AttributeValue::N(value.to_string()),
        |value| {
            let number = n(value)?;
            let negative = |_| Invalid::new("a negative number");
            Some(number.and_then(|number| u64::try_from(number).map_err(negative)))
        },
    )
}

/// An instant (N), in microseconds since the epoch.
const fn time(name: &'static str) -> Attribute<Timestamp> {
    Attribute::new(
        name,
        "N",
        |value| AttributeValue::N(value.as_micros().to_string()),
        |value| n(value).map(|micros| micros.map(Timestamp::from_micros)),
    )
}

/// Bytes of a fixed number (B).
const fn binary<const N: usize>(name: &'static str) -> Attribute<[u8; N]> {
    Attribute::new(
        name,
        "B",
        |value| AttributeValue::B(value.to_vec()),
        |value| {
            let AttributeValue::B(bytes) = value else { return None };
            let wrong = |_| Invalid::new(format!("{} bytes instead of {N}", bytes.len()));
            Some(bytes.as_slice().try_into().map_err(wrong))
        },
    )
}

/// Bytes of any number (B).
const fn bytes(name: &'static str) -> Attribute<Bytes> {
    Attribute::new(
        name,
        "B",
        |value| AttributeValue::B(value.to_vec()),
        |value| {
            let AttributeValue::B(bytes) = value else { return None };
            Some(Ok(Bytes::copy_from_slice(bytes)))
        },
    )
}

/// A truth value (BOOL).
const fn boolean(name: &'static str) -> Attribute<bool> {
    Attribute::new(
        name,
        "BOOL",
        |value| AttributeValue::Bool(*value),
        |value| if let AttributeValue::Bool(value) = value { Some(Ok(*value)) } else { None },
    )
}

fn s(value: &AttributeValue) -> Option<&str> {
    if let AttributeValue::S(text) = value { Some(text) } else { None }
}

fn n(value: &AttributeValue) -> Option<Result<i64, Invalid>> {
    let AttributeValue::N(digits) = value else { return None };
    Some(digits.parse().map_err(|_| Invalid::new("not a whole number")))
}

fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, Invalid> {
    serde_json::from_str(text).map_err(|error| Invalid::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rendezvous_core::{
        Arm, Decision, Envelope, Failure, FailureKind, Kind, Mailbox, Reason, RequestId, Score,
        mailbox::Opening,
        ports::{Entry, EntryKey},
    };

    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn mailbox() -> Mailbox {
        let id: RequestId = "0199aaaa-0000-7000-8000-000000000001".parse().unwrap();
        let time = Timestamp::from_micros;
        let envelope = Envelope {
            id,
            endpoint: "e".parse().unwrap(),
            config: 7,
            arm: Arm::main(),
            key: id.to_key(),
            received: time(1_763_794_344_123_456),
            deadline: time(1_763_794_345_123_456),
            traceparent: Some("00-ab-01".to_owned()),
            skip: Vec::new(),
            replay: None,
        };
        let score = |model: &str, micros, result| Score {
            model: model.parse().unwrap(),
            started: time(micros - 1),
            finished: time(micros),
            result,
        };
        let decision = Decision {
            kind: Kind::StandIn,
            reason: Reason::Survivor,
            model: Some("b@1".parse().unwrap()),
            score: Some(json("{\"p\": 0.50,\"p\":1e400}")),
            decided: time(1_763_794_344_200_000),
            deadline: envelope.deadline,
            config: 7,
            arm: Arm::main(),
            champion: "a@1".parse().unwrap(),
            seen: vec!["a@1".parse().unwrap(), "b@1".parse().unwrap()],
            presumed: vec!["c@1".parse().unwrap()],
        };
        Mailbox {
            envelope: envelope.into(),
            opening: Some(Opening {
                payload_sha256: [7; 32],
                owner: Some([9; 16]),
                opened: Some(time(1_763_794_344_123_456)),
                accepted: true,
            }),
            scores: vec![
                score("a@1", 100, Err(Failure::new(FailureKind::TimedOut, "after 5 s"))),
                score("b@1", 200, Ok(json("{\"p\": 0.50,\"p\":1e400}"))),
            ],
            decision: Some(decision.into()),
        }
    }

    #[test]
    fn a_mailbox_is_the_same_after_its_item() {
        let full = mailbox();
        assert_eq!(ledger::mailbox(&ledger::item(&full)).unwrap(), full);
        let empty = Mailbox::empty(full.envelope.clone());
        assert_eq!(ledger::mailbox(&ledger::item(&empty)).unwrap(), empty);
    }

    /// Items of before must stay readable, and other versions of this code read what this one
    /// writes: names and types must not change.
    #[test]
    fn the_layout_of_the_ledger_s_items_is_the_published_one() {
        let mut item = ledger::item(&mailbox());
        let expires = ledger::expires_at(mailbox().envelope.received, Duration::from_hours(1));
        ledger::EXPIRES_AT.put(&expires, &mut item);
        let expected = serde_json::json!({
            "id": { "S": "0199aaaa-0000-7000-8000-000000000001" },
            "envelope": { "S": serde_json::to_string(&mailbox().envelope).unwrap() },
            "expires_at": { "N": "1763797945" },
            "payload_sha256": { "B": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=" },
            "accepted": { "BOOL": true },
            "owner": { "B": "CQkJCQkJCQkJCQkJCQkJCQ==" },
            "opened_us": { "N": "1763794344123456" },
            "model:a@1": { "M": {
                "started_us": { "N": "99" },
                "finished_us": { "N": "100" },
                "failure": { "S": "{\"kind\":\"timed_out\",\"message\":\"after 5 s\"}" },
            } },
            "model:b@1": { "M": {
                "started_us": { "N": "199" },
                "finished_us": { "N": "200" },
                "score": { "S": "{\"p\": 0.50,\"p\":1e400}" },
            } },
            "decision": { "S": serde_json::to_string(&mailbox().decision).unwrap() },
        });
        assert_eq!(serde_json::to_value(item).unwrap(), expected);
    }

    #[test]
    fn an_outcome_is_the_same_after_its_item_and_the_layout_is_the_published_one() {
        let reported = outcome::Reported {
            request: mailbox().envelope.id,
            endpoint: "e".parse().unwrap(),
            outcome: json("{ \"late\" :1.0}"),
            reported: Timestamp::from_micros(-5),
        };
        let item = outcome::item(&reported);
        assert_eq!(outcome::read(&item).unwrap(), reported);
        let expected = serde_json::json!({
            "request": { "S": "0199aaaa-0000-7000-8000-000000000001" },
            "endpoint": { "S": "e" },
            "outcome": { "S": "{ \"late\" :1.0}" },
            "reported_us": { "N": "-5" },
        });
        assert_eq!(serde_json::to_value(item).unwrap(), expected);
    }

    #[test]
    fn an_entry_is_the_same_after_its_item_and_the_layout_is_the_published_one() {
        let minute = "0029396572".parse().unwrap();
        let (series, part) = ("e/windows".to_owned(), "shardId-0/1/a@1".to_owned());
        let key = EntryKey { series, minute, part };
        let expires = Some(Timestamp::from_micros(1_763_794_344_000_001));
        let entry = Entry { key, body: Bytes::from_static(&[1, 2]), expires };
        let item = window::item(&entry);
        let expected = serde_json::json!({
            "series": { "S": "e/windows" },
            "entry": { "S": "0029396572/shardId-0/1/a@1" },
            "body": { "B": "AQI=" },
            "expires_at": { "N": "1763794345" },
        });
        assert_eq!(serde_json::to_value(&item).unwrap(), expected);
        let expires = Some(Timestamp::from_micros(1_763_794_345_000_000));
        assert_eq!(window::read(&item).unwrap(), Entry { expires, ..entry.clone() });
        let kept = Entry { expires: None, ..entry };
        assert_eq!(window::read(&window::item(&kept)).unwrap(), kept);
    }

    #[test]
    fn what_is_wrong_with_an_item_is_named() {
        let wrong = |change: fn(&mut Attributes)| {
            let mut item = ledger::item(&mailbox());
            change(&mut item);
            ledger::mailbox(&item).unwrap_err().to_string()
        };
        let insert = |item: &mut Attributes, name: &str, value| {
            item.insert(name.to_owned(), value);
        };
        let message = wrong(|item| drop(item.remove("envelope")));
        assert_eq!(message, "attribute envelope is missing");
        let message = wrong(|item| {
            item.insert("decision".to_owned(), AttributeValue::N("1".to_owned()));
        });
        assert_eq!(message, "attribute decision is not of type S");
        let message = wrong(|item| {
            item.insert("payload_sha256".to_owned(), AttributeValue::B(vec![1]));
        });
        assert_eq!(message, "attribute payload_sha256: 1 bytes instead of 32");
        let message = wrong(|item| {
            item.insert("model:a@1".to_owned(), AttributeValue::Null(true));
        });
        assert_eq!(message, "attribute model:a@1 is not of type M");
        let mut item = outcome::key(mailbox().envelope.id, &"e".parse().unwrap());
        insert(&mut item, "outcome", AttributeValue::S("1".to_owned()));
        insert(&mut item, "reported_us", AttributeValue::N("1.5".to_owned()));
        let message = outcome::read(&item).unwrap_err().to_string();
        assert_eq!(message, "attribute reported_us: not a whole number");
    }
}
