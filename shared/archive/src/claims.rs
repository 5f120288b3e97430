//! What a file says of its size, checked before memory is taken for it. A small file, damaged or made
//! so, could otherwise take all memory. What its pages really hold is read.

use std::{cell::RefCell, io, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::Compression,
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, RowGroupMetaData},
        serialized_reader::SerializedPageReader,
    },
    schema::types::ColumnDescPtr,
};
use zstd::{bulk::Decompressor, zstd_safe::get_frame_content_size};

use crate::{deltas, sparse::Sparse, thrift::check_pages};

/// Rows that a file may have however small it is. Of more rows each takes a byte of the file or more: no
/// two requests have the same id, and no two scores of a request the same place on the stream.
const MOST_ROWS: u64 = 16 * 1024;

/// How many values a column of lists may have for each of the rows that a file may have.
const MOST_IN_LIST: usize = 16;

/// The most bytes of a page that is compressed. A writer ends a page at some 1 MiB, but for its last value,
/// which is at most a payload.
const MOST_PAGE: usize = 16 * 1024 * 1024;

fn refused(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// How many rows a file of that many bytes may have.
fn most_rows(length: u64) -> u64 {
    length.max(MOST_ROWS)
}

/// Fails where a file of that many bytes cannot have as many rows as it says.
pub(crate) fn check_rows(groups: &[RowGroupMetaData], length: u64) -> Result<()> {
    let mut left = most_rows(length);
    for group in groups {
        let rows = u64::try_from(group.num_rows()).ok();
        left = rows.and_then(|rows| left.checked_sub(rows)).ok_or_else(|| {
            refused(format!("{} rows in a file of {length} bytes", group.num_rows()))
        })?;
    }
    Ok(())
}

/// The pages of a column of a row group with so many rows.
pub(crate) fn pages(
    bytes: Arc<Sparse>,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<Box<dyn PageReader>> {
    let is_compressed = match column.compression() {
        Compression::UNCOMPRESSED => false,
        Compression::ZSTD(_) => true,
        other => return Err(refused(format!("compression {other} is not supported"))),
    };
    let most = usize::try_from(most_rows(bytes.length)).unwrap_or(usize::MAX);
    let is_list = column.column_descr().max_rep_level() > 0;
    let left = if is_list { most.saturating_mul(MOST_IN_LIST) } else { rows };
    // The reader would take the memory that the header of a page asks for before it decompresses it.
    let as_stored =
        column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
    let (begin, length) = column.byte_range();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > 0 {
        check_pages(&bytes.from(begin)?, length)?;
    }
    let stored = SerializedPageReader::new(bytes, &as_stored, rows, None)?;
    Ok(Box::new(Pages { stored, column: column.column_descr_ptr(), is_compressed, left }))
}

/// Pages as they are decoded.
struct Pages {
    stored: SerializedPageReader<Sparse>,
    column: ColumnDescPtr,
    is_compressed: bool,
    /// How many values the pages to come may have.
    left: usize,
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.stored.get_next_page()? else { return Ok(None) };
        if self.is_compressed {
            decompress(&mut page)?;
        }
        let values = page.num_values() as usize;
        if values > self.left {
            return Err(refused(format!("a page of {values} values, of {} at most", self.left)));
        }
        if let Page::DictionaryPage { buf, .. } = &page {
            // A value takes four bytes, its length, or more. It is used, so that the column has as many.
            if values > buf.len() / 4 {
                return Err(refused(format!("{values} values in {} bytes", buf.len())));
            }
        } else {
            deltas::check(&page, &self.column)?;
            self.left -= values;
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.stored.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.stored.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Decompresses what is compressed of a page.
fn decompress(page: &mut Page) -> Result<()> {
    match page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = decompressed(buf)?,
        Page::DataPageV2 {
            buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, ..
        } => {
            let levels = def_levels_byte_len.saturating_add(*rep_levels_byte_len) as usize;
            if *is_compressed && levels < buf.len() {
                let values = decompressed(&buf[levels..])?;
                *buf = [&buf[..levels], &values].concat().into();
            }
        }
    }
    Ok(())
}

thread_local! {
    /// To set one up takes longer than to decompress a small page.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompressed(bytes: &[u8]) -> Result<Bytes> {
    if bytes.is_empty() {
        return Ok(Bytes::new());
    }
    let said = get_frame_content_size(bytes).map_err(|_| refused("a page is not compressed"))?;
    // Not every writer says it.
    let size = said.map_or(Ok(MOST_PAGE), usize::try_from).unwrap_or(usize::MAX);
    if size > MOST_PAGE {
        return Err(refused(format!("a page of {size} bytes, of {MOST_PAGE} at most")));
    }
    let decompress = || -> io::Result<Vec<u8>> {
        DECOMPRESSOR.with_borrow_mut(|decompressor| {
            let decompressor = match decompressor {
                Some(decompressor) => decompressor,
                none => none.insert(Decompressor::new()?),
            };
            let mut page = decompressor.decompress(bytes, size)?;
            page.shrink_to_fit();
            Ok(page)
        })
    };
    decompress().map(Bytes::from).map_err(|error| ParquetError::External(error.into()))
}
