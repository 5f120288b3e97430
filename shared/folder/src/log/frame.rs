//! How entries are written.

use std::io;

use bytes::Bytes;
use rendezvous_core::Timestamp;

/// Length and sum.
const FRAME_HEAD: usize = 8;
/// Kind, time and lengths.
const ENTRY_HEAD: usize = 17;

/// An entry as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub kind: u8,
    pub arrived: Timestamp,
    pub key: Bytes,
    pub data: Bytes,
}

/// Entries that are appended together. It can be filled again after [`Self::clear`].
#[derive(Debug)]
pub struct Frame(Vec<u8>);

impl Default for Frame {
    fn default() -> Self {
        Self(vec![0; FRAME_HEAD])
    }
}

impl Frame {
    /// Adds an entry.
    pub fn push(&mut self, kind: u8, arrived: Timestamp, key: &[u8], data: &[u8]) {
        // Lengths are checked when it is finished: an entry is shorter than its frame.
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.0.push(kind);
        self.0.extend_from_slice(&arrived.as_micros().to_le_bytes());
        self.0.extend_from_slice(&length(key));
        self.0.extend_from_slice(&length(data));
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(data);
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() <= FRAME_HEAD
    }

    /// Removes all entries. A buffer that has become large is given back.
    pub fn clear(&mut self) {
        const USUAL: usize = 1024 * 1024;
        self.0.truncate(FRAME_HEAD);
        self.0.shrink_to(USUAL);
    }

    /// The bytes to append.
    pub fn finish(&mut self) -> io::Result<&[u8]> {
        let entries = &self.0[FRAME_HEAD..];
        let length = u32::try_from(entries.len()).map_err(io::Error::other)?;
        let sum = crc32fast::hash(entries);
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        self.0[4..FRAME_HEAD].copy_from_slice(&sum.to_le_bytes());
        Ok(&self.0)
    }
}

/// The entries of whole frames, and how many bytes these take.
pub fn read(bytes: &[u8]) -> (Vec<Kept>, usize) {
    let (mut entries, mut rest) = (Vec::new(), bytes);
    while let Some(after) = read_frame(rest, &mut entries) {
        rest = after;
    }
    (entries, bytes.len() - rest.len())
}

/// Reads a frame; returns what follows it. Of a frame that is not whole or not right, no entry is added.
fn read_frame<'b>(bytes: &'b [u8], entries: &mut Vec<Kept>) -> Option<&'b [u8]> {
    let (length, after) = number(bytes)?;
    let (sum, after) = number(after)?;
    let (mut frame, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    // No frame is empty: a part of the file that was never written is zeros.
    if frame.is_empty() || crc32fast::hash(frame) != sum {
        return None;
    }
    let whole = entries.len();
    while !frame.is_empty() {
        let Some((entry, next)) = read_entry(frame) else {
            entries.truncate(whole);
            return None;
        };
        entries.push(entry);
        frame = next;
    }
    Some(after)
}

fn read_entry(bytes: &[u8]) -> Option<(Kept, &[u8])> {
    let (head, rest) = bytes.split_at_checked(ENTRY_HEAD)?;
    let (kind, head) = head.split_first()?;
    let (arrived, head) = head.split_first_chunk()?;
    let (key, head) = number(head)?;
    let (data, _) = number(head)?;
    let (key, rest) = rest.split_at_checked(usize::try_from(key).ok()?)?;
    let (data, rest) = rest.split_at_checked(usize::try_from(data).ok()?)?;
    let entry = Kept {
        kind: *kind,
        arrived: Timestamp::from_micros(i64::from_le_bytes(*arrived)),
        key: Bytes::copy_from_slice(key),
        data: Bytes::copy_from_slice(data),
    };
    Some((entry, rest))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}
