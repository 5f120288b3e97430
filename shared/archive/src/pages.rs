//! Pages compressed by one compressor for all columns of all files.

use std::{cell::RefCell, io};

use bytes::Bytes;
use parquet::{
    column::page::{CompressedPage, Page, PageWriteSpec, PageWriter},
    errors::{ParquetError, Result},
    file::writer::{SerializedPageWriter, TrackedWrite},
};
use zstd::bulk::Compressor;

/// Higher levels take much longer and save little.
pub(crate) const ZSTD_LEVEL: i32 = 3;

thread_local! {
    /// To set one up takes tens of microseconds, longer than to compress a small page: it asks for
    /// the processor's features, which a virtual machine must leave for its host to answer.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(bytes: &[u8]) -> io::Result<Bytes> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(bytes).map(Bytes::from)
    })
}

/// Writes the pages of a column, which come as they are.
pub(crate) struct Pages<'a> {
    chunk: SerializedPageWriter<'a, Vec<u8>>,
    /// With Zstandard, or as they are.
    compress: bool,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(chunk: &'a mut TrackedWrite<Vec<u8>>, compress: bool) -> Self {
        Self { chunk: SerializedPageWriter::new(chunk), compress }
    }
}

impl PageWriter for Pages<'_> {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        if !self.compress {
            return self.chunk.write_page(page);
        }
        let bytes = page.uncompressed_size();
        let mut page = page.compressed_page().clone();
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = compress(buf)?,
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
