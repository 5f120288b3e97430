//! Reading a file.

use parquet::file::reader::ChunkReader;

use crate::{layout::Select, part::Part, row_group::Unreadable};

/// All rows of a file of a table, in the order of the file; `from` is its bytes, or the open file.
///
/// Columns that the table does not have are ignored. Optional columns and lists that the file does
/// not have, because it was written before they were added, are null or empty in every row.
#[expect(clippy::needless_pass_by_value, reason = "who reads all of it is done with it")]
pub fn read<R: Select>(from: impl ChunkReader + 'static) -> Result<Vec<R>, Unreadable> {
    let length = from.len();
    let mut part = Part::new(length);
    part.add(0, from.get_bytes(0, usize::try_from(length).unwrap_or(usize::MAX))?);
    let mut rows = Vec::new();
    if part.footer()?.is_none() {
        for group in part.groups() {
            rows.extend(R::read(&group?)?);
        }
    }
    Ok(rows)
}
