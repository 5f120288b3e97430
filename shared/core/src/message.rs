//! The two messages, on the streams `input` and `scores`: JSON, one a record, `"v": 1`.
//!
//! The contract is public, see `infra/contract/`. Unknown fields are ignored; an unknown `v` is
//! poison. The payload and the score are never parsed, and a score's envelope is the very bytes
//! of its request's.

use std::fmt::{self, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    clock::Timestamp,
    endpoint::MAX_DEADLINE,
    json::Json,
    mailbox::Score,
    names::{Arm, EndpointName, Key, ModelId, RequestId},
    ports::Invalid,
};

/// The version of the messages that this code writes and reads.
pub const VERSION: u32 = 1;

/// The largest payload, in bytes. With its envelope it stays below the 1 MiB of a Kinesis record.
pub const MAX_PAYLOAD_BYTES: usize = 1_000_000;

/// The largest score, in bytes; a larger one is a failure of kind `invalid`.
pub const MAX_SCORE_BYTES: usize = 16 * 1024;

/// The longest failure message, in characters; the rest is cut.
pub const MAX_FAILURE_CHARS: usize = 500;

/// Everything about a request but its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Envelope {
    fn parse(raw: &RawValue) -> Result<Self, Invalid> {
        let envelope: Self = serde_json::from_str(raw.get())
            .map_err(|error| Invalid::new(format!("envelope: {error}")))?;
        let allowed = envelope.deadline.since(envelope.received);
        if allowed.is_zero() || allowed > MAX_DEADLINE {
            return Err(Invalid::new(format!(
                "envelope: deadline_us must be 1 us to {} s after received_us",
                MAX_DEADLINE.as_secs()
            )));
        }
        Ok(envelope)
    }
}

/// A request as it stands on the stream `input`, in the bytes of its record.
#[derive(Clone, Debug)]
pub struct RequestMessage<'a> {
    pub envelope: Envelope,
    /// The envelope's own bytes, for the score that answers it.
    pub raw_envelope: &'a RawValue,
    pub payload: &'a RawValue,
}

#[derive(Deserialize)]
struct RequestFields<'a> {
    v: u32,
    #[serde(borrow)]
    envelope: &'a RawValue,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl<'a> RequestMessage<'a> {
    /// Reads a record of the stream `input`.
    pub fn parse(record: &'a [u8]) -> Result<Self, Invalid> {
        let RequestFields { envelope: raw_envelope, payload, .. } =
            parse_message("request", record, |fields: &RequestFields| fields.v)?;
        Ok(Self { envelope: Envelope::parse(raw_envelope)?, raw_envelope, payload })
    }

    /// Writes the record of a new request.
    pub fn write(envelope: &Envelope, payload: &Json) -> Result<Bytes, Invalid> {
        #[derive(Serialize)]
        struct Fields<'a> {
            v: u32,
            envelope: &'a Envelope,
            payload: &'a RawValue,
        }
        // The envelope takes some 330 bytes.
        write_message(
            &Fields { v: VERSION, envelope, payload: payload.raw() },
            payload.as_str().len() + 400,
        )
    }
}

/// Why a model gave no score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// For whoever runs the model. Never a part of the payload.
    pub message: String,
}

impl Failure {
    /// A failure whose message is cut to [`MAX_FAILURE_CHARS`].
    pub fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{message}");
        if let Some((end, _)) = text.char_indices().nth(MAX_FAILURE_CHARS) {
            text.truncate(end);
        }
        Self { kind, message: text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The model said so, or crashed.
    Failed,
    /// The model took longer than its card allows.
    TimedOut,
    /// The request's deadline had passed before the model began.
    Expired,
    /// The payload does not fit the model, or its score does not fit the contract.
    Invalid,
}

/// A model's score, or its failure, as it stands on the stream `scores`.
#[derive(Clone, Debug)]
pub struct ScoreMessage {
    pub envelope: Envelope,
    pub score: Score,
}

#[derive(Deserialize)]
struct ScoreFields<'a> {
    v: u32,
    #[serde(borrow)]
    envelope: &'a RawValue,
    model: ModelId,
    started_us: Timestamp,
    finished_us: Timestamp,
    #[serde(borrow)]
    score: Option<&'a RawValue>,
    failure: Option<Failure>,
}

impl ScoreMessage {
    /// Reads a record of the stream `scores`. A score above [`MAX_SCORE_BYTES`] becomes a failure.
    pub fn parse(record: &[u8]) -> Result<Self, Invalid> {
        let fields: ScoreFields = parse_message("score", record, |fields: &ScoreFields| fields.v)?;
        let result = match (fields.score, fields.failure) {
            (Some(score), None) => checked_score(score.into()),
            (None, Some(failure)) => Err(Failure::new(failure.kind, failure.message)),
            _ => {
                return Err(Invalid::new("score message: needs either \"score\" or \"failure\""));
            }
        };
        let score = Score {
            model: fields.model,
            started: fields.started_us,
            finished: fields.finished_us,
            result,
        };
        Ok(Self { envelope: Envelope::parse(fields.envelope)?, score })
    }

    /// Writes the record of a score; the request's envelope goes back as it came.
    pub fn write(raw_envelope: &RawValue, score: &Score) -> Result<Bytes, Invalid> {
        #[derive(Serialize)]
        struct Fields<'a> {
            v: u32,
            envelope: &'a RawValue,
            model: &'a ModelId,
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
            started_us: score.started,
            finished_us: score.finished,
            score: score.result.as_ref().ok().map(Json::raw),
            failure: score.result.as_ref().err(),
        };
        let answer = score.result.as_ref().map_or(600, |json| json.as_str().len());
        write_message(&fields, raw_envelope.get().len() + answer + 200)
    }
}

/// A model's output as its result: too large a score is a failure, and so is `null`, which in a
/// message reads as no score at all.
pub fn checked_score(score: Json) -> Result<Json, Failure> {
    if score.as_str() == "null" {
        return Err(Failure::new(FailureKind::Invalid, "null is no score"));
    }
    let bytes = score.as_str().len();
    if bytes > MAX_SCORE_BYTES {
        return Err(Failure::new(
            FailureKind::Invalid,
            format_args!("a score of {bytes} bytes; at most {MAX_SCORE_BYTES} are allowed"),
        ));
    }
    Ok(score)
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
