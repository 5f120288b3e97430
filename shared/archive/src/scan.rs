//! Reading a table of an archive: the partitions of some hours, of their files the row groups that
//! can hold rows of interest, and of these the columns that are asked for.

use std::{ops::Range, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_core::{
    Timestamp, Unavailable,
    ports::{ArchiveFiles, StoredFile},
};

use crate::{
    files::Hour,
    layout::Select,
    part::{Extent, Part},
    row_group::Unreadable,
};

/// Why a table could not be read. What was read before stays valid; the same call may succeed later.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("{name}: {cause}")]
    File { name: String, cause: Unreadable },
    /// Too little space, for example. `TMPDIR` names another folder.
    #[error("a temporary file in {}: {_0}", std::env::temp_dir().display())]
    Temporary(#[from] std::io::Error),
}

/// How far a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub table: &'static str,
    /// Days that are read, and all that will be.
    pub days: usize,
    pub of_days: usize,
    /// Files of these days.
    pub files: usize,
    /// Bytes that were read of them.
    pub bytes: u64,
}

/// How many files are read at a time. S3 answers within some 30 ms, and a stack writes a file a
/// minute, table and shard.
pub(crate) const AT_A_TIME: usize = 32;

/// Reads the columns `S` and hands over the rows of each row group, file by file in the order of
/// their names, and after each day the progress.
///
/// In memory are the listing of a day's files and the columns of 32 row groups.
pub async fn scan<S: Select>(
    files: &impl ArchiveFiles,
    extent: &Extent<'_>,
    mut each: impl FnMut(Vec<S>) -> Result<(), ScanError>,
    mut progress: impl FnMut(Progress),
) -> Result<(), ScanError> {
    let hours = Hours::of(extent);
    let days = hours.days(files, S::TABLE).await?;
    let mut so_far = Progress { table: S::TABLE, days: 0, of_days: days.len(), files: 0, bytes: 0 };
    progress(so_far);
    for day in &days {
        let listed = hours.files(files, day).await?;
        so_far.files += listed.len();
        let parts = stream::iter(listed).map(|file| fetch::<S>(files, file, extent));
        let mut parts = parts.buffered(AT_A_TIME);
        while let Some((name, part)) = parts.try_next().await? {
            so_far.bytes += part.bytes();
            for rows in rows(&name, &part) {
                each(rows?)?;
            }
        }
        so_far.days += 1;
        progress(so_far);
    }
    Ok(())
}

/// The rows of each row group of a file.
pub(crate) fn rows<'p, S: Select>(
    name: &'p str,
    part: &'p Part,
) -> impl Iterator<Item = Result<Vec<S>, ScanError>> + 'p {
    let failed = move |cause| ScanError::File { name: name.to_owned(), cause };
    part.groups().map(move |group| group.and_then(|group| S::read(&group)).map_err(failed))
}

/// The hours of arrival that are read.
pub(crate) struct Hours {
    first: String,
    last: String,
    start: Timestamp,
}

impl Hours {
    pub(crate) fn of(extent: &Extent<'_>) -> Self {
        let Range { start, end } = extent.arrived.clone();
        Self { first: hour(start), last: hour(end), start }
    }

    /// The folders of a table's days, in order.
    pub(crate) async fn days(
        &self,
        files: &impl ArchiveFiles,
        table: &str,
    ) -> Result<Vec<String>, Unavailable> {
        let mut folders = files.folders(&format!("{table}/")).await?;
        let day = |hour: &str| hour.split('/').next().unwrap_or_default().to_owned();
        let (first, last) = (day(&self.first), day(&self.last));
        folders.retain(|folder| {
            let day = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            day.starts_with("date=") && day >= first.as_str() && day <= last.as_str()
        });
        Ok(folders)
    }

    /// The files of a day, by name: `{table}/date=2025-11-22/hour=07/…`.
    pub(crate) async fn files(
        &self,
        files: &impl ArchiveFiles,
        day: &str,
    ) -> Result<Vec<StoredFile>, Unavailable> {
        let mut listed = files.list(day).await?;
        listed.retain(|file| {
            let hour = file.name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let hour = hour.split_once('/').map_or("", |(_, hour)| hour);
            let is_within = hour >= self.first.as_str() && hour <= self.last.as_str();
            // A file holds what arrived before it was written.
            let is_late_enough = file.written + CLOCKS >= self.start;
            file.name.ends_with(".parquet") && is_within && is_late_enough
        });
        Ok(listed)
    }
}

/// The rows of one file that may be of the extent.
pub(crate) async fn rows_of<S: Select>(
    files: &impl ArchiveFiles,
    file: StoredFile,
    extent: &Extent<'_>,
) -> Result<Vec<S>, ScanError> {
    let (name, part) = fetch::<S>(files, file, extent).await?;
    let mut all = Vec::new();
    for rows in rows(&name, &part) {
        all.extend(rows?);
    }
    Ok(all)
}

/// How far the clocks of the streams and of the store differ.
const CLOCKS: Duration = Duration::from_mins(1);

/// 9999-01-01: names of days have four digits for the year.
const LAST: Timestamp = Timestamp::from_micros(253_370_764_800_000_000);

/// `date=2025-11-22/hour=07`, of the hours from 1970 on.
fn hour(instant: Timestamp) -> String {
    Hour::of(instant.clamp(Timestamp::default(), LAST)).to_string()
}

/// Reads what is needed of a file.
pub(crate) async fn fetch<S: Select>(
    files: &impl ArchiveFiles,
    StoredFile { name, bytes, .. }: StoredFile,
    extent: &Extent<'_>,
) -> Result<(String, Part), ScanError> {
    let failed = |cause| ScanError::File { name: name.clone(), cause };
    let mut part = Part::new(bytes);
    while let Some(range) = part.footer().map_err(failed)? {
        let read = files.read(&name, range.clone()).await?;
        part.add(range.start, read);
    }
    part.choose(S::COLUMNS, extent);
    for range in part.missing().map_err(failed)? {
        let read = files.read(&name, range.clone()).await?;
        part.add(range.start, read);
    }
    Ok((name, part))
}
