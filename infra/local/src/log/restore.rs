//! A new process takes over what a former one has kept.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    RequestMessage, Timestamp,
    memory::{Change, Hold, Journal, Part},
    now,
    ports::{Consistency, Ledger, Record},
};
use rendezvous_folder::{FolderLog, Kept};
use rendezvous_local_system::Local;
use rendezvous_sim::mapping::Mapping;
use tokio::time::{sleep, timeout};

use super::entries::{Read, read};
use crate::say::{Error, warn};

/// While more is not archived, no more is delivered.
const HELD: usize = 32 * 1024 * 1024;

/// How long the decoy may take for that.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that the models have not scored.
#[derive(Debug)]
pub(crate) struct Unscored {
    record: Record,
    arrived: Timestamp,
    kept: Hold,
}

impl Unscored {
    /// Delivers it to the models that are up, and to the decoy. Models leave out what arrived long ago; the time without a
    /// process does not count.
    pub(crate) fn deliver(self, system: &Local) {
        let recently = now() - Mapping::default().maximum_record_age / 2;
        system.input.restore(self.record, self.arrived.max(recently), self.kept);
    }
}

/// Puts what is in the log into the system. Returns the requests that models should score.
pub(super) async fn restore(
    system: &Local,
    folder: &FolderLog,
    journal: &Arc<Journal>,
) -> Result<Vec<Unscored>, Error> {
    let (mailboxes, records) = (folder.segments(Part::Ledger)?, folder.segments(Part::Streams)?);
    // None is deleted, and none of its mailboxes written once more, before those are read that replace them.
    let held: Vec<Hold> = mailboxes.iter().map(|n| journal.hold(Part::Ledger, *n)).collect();
    for (number, kept) in mailboxes.iter().zip(&held) {
        for entry in entries(folder, Part::Ledger, *number)? {
            match read(&entry) {
                Ok(Read::Mailbox(mailbox)) => system.ledger.restore(mailbox, kept.clone()),
                other => unreadable(&other),
            }
        }
    }
    if !(mailboxes.is_empty() && records.is_empty()) {
        system.ledger.restored();
    }
    drop(held);
    if records.is_empty() {
        // No message refers to them any more.
        system.payloads.clear().await?;
    }
    let mut unscored = Vec::new();
    for number in &records {
        let kept = journal.hold(Part::Streams, *number);
        for entry in entries(folder, Part::Streams, *number)? {
            room(system).await?;
            deliver(system, &entry, &kept, &mut unscored).await;
        }
    }
    Ok(unscored)
}

fn entries(folder: &FolderLog, part: Part, number: u64) -> Result<Vec<Kept>, Error> {
    let segment = folder.read(part, number)?;
    if let Some(torn) = segment.torn {
        warn(format_args!("warning: log: {torn}"));
    }
    Ok(segment.entries)
}

/// Waits until the decoy has archived enough.
async fn room(system: &Local) -> Result<(), Error> {
    let held = || {
        let changes = system.ledger.changes.held() + system.outcomes.changes.held();
        system.input.held() + system.scores.held() + changes
    };
    let archived = async {
        while held() > HELD {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, archived)
        .await
        .map_err(|_| "the archive does not take what the log has".into())
}

async fn deliver(system: &Local, entry: &Kept, kept: &Hold, unscored: &mut Vec<Unscored>) {
    let (arrived, kept) = (entry.arrived, kept.clone());
    match read(entry) {
        Ok(Read::Input(record)) => {
            if is_unscored(system, &record).await {
                unscored.push(Unscored { record, arrived, kept });
            } else {
                system.input.restore(record, arrived, kept);
            }
        }
        Ok(Read::Scores(record)) => system.scores.restore(record, arrived, kept),
        Ok(Read::Mailbox(new)) => {
            system.ledger.changes.restore(Change::Mailbox { old: None, new }, arrived, kept);
        }
        Ok(Read::Outcome(change)) => system.outcomes.changes.restore(change, arrived, kept),
        other => unreadable(&other),
    }
}

/// Whether a request is undecided and not overdue.
async fn is_unscored(system: &Local, record: &Record) -> bool {
    let Ok(RequestMessage { envelope, .. }) = RequestMessage::parse(&record.data) else {
        return false;
    };
    let mailbox = system.ledger.read(envelope.id, Consistency::Strong).await;
    let is_open = matches!(mailbox, Ok(Some(mailbox)) if mailbox.decision.is_none());
    is_open && now() < envelope.deadline
}

fn unreadable<T: std::fmt::Debug>(entry: &T) {
    // It may quote a client.
    tracing::debug!(?entry, "an entry of the log is not of its part");
    tracing::warn!("an entry of the log cannot be used");
}
