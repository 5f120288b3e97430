//! Records that are kept as they were delivered: those in quarantine, a line each, and the batches of the failure bucket.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rendezvous_core::{RequestId, Sha256Digest, Timestamp};
use serde_json::{Map, Value};

use super::journal::{Begun, digest};

/// Whom the records are of that are erased.
pub(super) struct Subject<'a> {
    pub(super) begun: &'a Begun,
    pub(super) requests: &'a BTreeSet<RequestId>,
}

/// What becomes of a file of records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stays,
    /// The file without the records, if others are left, and how many they were.
    Rewritten(Option<Bytes>, u64),
    /// Whether it holds such records cannot be said.
    Unclear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Belongs {
    No,
    Perhaps,
    Yes,
}

impl Subject<'_> {
    /// Looks for the records of the subject in a file.
    pub(super) fn without(&self, body: &[u8]) -> Outcome {
        if let Ok(mut batch) = serde_json::from_slice::<Value>(body)
            && batch.get("payload").is_some()
        {
            return self.without_in_batch(&mut batch, body);
        }
        let Ok(text) = std::str::from_utf8(body) else {
            return if self.is_named_in(body) { Outcome::Unclear } else { Outcome::Stays };
        };
        let (mut kept, mut erased, mut unclear) = (String::new(), 0, false);
        for line in text.lines() {
            let belongs = match serde_json::from_str(line) {
                Ok(record) => self.of(&record),
                Err(_) if self.is_named_in(line.as_bytes()) => Belongs::Perhaps,
                Err(_) => Belongs::No,
            };
            unclear |= belongs == Belongs::Perhaps;
            if belongs == Belongs::Yes {
                erased += 1;
            } else {
                kept.extend([line, "\n"]);
            }
        }
        outcome((!kept.is_empty()).then(|| kept.into()), erased, unclear)
    }

    /// A batch on which a function failed. Its event is a member, as JSON or as text of JSON.
    fn without_in_batch(&self, batch: &mut Value, body: &[u8]) -> Outcome {
        let payload = batch["payload"].take();
        let is_text = payload.is_string();
        let mut event = match &payload {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            _ => payload,
        };
        let Some(records) = event.get_mut("Records").and_then(Value::as_array_mut) else {
            return if self.is_named_in(body) { Outcome::Unclear } else { Outcome::Stays };
        };
        let (before, mut unclear) = (records.len(), false);
        records.retain(|record| {
            let belongs = self.of(record);
            unclear |= belongs == Belongs::Perhaps;
            belongs != Belongs::Yes
        });
        let (erased, is_empty) = ((before - records.len()) as u64, records.is_empty());
        batch["payload"] = if is_text { Value::String(event.to_string()) } else { event };
        outcome((!is_empty).then(|| batch.to_string().into()), erased, unclear)
    }

    /// Whether a record belongs to the subject.
    fn of(&self, value: &Value) -> Belongs {
        match value {
            Value::String(text) => self.of_text(text),
            Value::Array(values) => {
                values.iter().map(|value| self.of(value)).max().unwrap_or(Belongs::No)
            }
            Value::Object(members) if self.is_envelope(members) => Belongs::Yes,
            Value::Object(members) => {
                let of = members.iter().map(|(name, value)| self.of_member(name, value, members));
                of.max().unwrap_or(Belongs::No)
            }
            _ => Belongs::No,
        }
    }

    fn of_member(&self, name: &str, value: &Value, beside: &Map<String, Value>) -> Belongs {
        match (name, value) {
            ("data" | "data_base64", Value::String(data)) => {
                let data = BASE64_STANDARD.decode(data).unwrap_or_default();
                match serde_json::from_slice(&data) {
                    Ok(message) => self.of(&message),
                    Err(_) if self.is_named_in(&data) => Belongs::Yes,
                    // It is no message. Its partition key may be the one of another endpoint.
                    Err(_) => {
                        let mut keys = ["partitionKey", "partition_key"].into_iter();
                        let is_key =
                            keys.any(|key| beside.get(key).is_some_and(|key| self.is_key(key)));
                        if is_key { Belongs::Perhaps } else { Belongs::No }
                    }
                }
            }
            _ => self.of(value),
        }
    }

    /// An id, or JSON as an item of a table holds it.
    fn of_text(&self, text: &str) -> Belongs {
        if text.parse().is_ok_and(|id| self.requests.contains(&id)) {
            return Belongs::Yes;
        }
        match text.starts_with('{').then(|| serde_json::from_str::<Value>(text)) {
            Some(Ok(value)) => self.of(&value),
            _ => Belongs::No,
        }
    }

    /// Whether it is the envelope of a request with the key.
    fn is_envelope(&self, members: &Map<String, Value>) -> bool {
        let is_of_endpoint =
            members.get("endpoint").and_then(Value::as_str) == Some(self.begun.endpoint.as_str());
        let received = members.get("received_us").and_then(Value::as_i64).unwrap_or_default();
        is_of_endpoint
            && members.get("key").is_some_and(|key| self.is_key(key))
            && Timestamp::from_micros(received) <= self.begun.at_us
    }

    fn is_key(&self, key: &Value) -> bool {
        let known: Option<Sha256Digest> = self.begun.key;
        key.as_str().is_some_and(|key| known == Some(digest(&self.begun.endpoint, key)))
    }

    /// Whether one of the ids is somewhere in it as text.
    fn is_named_in(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        self.requests.iter().any(|id| text.contains(&id.to_string()))
    }
}

