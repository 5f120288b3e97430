//! The items of the ledger, of the table of outcomes and of the table of endpoints: each attribute is described here once,
//! and everybody who writes or reads an item does it with these functions.
//!
//! An item is [`serde_dynamo`]'s, as in the events of a table's change stream; it needs no SDK.
//! `serde_dynamo` also converts it from and to an item of the SDK.

use std::{
    collections::HashMap, fmt::Display, marker::PhantomData, str::FromStr, sync::Arc,
    time::Duration,
};

use rendezvous_core::{
    Configuration, Decision, EndpointName, Envelope, Failure, Invalid, Json, Mailbox, ModelId,
    Provenance, Publication, RequestId, Score, Timestamp, mailbox::Opening,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_dynamo::{AttributeValue, Item};

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

/// The ledger: one item for each request.
pub mod ledger {
    use super::{
        Arc, Attribute, AttributeValue, Attributes, Decision, Duration, Envelope, Failure, Invalid,
        Item, Json, Mailbox, ModelId, Opening, RequestId, Score, Timestamp, binary, boolean, json,
        opaque, text, time, whole,
    };

    /// The request's id: the key.
    pub const ID: Attribute<RequestId> = text("id");
    /// The envelope. Written once, by whoever creates the item.
    pub const ENVELOPE: Attribute<Envelope> = json("envelope");
    /// Seconds since the epoch, for DynamoDB's time to live. Written with the envelope.
    pub const EXPIRES_AT: Attribute<i64> = whole("expires_at");
    /// The decision. Written once; no attribute changes thereafter.
    pub const DECISION: Attribute<Decision> = json("decision");

    /// Opening: SHA-256 of the payload. Written by ingress, when it opens the mailbox.
    pub const PAYLOAD_SHA256: Attribute<[u8; 32]> = binary("payload_sha256");
    /// Opening: whether the stream has accepted the request. Written by ingress: false when it
    /// opens the mailbox, true once the stream has accepted the request.
    pub const ACCEPTED: Attribute<bool> = boolean("accepted");
    /// Opening: identifies the caller. Written by ingress for requests with an idempotency key; absent
    /// in items written before version 0.2.
    pub const OWNER: Attribute<[u8; 16]> = binary("owner");
    /// Opening: `received_us` of the envelope that the mailbox was last opened with. Written with the
    /// envelope by ingress; absent in items written before version 0.2.
    pub const OPENED: Attribute<Timestamp> = time("opened_us");

    /// Before a model's id: the attribute (M) that holds the model's entry, that is, its score or
    /// its failure. Written once for each model, by rendezvous, before the decision.
    const MODEL: &str = "model:";

    /// Entry: when the model began.
    pub const STARTED: Attribute<Timestamp> = time("started_us");
    /// Entry: when the model finished.
    pub const FINISHED: Attribute<Timestamp> = time("finished_us");
    /// Entry: the score, byte for byte. An entry has either this or `failure`.
    pub const SCORE: Attribute<Json> = opaque("score");
    /// Entry: the failure.
    pub const FAILURE: Attribute<Failure> = json("failure");

    /// The attributes of an opening, as ingress writes them. [`read_opening`] reads them.
    pub fn opening(opening: &Opening) -> Attributes {
        let Opening { payload_sha256, owner, opened, accepted } = opening;
        let mut attributes = Attributes::new();
        PAYLOAD_SHA256.put(payload_sha256, &mut attributes);
        ACCEPTED.put(accepted, &mut attributes);
        if let Some(owner) = owner {
            OWNER.put(owner, &mut attributes);
        }
        if let Some(opened) = opened {
            OPENED.put(opened, &mut attributes);
        }
        attributes
    }

    /// The opening; `None` where the mailbox was created by a score or a decision.
    pub fn read_opening(item: &Attributes) -> Result<Option<Opening>, Invalid> {
        let Some(payload_sha256) = PAYLOAD_SHA256.find(item)? else { return Ok(None) };
        Ok(Some(Opening {
            payload_sha256,
            owner: OWNER.find(item)?,
            opened: OPENED.find(item)?,
            accepted: ACCEPTED.find(item)?.unwrap_or(false),
        }))
    }

    /// The key of a request's item.
    pub fn key(id: RequestId) -> Item {
        let mut key = Item::default();
        ID.put(&id, &mut key);
        key
    }

    /// Name of the attribute that holds the model's entry.
    pub fn entry_name(model: &ModelId) -> String {
        [MODEL, model.as_str()].concat()
    }

    /// The entry of a score or a failure.
    pub fn entry(score: &Score) -> AttributeValue {
        let mut entry = Attributes::new();
        STARTED.put(&score.started, &mut entry);
        FINISHED.put(&score.finished, &mut entry);
        match &score.result {
            Ok(score) => SCORE.put(score, &mut entry),
            Err(failure) => FAILURE.put(failure, &mut entry),
        }
        AttributeValue::M(entry)
    }

    fn read_entry(model: &str, entry: &AttributeValue) -> Result<Score, Invalid> {
        let AttributeValue::M(entry) = entry else {
            return Err(Invalid::new(format!("attribute {MODEL}{model} is not of type M")));
        };
        let result = match SCORE.find(entry)? {
            Some(score) => Ok(score),
            None => Err(FAILURE.get(entry)?),
        };
        let (started, finished) = (STARTED.get(entry)?, FINISHED.get(entry)?);
        Ok(Score { model: model.parse()?, started, finished, result })
    }

    /// When an item may expire: `retention` after the request was received, in seconds since the
    /// epoch, rounded up, so that the item exists at least as long as `retention` says.
    pub fn expires_at(received: Timestamp, retention: Duration) -> i64 {
        (received + retention).as_micros().div_euclid(1_000_000) + 1
    }

    /// The item of a mailbox, without its time to live: [`EXPIRES_AT`] is the table's matter.
    pub fn item(mailbox: &Mailbox) -> Item {
        let mut item = key(mailbox.envelope.id);
        ENVELOPE.put(&mailbox.envelope, &mut item);
        if let Some(opened) = &mailbox.opening {
            item.extend(opening(opened));
        }
        for score in &mailbox.scores {
            item.insert(entry_name(&score.model), entry(score));
        }
        if let Some(decision) = &mailbox.decision {
            DECISION.put(decision, &mut item);
        }
        item
    }

    /// The mailbox that an item holds. Its scores are in order of their finish, because an item's
    /// attributes have no order.
    pub fn mailbox(item: &Attributes) -> Result<Mailbox, Invalid> {
        let mut scores = Vec::new();
        for (name, value) in item {
            if let Some(model) = name.strip_prefix(MODEL) {
                scores.push(read_entry(model, value)?);
            }
        }
        scores.sort_by(|a, b| (a.finished, &a.model).cmp(&(b.finished, &b.model)));
        Ok(Mailbox {
            envelope: Arc::new(ENVELOPE.get(item)?),
            opening: read_opening(item)?,
            scores,
            decision: DECISION.find(item)?.map(Arc::new),
        })
    }
}

/// The table of outcomes: one item for each request and endpoint, replaced as a whole by the next
/// outcome that a client reports. Written by ingress.
pub mod outcome {
    use super::{
        Attribute, Attributes, EndpointName, Invalid, Item, Json, RequestId, Timestamp, opaque,
        text, time,
    };

    /// The request's id: the partition key.
    pub const REQUEST: Attribute<RequestId> = text("request");
    /// The endpoint's name: the sort key.
    pub const ENDPOINT: Attribute<EndpointName> = text("endpoint");
    /// The outcome, byte for byte.
    pub const OUTCOME: Attribute<Json> = opaque("outcome");
    /// When ingress received it.
    pub const REPORTED: Attribute<Timestamp> = time("reported_us");

    /// What an item holds.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Reported {
        pub request: RequestId,
        pub endpoint: EndpointName,
        pub outcome: Json,
        pub reported: Timestamp,
    }

    /// The key of an item.
    pub fn key(request: RequestId, endpoint: &EndpointName) -> Item {
        let mut key = Item::default();
        REQUEST.put(&request, &mut key);
        ENDPOINT.put(endpoint, &mut key);
        key
    }

    /// The item of an outcome.
    pub fn item(reported: &Reported) -> Item {
        let mut item = key(reported.request, &reported.endpoint);
        OUTCOME.put(&reported.outcome, &mut item);
        REPORTED.put(&reported.reported, &mut item);
        item
    }

    /// The outcome that an item holds.
    pub fn read(item: &Attributes) -> Result<Reported, Invalid> {
        Ok(Reported {
            request: REQUEST.get(item)?,
            endpoint: ENDPOINT.get(item)?,
            outcome: OUTCOME.get(item)?,
            reported: REPORTED.get(item)?,
        })
    }
}

