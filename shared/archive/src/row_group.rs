//! A row group of a file, column by column.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parquet::{
    basic::Type as Physical,
    column::reader::ColumnReaderImpl,
    data_type::{ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::metadata::{ColumnChunkMetaData, RowGroupMetaData},
};
use rendezvous_core::Invalid;

use crate::{
    claims::pages,
    sparse::Sparse,
    value::{Cell, Value},
};

/// A file that cannot be read as one of a table.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] ParquetError),
    #[error("column {column}: {reason}")]
    Column { column: &'static str, reason: Invalid },
}

/// A row group of a file: rows that are stored together, column by column.
pub struct RowGroup<'f> {
    bytes: Arc<Sparse>,
    metadata: &'f RowGroupMetaData,
}

impl<'f> RowGroup<'f> {
    pub(crate) fn new(
        bytes: Arc<Sparse>,
        metadata: &'f RowGroupMetaData,
    ) -> Result<Self, Unreadable> {
        for column in metadata.columns() {
            range(column, bytes.length)?;
        }
        Ok(Self { bytes, metadata })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.num_rows()).unwrap_or(0)
    }

    /// All values of a column, one for each row.
    pub fn column<V: Value>(&self, name: &'static str) -> Result<Vec<V>, Unreadable> {
        let invalid = |reason| Unreadable::Column { column: name, reason };
        let columns = self.metadata.columns();
        let at = columns
            .iter()
            .position(|column| column.column_path().parts().first().is_some_and(|n| n == name));
        let Some(at) = at else {
            let absent = || V::absent().ok_or_else(|| invalid(Invalid::new("missing")));
            return (0..self.rows()).map(|_| absent()).collect();
        };
        let column = &columns[at];
        let values = match column.column_type() {
            Physical::BYTE_ARRAY => {
                let cells = Cells::<ByteArrayType>::read(self, column)?;
                if cells.values.iter().any(|text| text.as_utf8().is_err()) {
                    return Err(invalid(Invalid::new("not UTF-8")));
                }
                V::collect(cells.iter(|text| Cell::Text(text.as_utf8().unwrap_or_default())))
            }
            Physical::INT64 => {
                let cells = Cells::<Int64Type>::read(self, column)?;
                V::collect(cells.iter(|number| Cell::Integer(*number)))
            }
            Physical::DOUBLE => {
                let cells = Cells::<DoubleType>::read(self, column)?;
                V::collect(cells.iter(|number| Cell::Double(*number)))
            }
            other => Err(Invalid::new(format!("physical type {other} is not supported"))),
        };
        let values = values.map_err(invalid)?;
        if values.len() == self.rows() {
            return Ok(values);
        }
        let (found, rows) = (values.len(), self.rows());
        Err(invalid(Invalid::new(format!("{found} values in {rows} rows"))))
    }
}

/// A column as it is stored: values that are not null, and Dremel's levels.
struct Cells<T: DataType> {
    values: Vec<T::T>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
    /// The definition level of a value that is not null.
    defined: i16,
}

impl<T: DataType> Cells<T> {
    /// The decoders of `parquet` panic on some pages that are damaged; that is an error here.
    fn read(group: &RowGroup<'_>, column: &ColumnChunkMetaData) -> Result<Self, ParquetError> {
        let read = || Self::decode(group, column);
        let damaged = |_| Err(ParquetError::General("a page is damaged".to_owned()));
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(damaged)
    }

    fn decode(group: &RowGroup<'_>, column: &ColumnChunkMetaData) -> Result<Self, ParquetError> {
        let (rows, descriptor) = (group.rows(), column.column_descr_ptr());
        let defined = descriptor.max_def_level();
        let pages = pages(group.bytes.clone(), column, rows)?;
        let mut reader = ColumnReaderImpl::<T>::new(descriptor, pages);
        let mut cells =
            Self { values: Vec::new(), definition: Vec::new(), repetition: Vec::new(), defined };
        let mut left = rows;
        while left > 0 {
            let Self { values, definition, repetition, .. } = &mut cells;
            let (read, ..) =
                reader.read_records(left, Some(definition), Some(repetition), values)?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        Ok(cells)
    }

    /// Each value or null, with whether a row begins with it.
    fn iter<'c>(
        &'c self,
        cell: impl Fn(&'c T::T) -> Cell<'c> + 'c,
    ) -> impl Iterator<Item = (bool, Option<Cell<'c>>)> {
        let mut values = self.values.iter();
        let count = self.values.len().max(self.definition.len());
        (0..count).map(move |i| {
            let begins = self.repetition.get(i).is_none_or(|level| *level == 0);
            let present = self.definition.get(i).is_none_or(|level| *level == self.defined);
            (begins, if present { values.next().map(&cell) } else { None })
        })
    }
}

/// Where a column is in the file. A reader of a column panics where its metadata is impossible.
pub(crate) fn range(column: &ColumnChunkMetaData, length: u64) -> Result<Range<u64>, Unreadable> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let start = u64::try_from(start).ok();
    let bytes = u64::try_from(column.compressed_size()).ok();
    let end = start.zip(bytes).and_then(|(start, bytes)| start.checked_add(bytes));
    match (start, end) {
        (Some(start), Some(end)) if end <= length => Ok(start..end),
        _ => Err(ParquetError::General("a column lies outside the file".to_owned()).into()),
    }
}
