//! What a client was told outlives the process.
//!
//! The streams, the ledger and the changes of both tables are in memory. Whatever takes effect there is handed
//! to a [`Journal`], in its order, and a thread of its own appends it to the [log](FolderLog) of the data folder, as much
//! at a time as there is. Nothing waits for that but the answers: before one leaves, all that was handed
//! over until then is written ([`http`](crate::http)). It is written to the page cache and not synced, so that it
//! survives the process and not the power.
//!
//! The log has two parts, each with one rule:
//!
//! | part | entries | a segment is deleted |
//! | --- | --- | --- |
//! | `streams` | requests, scores, changes of mailboxes and of outcomes | when every function has handled its records, the decoy and the models among them |
//! | `ledger` | the mailboxes of which a client may be told: opened, accepted, decided | when the ledger has forgotten or rewritten its mailboxes, and all segments before it are deleted |
//!
//! A new process reads what there is ([`restore`]). The mailboxes are in the ledger again, and with them decisions and
//! idempotency keys. The records are delivered again, to the decoy, to rendezvous and to the monitor: some of them
//! were handled before, as with any stream, and the archive may have their rows twice. Requests that are undecided
//! and not overdue are delivered to the models, too; the others would only be scored twice. A request that had no
//! mailbox gets none, since the ledger may have forgotten it, so that nothing is decided twice.
//!
//! While the log cannot be written, requests are refused with 503, `/ready` says why, and what was
//! handed over waits in memory. The streams' limit bounds that, too.

mod entries;
mod restore;
mod trouble;
mod writer;

use std::{fmt, sync::Arc, thread::JoinHandle, time::Duration};

use rendezvous_core::memory::{Journal, Part};
use rendezvous_folder::{DataFolder, FileError, FolderLog};
use rendezvous_local_system::Local;
use tokio::time::{sleep, timeout};

pub(crate) use self::restore::Unscored;
use self::writer::Writer;
use crate::say::Error;

/// How long the last write may take at the end.
const ENDING: Duration = Duration::from_secs(1);

/// The log of a server, and the thread that writes it.
pub(crate) struct Log {
    folder: FolderLog,
    journal: Arc<Journal>,
    writer: Option<JoinHandle<usize>>,
}

impl Log {
    pub(crate) fn open(data: &DataFolder) -> Result<Self, Error> {
        let folder = FolderLog::new(data)?;
        let mut next = 0;
        for part in Part::ALL {
            next = next.max(folder.segments(part)?.last().map_or(0, |last| last + 1));
        }
        Ok(Self { folder, journal: Arc::new(Journal::new(next)), writer: None })
    }

    /// What a system hands everything to.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Puts what is in the log into a system without models, and begins to write. Returns what is to be
    /// delivered when there are models.
    pub(crate) async fn start(&mut self, system: &Local) -> Result<Vec<Unscored>, Error> {
        let former = self.folder.segments(Part::Ledger)?;
        let writer = Writer::new(&self.folder, &self.journal, &system.ledger, former);
        tokio::spawn(trouble::watch(Arc::downgrade(&self.journal), writer.trouble()));
        let thread = std::thread::Builder::new().name("log".to_owned());
        self.writer = Some(thread.spawn(move || writer.run())?);
        restore::restore(system, &self.folder, &self.journal).await
    }

    /// Writes what there is left, and ends.
    pub(crate) async fn end(self) -> Result<Ended, Error> {
        self.journal.close();
        let Some(writer) = self.writer else { return Err("the log has no writer".into()) };
        let ended = async {
            while !writer.is_finished() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        if timeout(ENDING, ended).await.is_err() {
            return Err("the disk is too slow for the log".into());
        }
        match writer.join() {
            Ok(0) => Ok(Ended(self.folder)),
            Ok(lost) => Err(format!("{lost} entries cannot be written into the log").into()),
            Err(_) => Err("the thread of the log has crashed".into()),
        }
    }
}

/// A log that is written to its end.
#[derive(Debug)]
pub(crate) struct Ended(FolderLog);

impl Ended {
    /// Deletes the records, all of which are handled.
    pub(crate) fn delete_read(&self) -> Result<(), Error> {
        let streams = self.0.segments(Part::Streams)?;
        let deleted: Result<(), FileError> =
            streams.into_iter().try_for_each(|number| self.0.delete(Part::Streams, number));
        Ok(deleted?)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = crate::say::shown(self.0.folder());
        write!(f, "They are in {folder}, and the next start archives them.")
    }
}

#[cfg(test)]
mod tests;
