//! A row group of a file, column by column.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::{
    basic::Type as Physical,
    column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::reader::RowGroupReader,
};
use rendezvous_core::Invalid;

use crate::value::{Cell, Value};

/// A file that cannot be read as one of a table.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] ParquetError),
    #[error("column {column}: {reason}")]
    Column { column: &'static str, reason: Invalid },
}

/// A row group of a file: rows that are stored together, column by column.
pub struct RowGroup<'f>(pub(crate) &'f dyn RowGroupReader);

impl RowGroup<'_> {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        usize::try_from(self.0.metadata().num_rows()).unwrap_or(0)
    }

    /// All values of a column, one for each row.
    pub fn column<V: Value>(&self, name: &'static str) -> Result<Vec<V>, Unreadable> {
        let invalid = |reason| Unreadable::Column { column: name, reason };
        let columns = self.0.metadata().columns();
        let at = columns
            .iter()
            .position(|column| column.column_path().parts().first().is_some_and(|n| n == name));
        let Some(at) = at else {
            let absent = || V::absent().ok_or_else(|| invalid(Invalid::new("missing")));
            return (0..self.rows()).map(|_| absent()).collect();
        };
        let reader = self.0.get_column_reader(at)?;
        let defined = columns[at].column_descr().max_def_level();
        let values = match columns[at].column_type() {
            Physical::BYTE_ARRAY => {
                let cells = Cells::<ByteArrayType>::read(reader, self.rows(), defined)?;
                if cells.values.iter().any(|text| text.as_utf8().is_err()) {
                    return Err(invalid(Invalid::new("not UTF-8")));
                }
                V::collect(cells.iter(|text| Cell::Text(text.as_utf8().unwrap_or_default())))
            }
            Physical::INT64 => {
                let cells = Cells::<Int64Type>::read(reader, self.rows(), defined)?;
                V::collect(cells.iter(|number| Cell::Integer(*number)))
            }
            Physical::DOUBLE => {
                let cells = Cells::<DoubleType>::read(reader, self.rows(), defined)?;
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
    fn read(reader: ColumnReader, rows: usize, defined: i16) -> Result<Self, ParquetError> {
        let read = || Self::decode(reader, rows, defined);
        let damaged = |_| Err(ParquetError::General("a page is damaged".to_owned()));
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(damaged)
    }

    fn decode(reader: ColumnReader, rows: usize, defined: i16) -> Result<Self, ParquetError> {
        let mut reader: ColumnReaderImpl<T> = get_typed_column_reader(reader);
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
