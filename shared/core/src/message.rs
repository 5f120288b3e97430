//! The two messages, on the streams `input` and `scores`: JSON, one a record, `"v": 1`.
//!
//! The contract is public, see `infra/contract/`. Unknown fields are ignored; an unknown `v` is
//! poison. The payload and the score are never parsed, and a score's envelope is the very bytes
//! of its request's.

use std::{borrow::Borrow, collections::HashMap, str::FromStr, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{
    artifact::Artifact,
    clock::Timestamp,
    error::Invalid,
    json::Json,
    limits::MAX_ASYNC_DEADLINE,
    names::{Arm, EndpointName, Key, ModelId, RequestId},
    payload::{Payload, PayloadRef},
    score::{Failure, Score, checked_score},
    text::Text,
};

/// The version of the messages that this code writes and reads.
pub const VERSION: u32 = 1;

/// Everything about a request but its payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Envelope {
    pub id: RequestId,
    pub endpoint: EndpointName,
    /// The version of the endpoint's configuration that decides this request.
    pub config: u64,
    pub arm: Arm,
    /// The partition key on both streams.
    pub key: Key,
    #[serde(rename = "received_us")]
    pub received: Timestamp,
    #[serde(rename = "deadline_us")]
    pub deadline: Timestamp,
    /// W3C trace context, handed on as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Observers that are not expected to score this request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<ModelId>,
    /// The archived request that this one replays. Nobody waits for its score, and it belongs on the
    /// streams of replays only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<RequestId>,
}

impl Envelope {
    pub(crate) fn parse(raw: &RawValue) -> Result<Self, Invalid> {
        let envelope: Self = serde_json::from_str(raw.get())
            .map_err(|error| Invalid::new(format!("envelope: {error}")))?;
        envelope.checked()
    }

    /// Fails for the replay of an archived request.
    pub fn require_live(&self) -> Result<(), Invalid> {
        match self.replay {
            None => Ok(()),
            Some(_) => Err(Invalid::new("envelope: a replay on a stream of live requests")),
        }
    }

    /// The envelope, if its deadline is possible.
    fn checked(self) -> Result<Self, Invalid> {
        let allowed = self.deadline.since(self.received);
        if allowed.is_zero() || allowed > MAX_ASYNC_DEADLINE {
            return Err(Invalid::new(format!(
                "envelope: deadline_us must be 1 us to {} s after received_us",
                MAX_ASYNC_DEADLINE.as_secs()
            )));
        }
        Ok(self)
    }
}

/// A request as it stands on the stream `input`, in the bytes of its record.
#[derive(Clone, Debug)]
pub struct RequestMessage<'a> {
    pub envelope: Arc<Envelope>,
    /// The envelope's own bytes, for the score that answers it.
    pub raw_envelope: &'a RawValue,
    pub payload: Payload<'a>,
}

#[derive(Deserialize)]
struct RequestFields<'a> {
    v: u32,
    #[serde(borrow)]
    envelope: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    payload_ref: Option<PayloadRef>,
}

/// A member that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

impl<'a> RequestMessage<'a> {
    /// Reads a record of the stream `input`.
    pub fn parse(record: &'a [u8]) -> Result<Self, Invalid> {
        Self::parse_with(record, |raw| Envelope::parse(raw).map(Arc::new))
    }

    pub(crate) fn parse_with(
        record: &'a [u8],
        parse_envelope: impl FnOnce(&RawValue) -> Result<Arc<Envelope>, Invalid>,
    ) -> Result<Self, Invalid> {
        let RequestFields { envelope: raw_envelope, payload, payload_ref, .. } =
            parse_message("request", record, |fields: &RequestFields| fields.v)?;
        let payload = match (payload, payload_ref) {
            (Some(json), None) => Payload::Inline(json),
            (None, Some(reference)) => Payload::Stored(reference.checked()?),
            _ => {
                let what = "request message: needs either \"payload\" or \"payload_ref\"";
                return Err(Invalid::new(what));
            }
        };
        Ok(Self { envelope: parse_envelope(raw_envelope)?, raw_envelope, payload })
    }

