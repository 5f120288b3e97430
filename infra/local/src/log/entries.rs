//! What an entry of the log is: a record of a stream as it is, an item of a table as it is on AWS.

use rendezvous_aws::items::{
    ledger,
    outcome::{self, Reported},
};
use rendezvous_core::{
    Invalid, Mailbox, Timestamp,
    memory::{Change, Entry, Part, StoredOutcome},
    now,
    ports::Record,
};
use rendezvous_folder::{Frame, Kept};
use serde_dynamo::Item;

/// The kinds of entries. A kind never gets another meaning.
const INPUT: u8 = 1;
const SCORES: u8 = 2;
const MAILBOX: u8 = 3;
const OUTCOME: u8 = 4;

/// The frames that entries are added to, by part.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) of: [Frame; 2],
    /// An item as JSON.
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
                Change::Mailbox { new, .. } => {
                    self.item(MAILBOX, record.arrived, &ledger::item(new), &BOTH);
                }
                Change::Outcome { endpoint, id, new, .. } => {
                    let item = outcome::item(&Reported {
                        request: *id,
                        endpoint: endpoint.clone(),
                        outcome: new.outcome.clone(),
                        reported: new.reported,
                    });
                    self.item(OUTCOME, record.arrived, &item, &[Part::Streams]);
                }
            },
            Entry::Mailbox(mailbox) => {
                self.item(MAILBOX, now(), &ledger::item(mailbox), &[Part::Ledger]);
            }
        }
    }

    fn item(&mut self, kind: u8, arrived: Timestamp, item: &Item, parts: &[Part]) {
        self.text.clear();
        if let Err(error) = serde_json::to_writer(&mut self.text, item) {
            // An item is made of texts, numbers and bytes.
            tracing::error!(%error, "an item cannot be written as JSON");
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
    let item = || {
        let item = serde_json::from_slice::<Item>(&kept.data).map(Item::into_inner);
        item.map_err(|error| Invalid::new(format!("no item: {error}")))
    };
    match kept.kind {
        INPUT => Ok(Read::Input(record()?)),
        SCORES => Ok(Read::Scores(record()?)),
        MAILBOX => Ok(Read::Mailbox(ledger::mailbox(&item()?)?)),
        OUTCOME => {
            let Reported { request, endpoint, outcome, reported } = outcome::read(&item()?)?;
            let new = StoredOutcome { outcome, reported };
            Ok(Read::Outcome(Change::Outcome { endpoint, id: request, old: None, new }))
        }
        other => Err(Invalid::new(format!("an entry of the unknown kind {other}"))),
    }
}
