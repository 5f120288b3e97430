//! The rows of the four tables: how each is read off its record, and what its columns are.
//!
//! Times are microseconds since the epoch. The opaque JSON stands in the files byte for byte.

use aws_lambda_events::{dynamodb::EventRecord, kinesis::KinesisEventRecord};
use rendezvous_aws::batch::Place;
use rendezvous_core::{
    Configuration, Decision, EndpointName, Envelope, Failure, FailureKind, Invalid, Json, ModelId,
    RequestId, RequestMessage, ScoreMessage, Timestamp,
};
use serde::Deserialize;
use serde_dynamo::{AttributeValue, Item};
use serde_json::value::RawValue;

use crate::{
    table::{
        Column,
        Likeness::{Few, Near, None as Unlike},
        Row,
        Value::{MaybeDouble, MaybeText, Models, Number, Text},
        Version,
    },
    value,
};

/// A request, from the stream `input`: what the models saw.
pub struct RequestRow<'a> {
    message: RequestMessage<'a>,
    place: Place<'a>,
}

impl<'a> RequestRow<'a> {
    pub fn read(record: &'a KinesisEventRecord) -> Result<Option<Self>, Invalid> {
        let message = RequestMessage::parse(&record.kinesis.data)?;
        Ok(Some(Self { message, place: Place::of(record) }))
    }
}

impl Row for RequestRow<'_> {
    const TABLE: &'static str = "requests";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column("request_id", Near, Text(|row| row.message.envelope.id.to_string().into())),
            Column("endpoint", Few, Text(|row| row.message.envelope.endpoint.as_str().into())),
            Column("config", Few, Number(|row| integer(row.message.envelope.config))),
            Column("arm", Few, Text(|row| row.message.envelope.arm.as_str().into())),
            Column("key", Near, Text(|row| row.message.envelope.key.as_str().into())),
            Column("received_us", Near, Number(|row| row.message.envelope.received.as_micros())),
            Column("deadline_us", Near, Number(|row| row.message.envelope.deadline.as_micros())),
            Column(
                "traceparent",
                Unlike,
                MaybeText(|row| row.message.envelope.traceparent.as_deref()),
            ),
            Column("payload", Unlike, Text(|row| row.message.payload.get().into())),
            Column("shard", Few, Text(|row| row.place.shard.into())),
            Column("sequence_number", Near, Text(|row| row.place.sequence.into())),
            Column("arrived_us", Near, Number(|row| row.place.arrived.as_micros())),
        ]
    }

    fn endpoint(&self) -> &EndpointName {
        &self.message.envelope.endpoint
    }

    fn request(&self) -> RequestId {
        self.message.envelope.id
    }

    fn place(&self) -> &Place<'_> {
        &self.place
    }
}

/// A score or a failure, from the stream `scores`.
pub struct ScoreRow<'a> {
    message: ScoreMessage,
    value: Option<f64>,
    place: Place<'a>,
}

impl<'a> ScoreRow<'a> {
    pub fn read(record: &'a KinesisEventRecord) -> Result<Option<Self>, Invalid> {
        let message = ScoreMessage::parse(&record.kinesis.data)?;
        Ok(Some(Self { message, value: None, place: Place::of(record) }))
    }

    fn score(&self) -> Option<&str> {
        self.message.score.result.as_ref().ok().map(Json::as_str)
    }

    fn failure(&self) -> Option<&Failure> {
        self.message.score.result.as_ref().err()
    }
}