    /// Writes the record of a new request.
    pub fn write(envelope: &Envelope, payload: &Json) -> Result<Bytes, Invalid> {
        Self::write_payload(envelope, &Payload::Inline(payload.raw()))
    }

    /// Writes the record of a new request with its payload or a reference to it.
    pub fn write_payload(envelope: &Envelope, payload: &Payload<'_>) -> Result<Bytes, Invalid> {
        #[derive(Serialize)]
        struct Fields<'a> {
            v: u32,
            envelope: &'a Envelope,
            #[serde(flatten)]
            payload: &'a Payload<'a>,
        }
        let payload_bytes = match payload {
            Payload::Inline(json) => json.get().len(),
            Payload::Stored(reference) => reference.url.len() + 120,
        };
        let Envelope { endpoint, arm, key, traceparent, skip, .. } = envelope;
        let names = endpoint.as_str().len() + arm.as_str().len() + key.as_str().len();
        let traceparent = traceparent.as_ref().map_or(0, |context| context.len() + 20);
        let skip: usize = skip.iter().map(|model| model.as_str().len() + 5).sum();
        // Member names, the id and three numbers take some 200 bytes.
        let size = payload_bytes + names + traceparent + skip + 220;
        write_message(&Fields { v: VERSION, envelope, payload }, size)
    }
}

/// A model's score, or its failure, as it stands on the stream `scores`.
#[derive(Clone, Debug)]
pub struct ScoreMessage {
    pub envelope: Arc<Envelope>,
    pub score: Score,
    /// From which artefact the model scores, where it says so.
    pub artifact: Option<Artifact>,
}

#[derive(Deserialize)]
struct ScoreFields<'a> {
    v: u32,
    #[serde(borrow)]
    envelope: &'a RawValue,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    artifact: Option<Text<'a>>,
    started_us: Timestamp,
    finished_us: Timestamp,
    #[serde(borrow)]
    score: Option<&'a RawValue>,
    failure: Option<Failure>,
}

impl ScoreMessage {
    /// Reads a record of the stream `scores`. A score that breaks a bound becomes a failure, see
    /// [`checked_score`].
    pub fn parse(record: &[u8]) -> Result<Self, Invalid> {
        ScoreReader::default().read(record)
    }

    /// Writes the record of a score; the request's envelope goes back as it came.
    pub fn write(
        raw_envelope: &RawValue,
        score: &Score,
        artifact: Option<&Artifact>,
    ) -> Result<Bytes, Invalid> {
        #[derive(Serialize)]
        struct Fields<'a> {
            v: u32,
            envelope: &'a RawValue,
            model: &'a ModelId,
            #[serde(skip_serializing_if = "Option::is_none")]
            artifact: Option<&'a Artifact>,
            started_us: Timestamp,
            finished_us: Timestamp,
            #[serde(skip_serializing_if = "Option::is_none")]
            score: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            failure: Option<&'a Failure>,
        }
        let fields = Fields {
            v: VERSION,
            envelope: raw_envelope,
            model: &score.model,
            artifact,
            started_us: score.started,
            finished_us: score.finished,
            score: score.result.as_ref().ok().map(Json::raw),
            failure: score.result.as_ref().err(),
        };
        let answer = score.result.as_ref().map_or(600, |json| json.as_str().len());
        let artifact = artifact.map_or(0, |name| name.as_str().len());
        let names = score.model.as_str().len() + artifact;
        // Member names and two numbers take some 120 bytes.
        write_message(&fields, raw_envelope.get().len() + answer + names + 130)
    }
}

/// Reads score messages one after the other. The scores of one request have one envelope, byte for byte:
/// it is parsed once, and they share it. A model sends many scores at a time: they share the name of the model
/// and that of its artefact.
#[derive(Debug, Default)]
pub struct ScoreReader<'a> {
    envelopes: HashMap<&'a str, Arc<Envelope>, foldhash::fast::RandomState>,
    last_model: Option<ModelId>,
    last_artifact: Option<Artifact>,
}

