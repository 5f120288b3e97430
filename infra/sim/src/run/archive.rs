//! The archive against the messages and decisions that there were.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rendezvous_archive::{DecisionRow, RequestRow, Row, ScoreRow, read};
use rendezvous_core::{Json, Payload, RequestId, RequestMessage, ScoreMessage, Timestamp};
use serde::Deserialize;

use super::{World, end::violation};
use crate::invariant::{Invariant, Violation};

/// Checks that the archive has each message and decision once, byte for byte.
pub(super) fn check(world: &World, sent: &[RequestMessage<'_>], scored: &[Arc<ScoreMessage>]) {
    let files = world.system.archive.files();
    requests(world, &files, sent);
    scores(world, &files, scored);
    decisions(world, &files);
}

/// What of a request must be archived as it was sent.
type Sent = (RequestId, Timestamp, Timestamp, String);

fn requests(world: &World, files: &[(String, Bytes)], sent: &[RequestMessage<'_>]) {
    let rows: Vec<RequestRow<'_>> = rows(world, files);
    let mut places: BTreeMap<(String, String), Sent> = BTreeMap::new();
    for row in rows {
        let entry = (row.request_id, row.received_us, row.deadline_us, row.payload.into_owned());
        places.insert((row.shard.into_owned(), row.sequence_number.into_owned()), entry);
    }
    // A request whose payload was lost before the decoy has read it is kept in quarantine, whole.
    for Quarantined { shard, sequence_number, data_base64 } in quarantined(files) {
        let data = BASE64_STANDARD.decode(data_base64).unwrap_or_default();
        if let Ok(message) = RequestMessage::parse(&data)
            && let Payload::Stored(reference) = &message.payload
            && world.witness.is_lost(reference)
        {
            places.entry((shard, sequence_number)).or_insert_with(|| as_sent(world, &message));
        }
    }
    let messages = sent.iter().map(|message| as_sent(world, message));
    compare(world, "requests", messages.collect(), places.into_values().collect(), |row| row.0);
}

fn as_sent(world: &World, message: &RequestMessage<'_>) -> Sent {
    let envelope = &message.envelope;
    let payload = match &message.payload {
        Payload::Inline(json) => json.get().to_owned(),
        Payload::Stored(reference) => {
            let stored = world.witness.payload(reference).unwrap_or_default();
            String::from_utf8_lossy(&stored).into_owned()
        }
    };
    (envelope.id, envelope.received, envelope.deadline, payload)
}

/// A record in quarantine.
#[derive(Deserialize)]
struct Quarantined {
    shard: String,
    sequence_number: String,
    data_base64: String,
}

/// The records of the stream `input` that are in quarantine.
fn quarantined(files: &[(String, Bytes)]) -> impl Iterator<Item = Quarantined> {
    let lines = files.iter().filter(|(name, _)| name.starts_with("quarantine/input/"));
    let lines = lines.flat_map(|(_, body)| body.split(|byte| *byte == b'\n'));
    lines.filter_map(|line| serde_json::from_slice(line).ok())
}

/// What of a score must be archived as it was sent.
type Scored<'a> = (RequestId, &'a str, Timestamp, Timestamp, &'a str);

fn scores(world: &World, files: &[(String, Bytes)], sent: &[Arc<ScoreMessage>]) {
    let rows: Vec<ScoreRow<'_>> = rows(world, files);
    let mut places: BTreeMap<(&str, &str), Scored<'_>> = BTreeMap::new();
    for row in &rows {
        let failure = row.failure_message.as_deref().unwrap_or_default();
        let result = row.score.as_ref().map_or(failure, Json::as_str);
        let entry = (row.request_id, row.model.as_str(), row.started_us, row.finished_us, result);
        places.insert((&row.shard, &row.sequence_number), entry);
    }
    let messages = sent.iter().map(|message| {
        let score = &message.score;
        let result = match &score.result {
            Ok(json) => json.as_str(),
            Err(failure) => failure.message.as_str(),
        };
        (message.envelope.id, score.model.as_str(), score.started, score.finished, result)
    });
    compare(world, "scores", messages.collect(), places.into_values().collect(), |row| row.0);
}

fn decisions(world: &World, files: &[(String, Bytes)]) {
    let rows: Vec<DecisionRow<'_>> = rows(world, files);
    let mut places = BTreeMap::new();
    for row in &rows {
        let answer = row.score.as_ref().map(|json| json.as_str().to_owned());
        let model = row.model.as_ref().map(ToString::to_string);
        let entry = (row.request_id, row.decided_us, row.kind, row.reason, model, answer);
        // Shards of a table's stream may give the same number.
        places.insert((&*row.sequence_number, row.request_id), entry);
    }
    let decisions = world.witness.decisions().into_iter().map(|(id, decision)| {
        let answer = decision.score.as_ref().map(|json| json.as_str().to_owned());
        let model = decision.model.as_ref().map(ToString::to_string);
        (id, decision.decided, decision.kind, decision.reason, model, answer)
    });
    compare(world, "decisions", decisions.collect(), places.into_values().collect(), |row| row.0);
}

/// The rows of a table, file by file.
fn rows<R: Row>(world: &World, files: &[(String, Bytes)]) -> Vec<R> {
    let folder = format!("{}/date=", R::TABLE);
    let mut rows = Vec::new();
    for (name, body) in files.iter().filter(|(name, _)| name.starts_with(&folder)) {
        match read::<R>(body.clone()) {
            Ok(read) => rows.extend(read),
            Err(error) => {
                let what = format!("{name} cannot be read: {error}");
                let violation = Violation { invariant: Invariant::Archived, request: None, what };
                world.witness.report(violation);
            }
        }
    }
    rows
}

/// Both must be the same, however they are ordered.
fn compare<T: Ord + std::fmt::Debug>(
    world: &World,
    table: &str,
    mut expected: Vec<T>,
    mut found: Vec<T>,
    id: impl Fn(&T) -> RequestId,
) {
    expected.sort_unstable();
    found.sort_unstable();
    if expected == found {
        return;
    }
    let (one, other): (BTreeSet<&T>, BTreeSet<&T>) =
        (expected.iter().collect(), found.iter().collect());
    let missing = one.difference(&other).map(|row| (row, "is not in the archive"));
    let surplus = other.difference(&one).map(|row| (row, "is only in the archive"));
    let differences: Vec<_> = missing.chain(surplus).collect();
    for (row, what) in &differences {
        violation(world, Invariant::Archived, id(row), format!("{table}: {row:?} {what}"));
    }
    if differences.is_empty() {
        let what = format!("{table}: {} rows instead of {}", found.len(), expected.len());
        world.witness.report(Violation { invariant: Invariant::Archived, request: None, what });
    }
}
