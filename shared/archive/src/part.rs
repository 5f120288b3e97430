//! Part of a Parquet file: the bytes that were read of it.

use std::{io, ops::Range, sync::Arc};

use bytes::{Buf, Bytes, buf::Reader};
use parquet::{
    errors::{ParquetError, Result},
    file::{
        metadata::{
            ColumnChunkMetaData, ParquetMetaDataReader, RowGroupMetaData,
            page_index::RowGroupPageIndex,
        },
        properties::{ReaderProperties, ReaderPropertiesPtr},
        reader::{ChunkReader, Length},
        serialized_reader::SerializedRowGroupReader,
        statistics::Statistics,
    },
};

use rendezvous_core::{EndpointName, Timestamp};

use crate::row_group::Unreadable;

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
    properties: ReaderPropertiesPtr,
    columns: &'static [&'static str],
    has_footer: bool,
}

impl Part {
    /// Nothing yet of a file of that many bytes.
    pub(crate) fn new(length: u64) -> Self {
        let bytes = Arc::new(Sparse { length, parts: Vec::new() });
        let properties = Arc::new(ReaderProperties::builder().build());
        let (groups, columns) = (Vec::new(), &[] as &[_]);
        Self { bytes, tail: TAIL, groups, properties, columns, has_footer: false }
    }

    /// The range to read for the footer; `None` once it is read.
    pub(crate) fn footer(&mut self) -> std::result::Result<Option<Range<u64>>, Unreadable> {
        let length = self.bytes.length;
        if self.has_footer {
            return Ok(None);
        }
        if let Some((_, tail)) = self.bytes.parts.last() {
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(tail, length) {
                Ok(()) => {
                    self.groups = reader.finish()?.row_groups().to_vec();
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
    pub(crate) fn missing(&self) -> std::result::Result<Vec<Range<u64>>, Unreadable> {
        let mut ranges = Vec::new();
        for group in &self.groups {
            // A reader of a row group panics where the metadata of any column is impossible.
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
    pub(crate) fn groups(
        &self,
    ) -> impl Iterator<Item = Result<SerializedRowGroupReader<'_, Sparse>>> {
        self.groups.iter().enumerate().map(|(index, group)| {
            let (bytes, properties) = (self.bytes.clone(), self.properties.clone());
            SerializedRowGroupReader::new(
                bytes,
                group,
                RowGroupPageIndex::new(index, None),
                properties,
            )
        })
    }
}

/// The name of a column, also of a list.
fn name(column: &ColumnChunkMetaData) -> Option<&str> {
    column.column_path().parts().first().map(String::as_str)
}

/// Where a column is in the file.
pub(crate) fn range(
    column: &ColumnChunkMetaData,
    length: u64,
) -> std::result::Result<Range<u64>, Unreadable> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let start = u64::try_from(start).ok();
    let bytes = u64::try_from(column.compressed_size()).ok();
    let end = start.zip(bytes).and_then(|(start, bytes)| start.checked_add(bytes));
    match (start, end) {
        (Some(start), Some(end)) if end <= length => Ok(start..end),
        _ => Err(ParquetError::General("a column lies outside the file".to_owned()).into()),
    }
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

/// A file of which some parts are in memory.
pub(crate) struct Sparse {
    length: u64,
    /// Where each part begins, and its bytes.
    parts: Vec<(u64, Bytes)>,
}

impl Sparse {
    /// The bytes from `start` up to `end`, if they are in one part.
    fn part(&self, start: u64, end: u64) -> Option<Bytes> {
        self.parts.iter().find_map(|(begins, bytes)| {
            let from = usize::try_from(start.checked_sub(*begins)?).ok()?;
            let to = usize::try_from(end.checked_sub(*begins)?).ok()?;
            (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
        })
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
        let rest = self.parts.iter().find_map(|(begins, bytes)| {
            let from = usize::try_from(start.checked_sub(*begins)?).ok()?;
            (from < bytes.len()).then(|| bytes.slice(from..))
        });
        rest.map(Buf::reader).ok_or_else(|| not_read(start))
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