impl<'a> ScoreReader<'a> {
    /// [`ScoreMessage::parse`] for the next of several records.
    pub fn read(&mut self, record: &'a [u8]) -> Result<ScoreMessage, Invalid> {
        let fields: ScoreFields = parse_message("score", record, |fields: &ScoreFields| fields.v)?;
        let result = match (fields.score, fields.failure) {
            (Some(score), None) => checked_score(score.into()),
            (None, Some(failure)) => Err(Failure::new(failure.kind, failure.message)),
            _ => {
                return Err(Invalid::new("score message: needs either \"score\" or \"failure\""));
            }
        };
        let invalid = |error| Invalid::new(format!("score message: {error}"));
        let model = same(&mut self.last_model, &fields.model.0).map_err(invalid)?;
        let artifact = fields.artifact.map(|name| same(&mut self.last_artifact, &name.0));
        let artifact = artifact.transpose().map_err(invalid)?;
        let score =
            Score { model, started: fields.started_us, finished: fields.finished_us, result };
        let envelope = self.envelope(fields.envelope)?;
        Ok(ScoreMessage { envelope, score, artifact })
    }

    /// The same for a stream of live requests, where the score of a replay is invalid.
    pub fn read_live(&mut self, record: &'a [u8]) -> Result<ScoreMessage, Invalid> {
        let message = self.read(record)?;
        message.envelope.require_live()?;
        Ok(message)
    }

    /// The same for a stream of replays, where any other score is invalid; returns the id of the request that
    /// was replayed, too.
    pub fn read_replay(&mut self, record: &'a [u8]) -> Result<(RequestId, ScoreMessage), Invalid> {
        let message = self.read(record)?;
        let replayed = message.envelope.replay;
        let missing = || Invalid::new("envelope: no replay, on the stream of replays");
        Ok((replayed.ok_or_else(missing)?, message))
    }

    fn envelope(&mut self, raw: &'a RawValue) -> Result<Arc<Envelope>, Invalid> {
        if let Some(envelope) = self.envelopes.get(raw.get()) {
            return Ok(envelope.clone());
        }
        let envelope = Arc::new(Envelope::parse(raw)?);
        self.envelopes.insert(raw.get(), envelope.clone());
        Ok(envelope)
    }
}

/// The last name, if this is the same; otherwise this is the last from now on.
fn same<N: Borrow<str> + FromStr<Err = Invalid> + Clone>(
    last: &mut Option<N>,
    text: &str,
) -> Result<N, Invalid> {
    match last {
        Some(name) if (*name).borrow() == text => Ok(name.clone()),
        _ => Ok(last.insert(text.parse()?).clone()),
    }
}

fn parse_message<'a, T: Deserialize<'a>>(
    what: &str,
    record: &'a [u8],
    version: impl Fn(&T) -> u32,
) -> Result<T, Invalid> {
    let fields: T = serde_json::from_slice(record)
        .map_err(|error| Invalid::new(format!("{what} message: {error}")))?;
    match version(&fields) {
        VERSION => Ok(fields),
        other => Err(Invalid::new(format!("{what} message: \"v\" is {other}, not {VERSION}"))),
    }
}