fn outcome(kept: Option<Bytes>, erased: u64, unclear: bool) -> Outcome {
    match (erased, unclear) {
        (0, false) => Outcome::Stays,
        (0, true) => Outcome::Unclear,
        _ => Outcome::Rewritten(kept, erased),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn envelope(id: RequestId, key: &str) -> Value {
        json!({ "id": id, "endpoint": "e", "key": key, "received_us": 5 })
    }

    fn data(message: &Value) -> String {
        BASE64_STANDARD.encode(message.to_string())
    }

    /// Runs `test` with a subject of the key `ann` and one request.
    fn subject(test: impl Fn(&Subject<'_>, RequestId)) {
        let endpoint: rendezvous_core::EndpointName = "e".parse().unwrap();
        let key = Some(digest(&endpoint, "ann"));
        let at_us = Timestamp::from_micros(9);
        let begun = Begun { endpoint, key, request: None, at_us };
        let id = RequestId::new("ann's");
        test(&Subject { begun: &begun, requests: &[id].into() }, id);
    }

    #[test]
    fn lines_of_the_subject_leave_the_quarantine_and_the_others_stay_as_they_are() {
        subject(|subject, id| {
            let other = RequestId::new("bob's");
            let mine = [
                json!({ "data_base64": data(&json!({ "envelope": envelope(other, "ann") })) }),
                json!({ "data_base64": data(&json!({ "envelope": envelope(id, "x") })) }),
                json!({ "data_base64": BASE64_STANDARD.encode(format!("no JSON {id}")) }),
                json!({ "change": { "dynamodb": { "Keys": { "request": { "S": id } } } } }),
                json!({ "change": { "envelope": { "S": envelope(other, "ann").to_string() } } }),
            ];
            let others = [
                r#"{ "data_base64": "e30=",  "reason":"é" }"#.to_owned(),
                json!({ "data_base64": data(&json!({ "envelope": envelope(other, "bob") })) })
                    .to_string(),
            ];
            let first = mine[0].to_string();
            let lines = [&others[0], &first, &others[1]].map(String::as_str);
            let kept = format!("{}\n{}\n", others[0], others[1]).into();
            let found = subject.without(lines.join("\n").as_bytes());
            assert_eq!(found, Outcome::Rewritten(Some(kept), 1));
            for line in &mine {
                let found = subject.without(line.to_string().as_bytes());
                assert_eq!(found, Outcome::Rewritten(None, 1), "{line}");
            }
            for line in &others {
                assert_eq!(subject.without(line.as_bytes()), Outcome::Stays, "{line}");
            }
        });
    }

    #[test]
    fn what_cannot_be_read_is_unclear_only_where_it_may_be_of_the_subject() {
        subject(|subject, id| {
            let garbage = |key| json!({ "data_base64": "/w==", "partition_key": key }).to_string();
            assert_eq!(subject.without(garbage("ann").as_bytes()), Outcome::Unclear);
            assert_eq!(subject.without(garbage("bob").as_bytes()), Outcome::Stays);
            assert_eq!(subject.without(format!("torn {id}").as_bytes()), Outcome::Unclear);
            assert_eq!(subject.without(b"torn"), Outcome::Stays);
            let batch = json!({ "payload": format!("torn {id}") }).to_string();
            assert_eq!(subject.without(batch.as_bytes()), Outcome::Unclear);
        });
    }

    #[test]
    fn records_leave_a_failed_batch_whose_event_is_json_or_text() {
        subject(|subject, id| {
            let record = |message: Value| json!({ "kinesis": { "data": data(&message) } });
            let mine = record(json!({ "envelope": envelope(id, "x") }));
            let other = record(json!({ "envelope": envelope(RequestId::new("bob's"), "bob") }));
            let batch = |records: &[&Value], is_text: bool| {
                let event = json!({ "Records": records });
                let payload = if is_text { event.to_string().into() } else { event };
                json!({ "function": "decoy", "payload": payload }).to_string()
            };
            for is_text in [false, true] {
                let found = subject.without(batch(&[&other, &mine], is_text).as_bytes());
                let kept = batch(&[&other], is_text).into();
                assert_eq!(found, Outcome::Rewritten(Some(kept), 1));
                let found = subject.without(batch(&[&mine], is_text).as_bytes());
                assert_eq!(found, Outcome::Rewritten(None, 1));
                assert_eq!(subject.without(batch(&[&other], is_text).as_bytes()), Outcome::Stays);
            }
        });
    }
}
