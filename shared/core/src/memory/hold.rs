//! What keeps a segment of a journal.

use std::sync::{Arc, Mutex};

use super::lock;

/// What is written together and deleted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The records of streams and the changes of tables, until every subscription has dropped them.
    Streams,
    /// The mailboxes of the ledger, until it forgets them.
    Ledger,
}

impl Part {
    pub const ALL: [Self; 2] = [Self::Streams, Self::Ledger];
}

/// The segments that nobody holds any more.
pub(super) type Released = Arc<Mutex<Vec<(Part, u64)>>>;

/// Keeps a segment for as long as it, or a clone of it, exists.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Segment>);

impl Hold {
    pub(super) fn new(part: Part, number: u64, released: &Released) -> Self {
        let released = released.clone();
        Self(Arc::new(Segment { part, number, released }))
    }

    pub(super) fn segment(&self) -> u64 {
        self.0.number
    }
}

#[derive(Debug)]
struct Segment {
    part: Part,
    number: u64,
    released: Released,
}

impl Drop for Segment {
    fn drop(&mut self) {
        lock(&self.released).push((self.part, self.number));
    }
}
