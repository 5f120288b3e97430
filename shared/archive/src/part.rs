//! Part of a Parquet file: the bytes that were read of it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaDataReader, RowGroupMetaData},
        statistics::Statistics,
    },
};

use rendezvous_core::{EndpointName, Timestamp};

use crate::{
    claims::check_rows,
    row_group::{RowGroup, Unreadable, range},
    sparse::Sparse,
    thrift::check_footer,
};

/// Which row groups are read. Rows of other endpoints and times can be among theirs.
#[derive(Clone, Debug)]
pub struct Extent<'a> {
    /// All endpoints without one.
    pub endpoint: Option<&'a EndpointName>,
    /// When the rows arrived: tells the hours whose partitions are read.
    pub arrived: Range<Timestamp>,
    /// When their requests were received; all in a table without that column.
    pub received: Range<Timestamp>,
}

/// How much is read of the end of a file: the footer, and the whole of a small file. Ranges that are
/// closer than this to each other are read as one, because a request takes longer than these bytes.
const TAIL: u64 = 64 * 1024;

/// A file of which the footer, and then the chosen columns of the chosen row groups, are read.
pub(crate) struct Part {
    bytes: Arc<Sparse>,
    /// How much of the end is wanted.
    tail: u64,
    groups: Vec<RowGroupMetaData>,
    columns: &'static [&'static str],
    has_footer: bool,
}

impl Part {
    /// Nothing yet of a file of that many bytes.
    pub(crate) fn new(length: u64) -> Self {
        let bytes = Arc::new(Sparse { length, parts: Vec::new() });
        let (groups, columns) = (Vec::new(), &[] as &[_]);
        Self { bytes, tail: TAIL, groups, columns, has_footer: false }
    }

    /// The range to read for the footer; `None` once it is read.
    pub(crate) fn footer(&mut self) -> Result<Option<Range<u64>>, Unreadable> {
        let length = self.bytes.length;
        if self.has_footer {
            return Ok(None);
        }
        if let Some((_, tail)) = self.bytes.parts.last() {
            check_footer(tail)?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(tail, length) {
                Ok(()) => {
                    self.groups = reader.finish()?.row_groups().to_vec();
                    check_rows(&self.groups, length)?;
                    self.has_footer = true;
                    return Ok(None);
                }
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > self.tail => {
                    self.tail = needed as u64;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(length.saturating_sub(self.tail)..length))
    }

    /// Keeps the row groups that can hold rows of the extent, and of these the columns.
    pub(crate) fn choose(&mut self, columns: &'static [&'static str], extent: &Extent<'_>) {
        self.columns = columns;
        self.groups.retain(|group| may_hold(group, extent));
    }

    /// The ranges that the chosen columns need and that are not read yet.
    pub(crate) fn missing(&self) -> Result<Vec<Range<u64>>, Unreadable> {
        let mut ranges = Vec::new();
        for group in &self.groups {
            for column in group.columns() {
                let range = range(column, self.bytes.length)?;
                let is_chosen = name(column).is_some_and(|name| self.columns.contains(&name));
                if is_chosen && self.bytes.part(range.start, range.end).is_none() {
                    ranges.push(range);
                }
            }
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(TAIL) => {
                    last.end = last.end.max(range.end);
                }
                _ => joined.push(range),
            }
        }
        Ok(joined)
    }

    /// Takes bytes of the file that begin at `start`.
    pub(crate) fn add(&mut self, start: u64, bytes: Bytes) {
        if let Some(sparse) = Arc::get_mut(&mut self.bytes) {
            sparse.parts.push((start, bytes));
        }
    }

    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.parts.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// The chosen row groups. Columns that were not chosen cannot be read.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Result<RowGroup<'_>, Unreadable>> {
        self.groups.iter().map(|group| RowGroup::new(self.bytes.clone(), group))
    }
}

/// The name of a column, also of a list.
fn name(column: &ColumnChunkMetaData) -> Option<&str> {
    column.column_path().parts().first().map(String::as_str)
}

/// Whether the statistics of a row group do not exclude that it holds rows of the extent. Without
/// statistics they exclude nothing.
fn may_hold(group: &RowGroupMetaData, extent: &Extent<'_>) -> bool {
    let statistics = |wanted: &str| {
        let mut columns = group.columns().iter();
        columns.find(|column| name(column) == Some(wanted))?.statistics()
    };
    let is_of_endpoint = match (extent.endpoint, statistics("endpoint")) {
        (Some(endpoint), Some(Statistics::ByteArray(values))) => {
            let endpoint = endpoint.as_str().as_bytes();
            // A bound that was cut short is still a bound.
            values.min_opt().is_none_or(|least| least.data() <= endpoint)
                && values.max_opt().is_none_or(|greatest| greatest.data() >= endpoint)
        }
        _ => true,
    };
    let is_within = |column: &str, of: &Range<Timestamp>| match statistics(column) {
        Some(Statistics::Int64(values)) => {
            let at = Timestamp::from_micros;
            values.min_opt().is_none_or(|first| at(*first) < of.end)
                && values.max_opt().is_none_or(|last| at(*last) >= of.start)
        }
        _ => true,
    };
    is_of_endpoint
        && is_within("received_us", &extent.received)
        && is_within("arrived_us", &extent.arrived)
}
