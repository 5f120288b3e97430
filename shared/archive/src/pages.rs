//! Pages compressed by one compressor for all columns of all files.

use std::{cell::RefCell, io};

use bytes::Bytes;
use parquet::{
    column::page::{CompressedPage, Page, PageWriteSpec, PageWriter},
    errors::{ParquetError, Result},
    file::writer::{SerializedPageWriter, TrackedWrite},
};
use zstd::{bulk::Compressor, zstd_safe::CParameter};

/// Higher levels take much longer and save little.
pub(crate) const ZSTD_LEVEL: i32 = 3;

/// The shortest repetition that Zstandard looks for in a column; by itself it looks for 4 or 5 bytes at this level.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repetition {
    /// In JSON. Numbers have many short ones by chance, and words some that are worth it: with 7, prose becomes 5 %
    /// larger, with 6, 1 %.
    Six = 6,
    /// In ids, keys and sequence numbers. Random digits repeat 4 or 5 others often, and to say where takes as many bits
    /// as to write them again.
    Seven = 7,
}

thread_local! {
    /// To set one up takes tens of microseconds, longer than to compress a small page: it asks for
    /// the processor's features, which a virtual machine must leave for its host to answer.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(bytes: &[u8], shortest: Repetition) -> io::Result<Bytes> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.set_parameter(CParameter::MinMatch(shortest as u32))?;
        compressor.compress(bytes).map(Bytes::from)
    })
}

/// Writes the pages of a column, which come as they are.
pub(crate) struct Pages<'a> {
    chunk: SerializedPageWriter<'a, Vec<u8>>,
    /// With Zstandard, or as they are.
    compress: Option<Repetition>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(chunk: &'a mut TrackedWrite<Vec<u8>>, compress: Option<Repetition>) -> Self {
        Self { chunk: SerializedPageWriter::new(chunk), compress }
    }
}

impl PageWriter for Pages<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let Some(shortest) = self.compress else { return self.chunk.write_page(page) };
        let bytes = page.uncompressed_size();
        let mut page = page.compressed_page().clone();
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
                *buf = compress(buf, shortest)?;
            }
            // Of these only a part is compressed. Files of version 1 have none.
            Page::DataPageV2 { .. } => {
                return Err(ParquetError::NYI("pages of version 2".to_owned()));
            }
        }
        self.chunk.write_page(CompressedPage::new(page, bytes))
    }

    fn close(&mut self) -> Result<()> {
        self.chunk.close()
    }
}
