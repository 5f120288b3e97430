//! What an entry of the log is: a record of a stream as it is, a mailbox or an outcome as JSON, in which the JSON of
//! clients and models stands as it is.

use std::sync::Arc;

use rendezvous_core::{
    Decision, EndpointName, Envelope, Failure, Invalid, Json, Mailbox, ModelId, RequestId, Score,
    Timestamp,
    mailbox::Opening,
    memory::{Change, Entry, Part, StoredOutcome},
    now,
    ports::Record,
};
use rendezvous_folder::{Frame, Kept};
use serde::{Serialize, de::DeserializeOwned};

/// What a mailbox is as JSON: envelope, opening, scores and decision.
type OfMailbox<E, D> = (E, Option<OfOpening>, Vec<OfScore>, Option<D>);

/// Payload, owner, when it was opened, and whether the request is accepted.
type OfOpening = ([u8; 32], Option<[u8; 16]>, Option<Timestamp>, bool);

/// Model, start, finish, and either the score or the failure.
type OfScore = (ModelId, Timestamp, Timestamp, Option<Json>, Option<Failure>);

/// What an outcome is as JSON, with when it was reported.
type OfOutcome = (RequestId, EndpointName, Json, Timestamp);

/// The kinds of entries. A kind never gets another meaning.
const INPUT: u8 = 1;
const SCORES: u8 = 2;
const MAILBOX: u8 = 3;
const OUTCOME: u8 = 4;

/// The frames that entries are added to, by part.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) of: [Frame; 2],
    /// A mailbox or an outcome.
    text: Vec<u8>,
}

impl Frames {
    /// Adds an entry to the frames of the parts that keep it.
    pub(super) fn push(&mut self, entry: &Entry) {
        const BOTH: [Part; 2] = Part::ALL;
        match entry {
            Entry::Record(stream, record) => {
                let kind = if *stream == "input" { INPUT } else { SCORES };
                let frame = &mut self.of[Part::Streams as usize];
                frame.push(kind, record.arrived, record.key.as_str().as_bytes(), &record.data);
            }
            Entry::Change(record) => match &record.data {
                Change::Mailbox { new, .. } => self.mailbox(new, record.arrived, &BOTH),
                Change::Outcome { endpoint, id, new, .. } => {
                    let StoredOutcome { outcome, reported } = new;
                    let outcome = (id, endpoint, outcome, reported);
                    self.json(OUTCOME, record.arrived, &outcome, &[Part::Streams]);
                }
            },
            Entry::Mailbox(mailbox) => self.mailbox(mailbox, now(), &[Part::Ledger]),
        }
    }

    fn mailbox(&mut self, mailbox: &Mailbox, arrived: Timestamp, parts: &[Part]) {
        let Mailbox { envelope, opening, scores, decision } = mailbox;
        let opening = opening.map(|opening| {
            let Opening { payload_sha256, owner, opened, accepted } = opening;
            (payload_sha256, owner, opened, accepted)
        });
        let score = |score: &Score| {
            let Score { model, started, finished, result } = score.clone();
            let (score, failure) = result.map_or_else(|e| (None, Some(e)), |s| (Some(s), None));
            (model, started, finished, score, failure)
        };
        let scores = scores.iter().map(score).collect();
        let mailbox: OfMailbox<&Envelope, &Decision> =
            (&**envelope, opening, scores, decision.as_deref());
        self.json(MAILBOX, arrived, &mailbox, parts);
    }

    fn json(&mut self, kind: u8, arrived: Timestamp, value: &impl Serialize, parts: &[Part]) {
        self.text.clear();
        if let Err(error) = serde_json::to_writer(&mut self.text, value) {
            // It is made of texts, numbers and JSON.
            tracing::error!(%error, "an entry cannot be written as JSON");
            return;
        }
        for part in parts {
            self.of[*part as usize].push(kind, arrived, &[], &self.text);
        }
    }
}

/// An entry as it is read.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    Input(Record),
    Scores(Record),
    Mailbox(Mailbox),
    Outcome(Change),
}

/// Reads an entry.
pub(super) fn read(kept: &Kept) -> Result<Read, Invalid> {
    let record = || {
        let key = std::str::from_utf8(&kept.key).unwrap_or_default();
        Ok(Record { key: key.parse()?, data: kept.data.clone() })
    };
    match kept.kind {
        INPUT => Ok(Read::Input(record()?)),
        SCORES => Ok(Read::Scores(record()?)),
        MAILBOX => Ok(Read::Mailbox(mailbox(json(kept)?)?)),
        OUTCOME => {
            let (id, endpoint, outcome, reported): OfOutcome = json(kept)?;
            let new = StoredOutcome { outcome, reported };
            Ok(Read::Outcome(Change::Outcome { endpoint, id, old: None, new }))
        }
        other => Err(Invalid::new(format!("an entry of the unknown kind {other}"))),
    }
}

fn json<T: DeserializeOwned>(kept: &Kept) -> Result<T, Invalid> {
    let value = serde_json::from_slice(&kept.data);
    value.map_err(|error| Invalid::new(format!("not what was written: {error}")))
}

fn mailbox(json: OfMailbox<Envelope, Decision>) -> Result<Mailbox, Invalid> {
    let (envelope, opening, scores, decision) = json;
    let opening = opening.map(|(payload_sha256, owner, opened, accepted)| Opening {
        payload_sha256,
        owner,
        opened,
        accepted,
    });
    let score = |(model, started, finished, score, failure): OfScore| {
        let result = match (score, failure) {
            (Some(score), None) => Ok(score),
            (None, Some(failure)) => Err(failure),
            _ => return Err(Invalid::new("neither a score nor a failure")),
        };
        Ok(Score { model, started, finished, result })
    };
    let scores = scores.into_iter().map(score).collect::<Result<_, _>>()?;
    let (envelope, decision) = (Arc::new(envelope), decision.map(Arc::new));
    Ok(Mailbox { envelope, opening, scores, decision })
}
