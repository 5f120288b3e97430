//! Files of a table that take the place of others: without the rows of some requests, or with the rows of several files.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use rendezvous_core::{
    EndpointName, Key, RequestId, Timestamp,
    ports::{ArchiveFiles, StoredFile},
};

use crate::{
    layout::{Row, Select, columns},
    part::Extent,
    read::read,
    row_group::Unreadable,
    scan::{ScanError, fetch},
    tables::{DecisionRow, OutcomeRow, ReplayRow, RequestRow, ScoreRow},
    thrift::check_footer,
    write::{Unwritable, write},
};

/// What says to whom a row of any table belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub request_id: RequestId,
    /// None in a table without keys.
    pub key: Option<Key>,
    /// None in a table without it.
    pub received_us: Option<Timestamp>,
    endpoint: EndpointName,
}

columns! {
    impl<> for Subject, "requests",
    request_id: RequestId, key: Option<Key>, received_us: Option<Timestamp>, endpoint: EndpointName,
}

/// The subjects of the rows of this endpoint in a file of any table.
pub async fn subjects(
    files: &impl ArchiveFiles,
    file: StoredFile,
    endpoint: &EndpointName,
) -> Result<Vec<Subject>, ScanError> {
    let always = Timestamp::from_micros(i64::MIN)..Timestamp::from_micros(i64::MAX);
    let (arrived, received) = (always.clone(), always);
    let extent = Extent { endpoint: Some(endpoint), arrived, received };
    let (name, part) = fetch::<Subject>(files, file, &extent).await?;
    let failed = |cause| ScanError::File { name: name.clone(), cause };
    let mut subjects = Vec::new();
    for group in part.groups() {
        let rows = group.and_then(|group| Subject::read(&group)).map_err(failed)?;
        subjects.extend(rows.into_iter().filter(|row| row.endpoint == *endpoint));
    }
    Ok(subjects)
}

/// What became of the rows of some files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// A file of the rows that are kept; none where there are none.
    pub body: Option<Bytes>,
    /// Rows in it.
    pub rows: u64,
    /// Rows that were not to be kept.
    pub dropped: u64,
    /// Rows that were equal to another one in everything, so that they are in it once.
    pub copies: u64,
}

/// Why files of a table cannot be written anew. They stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    #[error("table {0} is not known")]
    Table(String),
    /// It would be lost.
    #[error("column {0} is not known: use the version of this tool that belongs to the system")]
    Column(String),
}

/// Whether rows that are equal in everything are kept once or as often as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    Once,
    All,
}

/// Writes all rows of some files of a table that are to be kept into one file. The same rows become the same
/// bytes, in whatever files they were.
pub fn rewrite(
    table: &str,
    files: Vec<Bytes>,
    keep: impl Fn(&EndpointName, RequestId) -> bool,
    copies: Copies,
) -> Result<Rewritten, RewriteError> {
    match table {
        "requests" => of_table::<RequestRow<'_>>(files, keep, copies),
        "scores" => of_table::<ScoreRow<'_>>(files, keep, copies),
        "decisions" => of_table::<DecisionRow<'_>>(files, keep, copies),
        "outcomes" => of_table::<OutcomeRow<'_>>(files, keep, copies),
        "replays" => of_table::<ReplayRow<'_>>(files, keep, copies),
        other => Err(RewriteError::Table(other.to_owned())),
    }
}

fn of_table<R: Row + std::fmt::Debug + PartialEq>(
    files: Vec<Bytes>,
    keep: impl Fn(&EndpointName, RequestId) -> bool,
    copies: Copies,
) -> Result<Rewritten, RewriteError> {
    let mut requests: BTreeMap<(EndpointName, RequestId), Vec<R>> = BTreeMap::new();
    let mut rewritten = Rewritten::default();
    for file in files {
        require_known::<R>(&file)?;
        for row in read::<R>(file)? {
            if keep(row.endpoint(), row.request_id()) {
                requests.entry((row.endpoint().clone(), row.request_id())).or_default().push(row);
            } else {
                rewritten.dropped += 1;
            }
        }
    }
    for rows in requests.values_mut() {
        let before = rows.len();
        if before > 1 {
            // Different rows in one place are seldom: that of an outcome whose value was computed twice.
            rows.sort_by_cached_key(|row| {
                let (arrived, sequence) = row.place();
                (arrived, sequence.to_owned(), format!("{row:?}"))
            });
        }
        if copies == Copies::Once {
            rows.dedup();
        }
        rewritten.copies += (before - rows.len()) as u64;
    }
    let rows: Vec<&R> = requests.values().flatten().collect();
    rewritten.rows = rows.len() as u64;
    if !rows.is_empty() {
        rewritten.body = Some(write(&rows)?);
    }
    Ok(rewritten)
}

/// Fails where the file has a column that the table does not have.
fn require_known<R: Row>(file: &Bytes) -> Result<(), RewriteError> {
    check_footer(file).map_err(Unreadable::from)?;
    let file = SerializedFileReader::new(file.clone()).map_err(Unreadable::from)?;
    let known: BTreeSet<&str> = R::COLUMNS.iter().copied().collect();
    let schema = file.metadata().file_metadata().schema();
    match schema.get_fields().iter().find(|field| !known.contains(field.name())) {
        Some(field) => Err(RewriteError::Column(field.name().to_owned())),
        None => Ok(()),
    }
}
