//! Numbers that are packed as their differences: how many a page says that it has.
//!
//! Lengths of texts are packed so. The decoder takes memory for as many as the data say, which may be more
//! than the page has values.

use bytes::Bytes;
use parquet::{
    basic::Encoding,
    column::page::Page,
    errors::{ParquetError, Result},
    schema::types::ColumnDescriptor,
};

/// Fails where a page has more lengths than values.
pub(crate) fn check(page: &Page, column: &ColumnDescriptor) -> Result<()> {
    let sets = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // What a text has in common with the one before it, and what it adds.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let most = page.num_values() as usize;
    let lengths = || {
        let mut bytes = values(page, column)?;
        for _ in 0..sets {
            bytes = bytes.slice(end(&bytes, most)?..);
        }
        Some(())
    };
    lengths().ok_or_else(|| ParquetError::General("a page has more lengths than values".to_owned()))
}

/// The bytes after the levels.
fn values(page: &Page, column: &ColumnDescriptor) -> Option<Bytes> {
    match page {
        Page::DataPage { buf, def_level_encoding, rep_level_encoding, .. } => {
            let (repeated, defined) = (column.max_rep_level() > 0, column.max_def_level() > 0);
            let mut at = 0_usize;
            for (is_there, encoding) in
                [(repeated, rep_level_encoding), (defined, def_level_encoding)]
            {
                if is_there {
                    let length = buf.get(at..at.checked_add(4)?)?.try_into().ok()?;
                    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
                    // Levels without a length are of writers of long ago.
                    at = (*encoding == Encoding::RLE).then(|| at.checked_add(4 + length))??;
                }
            }
            (at <= buf.len()).then(|| buf.slice(at..))
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let at = def_levels_byte_len.checked_add(*rep_levels_byte_len)? as usize;
            (at <= buf.len()).then(|| buf.slice(at..))
        }
        Page::DictionaryPage { .. } => None,
    }
}

/// Where the numbers end, if they are at most so many.
fn end(bytes: &[u8], most: usize) -> Option<usize> {
    let mut at = 0;
    let mut next = || usize::try_from(varint(bytes, &mut at)?).ok();
    let (block, parts, count) = (next()?, next()?, next()?);
    varint(bytes, &mut at)?;
    let in_part = block.checked_div(parts).filter(|in_part| *in_part > 0)?;
    let mut left = (count <= most).then(|| count.saturating_sub(1))?;
    while left > 0 {
        varint(bytes, &mut at)?;
        let widths = bytes.get(at..at.checked_add(parts)?)?;
        at += parts;
        for width in widths {
            if left > 0 {
                at = at.checked_add(in_part.checked_mul(usize::from(*width))? / 8)?;
                left = left.saturating_sub(in_part);
            }
        }
    }
    (at <= bytes.len()).then_some(at)
}

/// The next number, seven bits a byte, the lowest first.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
