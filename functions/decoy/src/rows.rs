//! The rows of the tables, as they are read off records, and their values.

use std::{borrow::Cow, sync::Arc};

use rendezvous_archive::{DecisionRow, OutcomeRow, ReplayRow, RequestRow, Row, ScoreRow};
use rendezvous_aws::{
    batch::{Data, Image, ItemChange, Record},
    items::outcome,
};
use rendezvous_core::{
    Configuration, Invalid, Json, Payload, PayloadRef, RequestMessage, ScoreMessage, ScoreReader,
    mutation::{Mutation, mutated},
    value,
};

/// A row whose value is the number in its JSON at which a configuration points.
pub(crate) trait Evaluate: Row {
    /// Which configuration says where the value is; `None` in a table without values.
    fn version(&self) -> Option<Version> {
        None
    }

    /// Sets the value.
    fn evaluate(&mut self, _: &Configuration) {}

    /// Sets the payload, which is not in the record.
    fn complete(&mut self, _: &Json) {}
}

/// A version of an endpoint's configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Version {
    /// The one that is stamped on the request.
    Pinned(u64),
    /// The current one: an outcome names none.
    Current,
}

/// A row, and where its payload is when the record has a reference in its place.
pub type WithReference<R> = (R, Option<PayloadRef>);

/// The request in a record of the stream `input`.
pub fn request<'r>(
    record: &'r Record<'r, Data<'r>>,
) -> Result<Option<WithReference<RequestRow<'r>>>, Invalid> {
    let RequestMessage { envelope, payload, .. } = record.content.request()?;
    envelope.require_live()?;
    let envelope = Arc::unwrap_or_clone(envelope);
    let (payload, reference) = match payload {
        Payload::Inline(json) if mutated(Mutation::RewritePayload) => {
            (json.get().replace(' ', "").into(), None)
        }
        Payload::Inline(json) => (json.get().into(), None),
        Payload::Stored(reference) => (Cow::default(), Some(reference)),
    };
    let row = RequestRow {
        request_id: envelope.id,
        endpoint: envelope.endpoint,
        config: envelope.config,
        arm: envelope.arm,
        key: envelope.key,
        received_us: envelope.received,
        deadline_us: envelope.deadline,
        traceparent: envelope.traceparent,
        skip: envelope.skip,
        payload,
        shard: record.shard().into(),
        sequence_number: (&*record.sequence).into(),
        arrived_us: record.arrived,
    };
    Ok(Some((row, reference)))
}

impl Evaluate for RequestRow<'_> {
    fn complete(&mut self, payload: &Json) {
        self.payload = payload.as_str().to_owned().into();
    }
}

/// The score, or the failure, in a record of the stream `scores`. `reader` has read those before it.
pub fn score<'r>(
    record: &'r Record<'r, Data<'r>>,
    reader: &mut ScoreReader<'r>,
) -> Result<Option<ScoreRow<'r>>, Invalid> {
    let message = record.content.live_score(reader)?;
    if message.score.finished > message.envelope.deadline && mutated(Mutation::DropLateScore) {
        return Ok(None);
    }
    Ok(Some(of_message(record, message)))
}

fn of_message<'r>(record: &'r Record<'r, Data<'r>>, message: ScoreMessage) -> ScoreRow<'r> {
    let ScoreMessage { envelope, score, artifact } = message;
    let (score_json, failure) = match score.result {
        Ok(json) => (Some(json), None),
        Err(failure) => (None, Some(failure)),
    };
    ScoreRow {
        request_id: envelope.id,
        endpoint: envelope.endpoint.clone(),
        config: envelope.config,
        arm: envelope.arm.clone(),
        key: envelope.key.clone(),
        received_us: envelope.received,
        deadline_us: envelope.deadline,
        traceparent: envelope.traceparent.clone(),
        model: score.model,
        artifact,
        started_us: score.started,
        finished_us: score.finished,
        score: score_json,
        value: None,
        failure_kind: failure.as_ref().map(|failure| failure.kind),
        failure_message: failure.map(|failure| failure.message),
        shard: record.shard().into(),
        sequence_number: (&*record.sequence).into(),
        arrived_us: record.arrived,
    }
}