impl Row for ScoreRow<'_> {
    const TABLE: &'static str = "scores";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column("request_id", Near, Text(|row| row.message.envelope.id.to_string().into())),
            Column("endpoint", Few, Text(|row| row.message.envelope.endpoint.as_str().into())),
            Column("config", Few, Number(|row| integer(row.message.envelope.config))),
            Column("arm", Few, Text(|row| row.message.envelope.arm.as_str().into())),
            Column("key", Near, Text(|row| row.message.envelope.key.as_str().into())),
            Column("received_us", Near, Number(|row| row.message.envelope.received.as_micros())),
            Column("deadline_us", Near, Number(|row| row.message.envelope.deadline.as_micros())),
            Column(
                "traceparent",
                Unlike,
                MaybeText(|row| row.message.envelope.traceparent.as_deref()),
            ),
            Column("model", Few, Text(|row| row.message.score.model.as_str().into())),
            Column("started_us", Near, Number(|row| row.message.score.started.as_micros())),
            Column("finished_us", Near, Number(|row| row.message.score.finished.as_micros())),
            Column("score", Unlike, MaybeText(Self::score)),
            Column("value", Few, MaybeDouble(|row| row.value)),
            Column("failure_kind", Few, MaybeText(|row| row.failure().map(|f| word(f.kind)))),
            Column("failure_message", Few, MaybeText(|row| row.failure().map(|f| &*f.message))),
            Column("shard", Few, Text(|row| row.place.shard.into())),
            Column("sequence_number", Near, Text(|row| row.place.sequence.into())),
            Column("arrived_us", Near, Number(|row| row.place.arrived.as_micros())),
        ]
    }

    fn endpoint(&self) -> &EndpointName {
        &self.message.envelope.endpoint
    }

    fn request(&self) -> RequestId {
        self.message.envelope.id
    }

    fn place(&self) -> &Place<'_> {
        &self.place
    }

    fn version(&self) -> Option<Version> {
        Some(Version::Pinned(self.message.envelope.config))
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        self.value =
            self.score().zip(configuration.value()).and_then(|(json, at)| value::number(json, at));
    }
}

/// A decision, from the ledger's change stream.
pub struct DecisionRow<'a> {
    envelope: Envelope,
    decision: Decision,
    value: Option<f64>,
    place: Place<'a>,
}

impl<'a> DecisionRow<'a> {
    /// Nothing for any change but the one in which the decision first appears.
    pub fn read(record: &'a EventRecord) -> Result<Option<Self>, Invalid> {
        let Some(item) = new_image(record)? else { return Ok(None) };
        if !item.contains_key("decision") || record.change.old_image.contains_key("decision") {
            return Ok(None);
        }
        let (envelope, decision) = (json(item, "envelope")?, json(item, "decision")?);
        Ok(Some(Self { envelope, decision, value: None, place: Place::of_change(record) }))
    }

    fn score(&self) -> Option<&str> {
        self.decision.score.as_ref().map(Json::as_str)
    }
}

impl Row for DecisionRow<'_> {
    const TABLE: &'static str = "decisions";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column("request_id", Near, Text(|row| row.envelope.id.to_string().into())),
            Column("endpoint", Few, Text(|row| row.envelope.endpoint.as_str().into())),
            Column("config", Few, Number(|row| integer(row.decision.config))),
            Column("arm", Few, Text(|row| row.decision.arm.as_str().into())),
            Column("received_us", Near, Number(|row| row.envelope.received.as_micros())),
            Column("deadline_us", Near, Number(|row| row.decision.deadline.as_micros())),
            Column("decided_us", Near, Number(|row| row.decision.decided.as_micros())),
            Column("kind", Few, Text(|row| row.decision.kind.as_str().into())),
            Column("reason", Few, Text(|row| row.decision.reason.as_str().into())),
            Column("model", Few, MaybeText(|row| row.decision.model.as_ref().map(ModelId::as_str))),
            Column("champion", Few, Text(|row| row.decision.champion.as_str().into())),
            Column("seen", Few, Models(|row| &row.decision.seen)),
            Column("score", Unlike, MaybeText(Self::score)),
            Column("value", Few, MaybeDouble(|row| row.value)),
            Column("sequence_number", Near, Text(|row| row.place.sequence.into())),
            Column("arrived_us", Near, Number(|row| row.place.arrived.as_micros())),
        ]
    }

    fn endpoint(&self) -> &EndpointName {
        &self.envelope.endpoint
    }

    fn request(&self) -> RequestId {
        self.envelope.id
    }

    fn place(&self) -> &Place<'_> {
        &self.place
    }

    fn version(&self) -> Option<Version> {
        Some(Version::Pinned(self.decision.config))
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        self.value =
            self.score().zip(configuration.value()).and_then(|(json, at)| value::number(json, at));
    }
}