fn write_message(fields: &impl Serialize, size: usize) -> Result<Bytes, Invalid> {
    let mut bytes = Vec::with_capacity(size);
    serde_json::to_writer(&mut bytes, fields)
        .map_err(|error| Invalid::new(format!("cannot be written as JSON: {error}")))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_microsecond_to_15_minutes_after_the_receipt() {
        let parse = |deadline_us: i64| {
            let envelope = format!(
                r#"{{"id":"01998f1e-7b2a-7cc0-8000-3f0a5d9e1c22","endpoint":"e","config":1,"arm":"main","key":"k","received_us":1000,"deadline_us":{deadline_us}}}"#
            );
            Envelope::parse(&RawValue::from_string(envelope).unwrap())
        };
        let longest = 1_000 + 15 * 60 * 1_000_000;
        for good in [1_001, longest] {
            assert_eq!(parse(good).unwrap().deadline, Timestamp::from_micros(good));
        }
        for bad in [999, 1_000, longest + 1] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("1 us to 900 s after received_us"), "{error}");
        }
    }

    #[test]
    fn a_request_has_either_its_payload_or_a_reference_to_it() {
        const ENVELOPE: &str = r#"{"id":"01998f1e-7b2a-7cc0-8000-3f0a5d9e1c22","endpoint":"e","config":1,"arm":"main","key":"k","received_us":1000,"deadline_us":2000}"#;
        let parse = |rest: &str| {
            let text = format!(r#"{{"v":1,"envelope":{ENVELOPE}{rest}}}"#);
            RequestMessage::parse(text.as_bytes()).map(|message| match message.payload {
                Payload::Inline(json) => json.get().to_owned(),
                Payload::Stored(reference) => reference.url,
            })
        };
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let reference =
            format!(r#","payload_ref":{{"url":"s3://b/k","sha256":"{sha256}","bytes":3}}"#);
        assert_eq!(parse(r#","payload":null"#).unwrap(), "null");
        assert_eq!(parse(&reference).unwrap(), "s3://b/k");
        let both = format!(r#"{reference},"payload":1"#);
        for wrong in ["", &both, &reference.replace('3', "x"), &reference.replace(":3}", ":0}")] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scores_share_the_envelope_that_they_have_in_common() {
        let envelope = |key: &str| {
            RawValue::from_string(format!(
                r#"{{"id":"01998f1e-7b2a-7cc0-8000-3f0a5d9e1c22","endpoint":"e","config":1,"arm":"main","key":"{key}","received_us":1,"deadline_us":2,"other":0}}"#
            ))
            .unwrap()
        };
        let (one, other) = (envelope("k"), envelope("l"));
        let message = |envelope, model| {
            let score = crate::conformance::samples::score(model, "1");
            ScoreMessage::write(envelope, &score, None).unwrap()
        };
        let records = [message(&one, "a@1"), message(&other, "a@1"), message(&one, "b@1")];
        let mut reader = ScoreReader::default();
        let [a, l, b] = records.each_ref().map(|record| reader.read(record).unwrap());
        assert!(Arc::ptr_eq(&a.envelope, &b.envelope));
        assert!(
            std::ptr::eq(a.score.model.as_str(), l.score.model.as_str()),
            "one after the other"
        );
        assert_eq!([&a, &l, &b].map(|m| m.envelope.key.as_str()), ["k", "l", "k"]);
        assert_eq!([&a, &l, &b].map(|m| m.score.model.as_str()), ["a@1", "a@1", "b@1"]);
        assert!(reader.read(b"{}").is_err() && reader.read(&records[0]).is_ok());
    }

    #[test]
    fn a_replay_and_a_live_score_are_refused_on_each_others_streams() {
        let original = "01998f1e-7b2a-7cc0-8000-3f0a5d9e1c22";
        let message = |replay: &str| {
            let envelope = format!(
                r#"{{"id":"01998f1e-7b2a-7cc0-8000-3f0a5d9e1c23","endpoint":"e","config":1,"arm":"main","key":"k","received_us":1,"deadline_us":2{replay}}}"#
            );
            let score = crate::conformance::samples::score("a@1", "1");
            ScoreMessage::write(&RawValue::from_string(envelope).unwrap(), &score, None).unwrap()
        };
        let (live, replay) = (message(""), message(&format!(r#","replay":"{original}""#)));
        let mut reader = ScoreReader::default();
        assert!(reader.read_live(&live).is_ok() && reader.read_live(&replay).is_err());
        assert_eq!(reader.read_replay(&replay).unwrap().0.to_string(), original);
        assert!(reader.read_replay(&live).is_err());
    }
}
