//! Reading a file.

use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};

use crate::{
    layout::Select,
    part::range,
    row_group::{RowGroup, Unreadable},
};

/// All rows of a file of a table, in the order of the file; `from` is its bytes, or the open file.
///
/// Columns that the table does not have are ignored. Optional columns and lists that the file does
/// not have, because it was written before they were added, are null or empty in every row.
pub fn read<R: Select>(from: impl ChunkReader + 'static) -> Result<Vec<R>, Unreadable> {
    let length = from.len();
    let file = SerializedFileReader::new(from)?;
    let mut rows = Vec::new();
    for group in 0..file.num_row_groups() {
        // A reader of a row group panics where the metadata of any column is impossible.
        for column in file.metadata().row_group(group).columns() {
            range(column, length)?;
        }
        rows.extend(R::read(&RowGroup(&*file.get_row_group(group)?))?);
    }
    Ok(rows)
}
