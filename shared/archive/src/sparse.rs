//! The bytes that were read of a file.

use std::io;

use bytes::{Buf, Bytes, buf::Reader};
use parquet::{
    errors::{ParquetError, Result},
    file::reader::{ChunkReader, Length},
};

/// A file of which some parts are in memory.
pub(crate) struct Sparse {
    pub(crate) length: u64,
    /// Where each part begins, and its bytes.
    pub(crate) parts: Vec<(u64, Bytes)>,
}

impl Sparse {
    /// The bytes from `start` up to `end`, if they are in one part.
    pub(crate) fn part(&self, start: u64, end: u64) -> Option<Bytes> {
        self.parts.iter().find_map(|(begins, bytes)| {
            let from = usize::try_from(start.checked_sub(*begins)?).ok()?;
            let to = usize::try_from(end.checked_sub(*begins)?).ok()?;
            (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
        })
    }

    /// The bytes from `start` up to the end of their part.
    pub(crate) fn from(&self, start: u64) -> Result<Bytes> {
        let rest = self.parts.iter().find_map(|(begins, bytes)| {
            let from = usize::try_from(start.checked_sub(*begins)?).ok()?;
            (from < bytes.len()).then(|| bytes.slice(from..))
        });
        rest.ok_or_else(|| not_read(start))
    }
}

impl Length for Sparse {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Sparse {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.from(start).map(Buf::reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.saturating_add(length as u64);
        self.part(start, end).ok_or_else(|| not_read(start))
    }
}

fn not_read(at: u64) -> ParquetError {
    let kind = io::ErrorKind::UnexpectedEof;
    ParquetError::External(io::Error::new(kind, format!("byte {at} was not read")).into())
}
