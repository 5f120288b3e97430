//! What streams and tables in memory hand over so that it outlives the process.
//!
//! An entry is handed over while it takes effect, and written by somebody else, in the order of the
//! entries: whoever is about to tell a client of an effect waits until all that was handed over is written
//! ([`Journal::written`]). So a hundred effects take one write, and nobody waits for a write but those
//! who answer.
//!
//! What is written is divided into segments. Whoever still needs an entry holds its segment ([`Hold`]);
//! a segment that nobody holds any more is [released](Taken::released) and can be deleted.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Change, MemoryStream, StoredRecord,
    hold::{Hold, Part, Released},
    lock,
    stream::Keeper,
};
use crate::{
    clock::{Timestamp, now},
    error::{Unavailable, within},
    mailbox::Mailbox,
};

/// The name of the dependency in errors.
const LOG: &str = "log";

/// How long a write may take before calls are refused, and how long an answer waits for one.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long entries wait for others while nobody waits for them, and how many wait at most.
const LINGER: Duration = Duration::from_millis(5);
const MANY: usize = 1_024;

/// One effect.
#[derive(Debug)]
pub enum Entry {
    /// A record on the stream of this name.
    Record(&'static str, Arc<StoredRecord>),
    /// A change of a table: for those who read changes, and for the ledger when it is one of a mailbox.
    Change(Arc<StoredRecord<Change>>),
    /// A mailbox as it is now, of which nobody else is told.
    Mailbox(Mailbox),
}

/// The queue between those who hand entries over and the one who writes them.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
    /// Notified when there is something to write for a writer that waits, and at the end.
    more: Condvar,
    /// How many entries are written.
    written: watch::Sender<u64>,
    released: Released,
}

#[derive(Debug)]
struct State {
    entries: Vec<Entry>,
    /// How many were ever handed over.
    handed: u64,
    /// The segments that entries get into now, by part.
    current: [Hold; 2],
    /// The number of the next segment.
    next: u64,
    /// What the writer waits for.
    waits: Waits,
    /// Somebody waits for the writer.
    wanted: bool,
    /// When the writer took what it is writing.
    taken: Option<Timestamp>,
    /// Why the last write failed.
    trouble: Option<String>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// It does not wait.
    No,
    ForEntry,
    /// There are entries; it waits until they are wanted or many.
    ForMore,
}

/// What is to be written together.
#[derive(Debug)]
pub struct Taken {
    pub entries: Vec<Entry>,
    /// The segments that they get into, by part.
    pub segments: [u64; 2],
    /// The segments that nobody holds any more and that were not taken before. They can be deleted when the
    /// entries are written, some of which may replace entries in them.
    pub released: Vec<(Part, u64)>,
    /// For [`Journal::wrote`].
    upto: u64,
}

impl Journal {
    /// A journal whose segments have numbers from `next` on.
    pub fn new(next: u64) -> Self {
        let released = Released::default();
        let hold = |part, number| Hold::new(part, number, &released);
        let state = State {
            entries: Vec::new(),
            handed: 0,
            current: [hold(Part::Streams, next), hold(Part::Ledger, next + 1)],
            next: next + 2,
            waits: Waits::No,
            wanted: false,
            taken: None,
            trouble: None,
            closed: false,
        };
        let written = watch::Sender::new(0);
        Self { state: Mutex::new(state), more: Condvar::new(), written, released }
    }

    /// Holds a segment that a former process has written.
    pub fn hold(&self, part: Part, number: u64) -> Hold {
        Hold::new(part, number, &self.released)
    }

    /// Hands a record over. Returns it, and what holds the ledger's part of the entry.
    fn record<T>(
        &self,
        mut record: StoredRecord<T>,
        entry: impl FnOnce(Arc<StoredRecord<T>>) -> Entry,
    ) -> (Arc<StoredRecord<T>>, Option<Hold>) {
        let state = &mut *lock(&self.state);
        let [streams, ledger] = state.current.clone();
        record.kept = Some(streams);
        let record = Arc::new(record);
        self.hand(state, entry(record.clone()));
        (record, Some(ledger))
    }

    /// Hands a mailbox over.
    pub(super) fn mailbox(&self, mailbox: Mailbox) -> Hold {
        let state = &mut *lock(&self.state);
        self.hand(state, Entry::Mailbox(mailbox));
        state.current[Part::Ledger as usize].clone()
    }

    fn hand(&self, state: &mut State, entry: Entry) {
        state.entries.push(entry);
        state.handed += 1;
        let is_enough = match state.waits {
            Waits::No => false,
            Waits::ForEntry => true,
            Waits::ForMore => state.entries.len() >= MANY,
        };
        if is_enough {
            self.wake(state);
        }
    }