impl Evaluate for ScoreRow<'_> {
    fn version(&self) -> Option<Version> {
        Some(Version::Pinned(self.config))
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        self.value = number(self.score.as_ref(), configuration);
    }
}

/// The score, or the failure, in a record of the stream of replays' scores. `reader` has read those before it.
pub fn replay<'r>(
    record: &'r Record<'r, Data<'r>>,
    reader: &mut ScoreReader<'r>,
) -> Result<Option<ReplayRow<'r>>, Invalid> {
    let (replayed, message) = reader.read_replay(&record.content.bytes)?;
    let row = of_message(record, message);
    Ok(Some(ReplayRow {
        request_id: replayed,
        endpoint: row.endpoint,
        config: row.config,
        arm: row.arm,
        key: row.key,
        replayed_as: row.request_id,
        received_us: row.received_us,
        model: row.model,
        artifact: row.artifact,
        started_us: row.started_us,
        finished_us: row.finished_us,
        score: row.score,
        value: None,
        failure_kind: row.failure_kind,
        failure_message: row.failure_message,
        shard: row.shard,
        sequence_number: row.sequence_number,
        arrived_us: row.arrived_us,
    }))
}

impl Evaluate for ReplayRow<'_> {
    fn version(&self) -> Option<Version> {
        Some(Version::Pinned(self.config))
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        self.value = number(self.score.as_ref(), configuration);
    }
}

/// The decision in a change of the ledger; none in any change but the one in which the decision
/// first appears.
pub fn decision<'r>(
    record: &'r Record<'r, ItemChange<'r>>,
) -> Result<Option<DecisionRow<'r>>, Invalid> {
    let Some(image) = new_image(&record.content)? else { return Ok(None) };
    if record.content.old.is_decided() {
        return Ok(None);
    }
    let Some(decision) = image.decision()? else { return Ok(None) };
    let (envelope, decision) = (image.envelope()?, Arc::unwrap_or_clone(decision));
    Ok(Some(DecisionRow {
        request_id: envelope.id,
        endpoint: envelope.endpoint.clone(),
        config: decision.config,
        arm: decision.arm,
        received_us: envelope.received,
        deadline_us: decision.deadline,
        decided_us: decision.decided,
        kind: decision.kind,
        reason: decision.reason,
        model: decision.model,
        champion: decision.champion,
        seen: decision.seen,
        presumed: decision.presumed,
        score: decision.score,
        value: None,
        sequence_number: (&*record.sequence).into(),
        arrived_us: record.arrived,
    }))
}

impl Evaluate for DecisionRow<'_> {
    fn version(&self) -> Option<Version> {
        Some(Version::Pinned(self.config))
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        self.value = number(self.score.as_ref(), configuration);
    }
}

/// The outcome in a change of the table of outcomes; none in a deletion.
pub fn outcome<'r>(
    record: &'r Record<'r, ItemChange<'r>>,
) -> Result<Option<OutcomeRow<'r>>, Invalid> {
    let Some(image) = new_image(&record.content)? else { return Ok(None) };
    let reported = outcome::read(&image.item())?;
    Ok(Some(OutcomeRow {
        request_id: reported.request,
        endpoint: reported.endpoint,
        reported_us: reported.reported,
        outcome: reported.outcome,
        value: None,
        sequence_number: (&*record.sequence).into(),
        arrived_us: record.arrived,
    }))
}

impl Evaluate for OutcomeRow<'_> {
    fn version(&self) -> Option<Version> {
        Some(Version::Current)
    }

    fn evaluate(&mut self, configuration: &Configuration) {
        let truth = |at| value::truth(self.outcome.as_str(), at);
        self.value = configuration.outcome().and_then(truth);
    }
}

/// The number in a score at which the configuration points.
fn number(score: Option<&Json>, configuration: &Configuration) -> Option<f64> {
    value::number(score?.as_str(), configuration.value()?)
}

/// The item after the change; none when the change deleted it.
fn new_image<'r>(change: &'r ItemChange<'r>) -> Result<Option<&'r Image<'r>>, Invalid> {
    match &change.new {
        _ if change.name == "REMOVE" => Ok(None),
        // A stream that is configured to carry keys only would otherwise archive nothing without
        // any error.
        image if image.is_empty() => Err(Invalid::new("the change carries no new image")),
        image => Ok(Some(image)),
    }
}