/// The table of endpoints: one item for each published version, written once, and for each endpoint
/// one pointer item that names the current version. Written by whoever publishes.
pub mod endpoint {
    use super::{
        Attribute, Attributes, Configuration, EndpointName, Invalid, Provenance, Publication,
        Timestamp, json, text, time, unsigned,
    };

    /// The `version` of the pointer item.
    pub const POINTER: u64 = 0;

    /// The endpoint's name: the partition key.
    pub const NAME: Attribute<EndpointName> = text("name");
    /// The version, 1, 2, …, or [`POINTER`]: the sort key.
    pub const VERSION: Attribute<u64> = unsigned("version");
    /// Pointer: the current version.
    pub const CURRENT: Attribute<u64> = unsigned("current");
    /// Version: the configuration.
    pub const CONFIGURATION: Attribute<Configuration> = json("configuration");
    /// Version: when it was published.
    pub const PUBLISHED: Attribute<Timestamp> = time("published_us");
    /// Version: who published it and why. Absent in items written before version 0.2.
    pub const PROVENANCE: Attribute<Provenance> = json("provenance");
    /// Version: the version that it replaced. Absent for the first, and in items written before
    /// version 0.2.
    pub const REPLACED: Attribute<u64> = unsigned("replaced");

    /// The key of an item.
    pub fn key(name: &EndpointName, version: u64) -> Attributes {
        let mut key = Attributes::new();
        NAME.put(name, &mut key);
        VERSION.put(&version, &mut key);
        key
    }

    /// The item of a version.
    pub fn version(
        name: &EndpointName,
        configuration: &Configuration,
        publication: &Publication,
    ) -> Attributes {
        let Publication { version, provenance, published, replaced } = publication;
        let mut item = key(name, *version);
        CONFIGURATION.put(configuration, &mut item);
        PUBLISHED.put(published, &mut item);
        if let Some(provenance) = provenance {
            PROVENANCE.put(provenance, &mut item);
        }
        if let Some(replaced) = replaced {
            REPLACED.put(replaced, &mut item);
        }
        item
    }

    /// The publication that the item of a version records.
    pub fn publication(item: &Attributes) -> Result<Publication, Invalid> {
        let version = VERSION.get(item)?;
        // Before version 0.2 every version replaced the one before it.
        let before = version.checked_sub(1).filter(|before| *before > 0);
        Ok(Publication {
            version,
            provenance: PROVENANCE.find(item)?,
            published: PUBLISHED.get(item)?,
            replaced: REPLACED.find(item)?.or(before),
        })
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
    use rendezvous_core::{Arm, FailureKind, Kind, Reason};

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