    fn wake(&self, state: &mut State) {
        state.waits = Waits::No;
        self.more.notify_all();
    }

    /// An error while entries cannot be written: nobody should begin what would have to be kept.
    pub fn check(&self) -> Result<(), Unavailable> {
        let state = lock(&self.state);
        if let Some(trouble) = &state.trouble {
            return Err(Unavailable::down(LOG, trouble.clone()));
        }
        match state.taken {
            Some(taken) if now().since(taken) > PATIENCE => {
                Err(Unavailable::timed_out(LOG, "the disk is too slow"))
            }
            _ => Ok(()),
        }
    }

    /// Waits until all that was handed over up to now is written. An error says that it may not be.
    pub async fn written(&self) -> Result<(), Unavailable> {
        let handed = {
            let state = &mut *lock(&self.state);
            if *self.written.borrow() >= state.handed {
                return Ok(());
            }
            state.wanted = true;
            if state.waits != Waits::No {
                self.wake(state);
            }
            state.handed
        };
        let mut written = self.written.subscribe();
        let wait = async {
            // The sender lives as long as the journal.
            let _ = written.wait_for(|written| *written >= handed).await;
            Ok(())
        };
        let waited = within(LOG, PATIENCE, wait).await;
        // What is wrong, if that is known, and not only that it takes long.
        waited.map_err(|late| self.check().err().unwrap_or(late))
    }

    /// Waits for entries, at most `patience`, and takes them; `None` when the journal is closed and there
    /// are none. Later entries get into new segments where `rotate` says so, by part.
    ///
    /// Blocks: it is for the thread of the writer.
    pub fn take(&self, rotate: [bool; 2], patience: Duration) -> Option<Taken> {
        let mut state = lock(&self.state);
        for (waits, limit) in [(Waits::ForEntry, patience), (Waits::ForMore, LINGER.min(patience))]
        {
            let is_there = match waits {
                Waits::ForEntry => !state.entries.is_empty(),
                _ => state.wanted || state.entries.len() >= MANY || state.entries.is_empty(),
            };
            if is_there || state.closed {
                continue;
            }
            state.waits = waits;
            let waiting = |state: &mut State| state.waits == waits && !state.closed;
            let waited = self.more.wait_timeout_while(state, limit, waiting);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.waits = Waits::No;
        }
        state.wanted = false;
        if state.entries.is_empty() && state.closed {
            return None;
        }
        // Before the entries: what replaces an entry is handed over before that entry's segment is released.
        let released = std::mem::take(&mut *lock(&self.released));
        let segments = [0, 1].map(|part| state.current[part].segment());
        for part in Part::ALL {
            if rotate[part as usize] {
                let next = self.hold(part, state.next);
                state.next += 1;
                state.current[part as usize] = next;
            }
        }
        let entries = std::mem::take(&mut state.entries);
        state.taken = (!entries.is_empty()).then(now);
        Some(Taken { entries, segments, released, upto: state.handed })
    }

    /// What was taken is written.
    pub fn wrote(&self, taken: &Taken) {
        {
            let state = &mut *lock(&self.state);
            (state.taken, state.trouble) = (None, None);
        }
        self.written.send_replace(taken.upto);
    }

    /// What was taken could not be written: `trouble` says why. Waits a while before it is tried again; returns
    /// whether it should be, that is, whether the journal is not closed.
    pub fn failed(&self, trouble: String, pause: Duration) -> bool {
        let mut state = lock(&self.state);
        state.trouble = Some(trouble);
        let waited = self.more.wait_timeout_while(state, pause, |state| !state.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Waits so long, unless the journal is closed: what is handed over meanwhile is written together.
    pub fn pause(&self, pause: Duration) {
        let waited = self.more.wait_timeout_while(lock(&self.state), pause, |state| !state.closed);
        drop(waited);
    }

    /// Ends the writer when everything is written.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.more.notify_all();
    }
}

impl MemoryStream {
    /// Hands every record that is put to `journal`, too.
    #[must_use]
    pub fn kept_in(self, journal: Option<Arc<Journal>>) -> Self {
        let Some(journal) = journal else { return self };
        let name = self.name();
        self.kept_by(Keeper::new(move |record| {
            journal.record(record, |record| Entry::Record(name, record))
        }))
    }
}

impl MemoryStream<Change> {
    /// Hands every change to `journal`, too.
    #[must_use]
    pub(super) fn kept_in(self, journal: Option<Arc<Journal>>) -> Self {
        let Some(journal) = journal else { return self };
        self.kept_by(Keeper::new(move |record| journal.record(record, Entry::Change)))
    }
}

#[cfg(test)]
mod tests;