/// What a client has reported to be true, from the change stream of the outcomes table.
pub struct OutcomeRow<'a> {
    request: RequestId,
    endpoint: EndpointName,
    reported: Timestamp,
    outcome: &'a str,
    value: Option<f64>,
    place: Place<'a>,
}

impl<'a> OutcomeRow<'a> {
    /// Nothing for a deletion.
    pub fn read(record: &'a EventRecord) -> Result<Option<Self>, Invalid> {
        let Some(item) = new_image(record)? else { return Ok(None) };
        let outcome: &RawValue = json(item, "outcome")?;
        Ok(Some(Self {
            request: text(item, "request")?.parse()?,
            endpoint: text(item, "endpoint")?.parse()?,
            reported: number(item, "reported_us")?,
            outcome: outcome.get(),
            value: None,
            place: Place::of_change(record),
        }))
    }
}

impl Row for OutcomeRow<'_> {
    const TABLE: &'static str = "outcomes";

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column("request_id", Near, Text(|row| row.request.to_string().into())),
            Column("endpoint", Few, Text(|row| row.endpoint.as_str().into())),
            Column("reported_us", Near, Number(|row| row.reported.as_micros())),
            Column("outcome", Unlike, Text(|row| row.outcome.into())),
            Column("value", Few, MaybeDouble(|row| row.value)),
            Column("sequence_number", Near, Text(|row| row.place.sequence.into())),
            Column("arrived_us", Near, Number(|row| row.place.arrived.as_micros())),
        ]
    }

    fn endpoint(&self) -> &EndpointName {
        &self.endpoint
    }

    fn request(&self) -> RequestId {
        self.request
    }

    fn place(&self) -> &Place<'_> {
        &self.place
    }

    fn version(&self) -> Option<Version> {
        Some(Version::Current)
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        self.value = configuration.outcome().and_then(|at| value::truth(self.outcome, at));
    }
}

/// The word for it in the messages.
const fn word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Failed => "failed",
        FailureKind::TimedOut => "timed_out",
        FailureKind::Expired => "expired",
        FailureKind::Invalid => "invalid",
    }
}

/// A number that only counts up; the tables' integers are signed.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The item as it is after the change; none when the change deleted it.
fn new_image(record: &EventRecord) -> Result<Option<&Item>, Invalid> {
    match &record.change.new_image {
        _ if record.event_name == "REMOVE" => Ok(None),
        // Else a stream that is set up to carry keys only would archive nothing, and nobody knew.
        image if image.is_empty() => Err(Invalid::new("the change carries no new image")),
        image => Ok(Some(image)),
    }
}

fn text<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, Invalid> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        Some(_) => Err(Invalid::new(format!("{name} is not a string"))),
        None => Err(Invalid::new(format!("{name} is missing"))),
    }
}

fn json<'a, T: Deserialize<'a>>(item: &'a Item, name: &'static str) -> Result<T, Invalid> {
    serde_json::from_str(text(item, name)?)
        .map_err(|error| Invalid::new(format!("{name}: {error}")))
}

fn number(item: &Item, name: &'static str) -> Result<Timestamp, Invalid> {
    match item.get(name) {
        Some(AttributeValue::N(digits)) => match digits.parse() {
            Ok(micros) => Ok(Timestamp::from_micros(micros)),
            Err(error) => Err(Invalid::new(format!("{name}: {error}"))),
        },
        _ => Err(Invalid::new(format!("{name} is not a number"))),
    }
}
