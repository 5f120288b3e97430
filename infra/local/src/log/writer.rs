//! The thread that writes the log.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rendezvous_core::{
    Timestamp,
    memory::{Journal, MemoryLedger, Part, Taken},
    now,
};
use rendezvous_folder::{Appender, FileError, FolderLog};

use super::{entries::Frames, trouble::Trouble};

/// A segment that has become so large is followed by another.
const SEGMENT: u64 = 8 * 1024 * 1024;

/// And one of the streams that is so old, so that little is delivered again.
const AGE: Duration = Duration::from_secs(5);

/// The pause after a write that has failed.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    folder: FolderLog,
    journal: Arc<Journal>,
    ledger: Arc<MemoryLedger>,
    /// The segments that are written now, by part, with their numbers.
    current: [Option<(u64, Appender)>; 2],
    /// Since when that of the streams is.
    since: Timestamp,
    frames: Frames,
    /// The segments of the ledger, and those of them that nobody needs.
    segments: BTreeSet<u64>,
    released: BTreeSet<u64>,
    trouble: Arc<Trouble>,
}

impl Writer {
    /// `former` are the segments of the ledger that there are.
    pub(super) fn new(
        folder: &FolderLog,
        journal: &Arc<Journal>,
        ledger: &Arc<MemoryLedger>,
        former: Vec<u64>,
    ) -> Self {
        Self {
            folder: folder.clone(),
            journal: journal.clone(),
            ledger: ledger.clone(),
            current: [None, None],
            since: now(),
            frames: Frames::default(),
            segments: former.into_iter().collect(),
            released: BTreeSet::new(),
            trouble: Arc::default(),
        }
    }

    /// What it says while it cannot write.
    pub(super) fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    /// Writes until the journal is closed. Returns how many entries could not be written.
    pub(super) fn run(mut self) -> usize {
        let mut rotate = [false; 2];
        while let Some(taken) = self.journal.take(rotate, AGE) {
            for entry in &taken.entries {
                self.frames.push(entry);
            }
            while let Err(error) = self.append(&taken) {
                self.trouble.begins(&error);
                if !self.journal.failed(error.to_string(), PAUSE) {
                    return taken.entries.len();
                }
            }
            self.trouble.ends();
            self.journal.wrote(&taken);
            self.delete(&taken.released);
            for part in Part::ALL {
                if rotate[part as usize] {
                    self.current[part as usize] = None;
                }
            }
            rotate = self.full();
        }
        0
    }

    /// Appends the frames that are not empty, and empties them.
    fn append(&mut self, taken: &Taken) -> Result<(), FileError> {
        for part in Part::ALL {
            let (frame, number) =
                (&mut self.frames.of[part as usize], taken.segments[part as usize]);
            if frame.is_empty() {
                continue;
            }
            let current = &mut self.current[part as usize];
            if current.as_ref().is_none_or(|(current, _)| *current != number) {
                *current = Some((number, self.folder.append_to(part, number)));
                match part {
                    Part::Streams => self.since = now(),
                    Part::Ledger => drop(self.segments.insert(number)),
                }
            }
            if let Some((_, appender)) = current {
                appender.append(frame)?;
            }
            frame.clear();
        }
        Ok(())
    }

    /// Which segments should be followed by others.
    fn full(&self) -> [bool; 2] {
        let has = |part: Part, bytes: u64| {
            let current = self.current[part as usize].as_ref();
            current.is_some_and(|(_, appender)| appender.length() >= bytes)
        };
        let is_old = now().since(self.since) >= AGE;
        let streams = has(Part::Streams, if is_old { 1 } else { SEGMENT });
        [streams, has(Part::Ledger, SEGMENT)]
    }

    /// Deletes what nobody needs.
    fn delete(&mut self, released: &[(Part, u64)]) {
        for (part, number) in released {
            match part {
                Part::Streams => self.delete_file(Part::Streams, *number),
                // One that was never written has no file.
                Part::Ledger if self.segments.contains(number) => {
                    self.released.insert(*number);
                }
                Part::Ledger => {}
            }
        }
        while let Some(first) = self.segments.first().copied()
            && self.released.remove(&first)
        {
            self.segments.remove(&first);
            self.delete_file(Part::Ledger, first);
        }
        if !self.released.is_empty()
            && let Some(first) = self.segments.first()
        {
            // Few mailboxes keep it, and with it all after it.
            self.ledger.keep_again(*first);
        }
    }

    fn delete_file(&self, part: Part, number: u64) {
        if let Err(error) = self.folder.delete(part, number) {
            // The next start reads it once more and deletes it.
            tracing::warn!(%error, "a segment of the log is not deleted");
        }
    }
}
