//! The command `compact`: merges the many small files of hours that are over into few.
//!
//! The files of a table and an hour become one, or a few of a limited size. The new file is stored and recorded first, and the
//! old ones are deleted some time later. Meanwhile the table has each row twice, once in an old file and once in the
//! new one, and these are equal in every column. So every view shows the same rows before, meanwhile and after: a view
//! keeps one row of each entity, the first or the last by arrival and sequence number, and of equal rows it does not matter which
//! one that is. For the same reason rows that are equal in every column are written once. Rows of an entity that differ
//! in anything are all kept: the tables stay a record of what was delivered.

mod replacement;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_archive::{
    files::{Hour, tool_file},
    layouts,
    rewrite::{Copies, rewrite},
    scan::Progress,
    tombstones::Tombstones,
};
use rendezvous_core::{
    Timestamp, now,
    ports::{Archive, ArchiveFiles, Erase, StoredFile},
};
use serde::Serialize;

use self::replacement::{Replacement, Replacements};
use crate::{
    failure::Failure,
    files::{self, AT_A_TIME},
    output::{Output, table},
    past::instant,
    progress::Bar,
};

#[derive(Args, Clone, Debug)]
pub struct CompactOptions {
    /// Only hours that end by then: 2026-11-26, or 2026-11-26T07:00:00Z. The last hour is never among them.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub before: Timestamp,
    /// Only hours that end after this.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// For how many seconds the small files stay beside the large one. A query that has listed the files
    /// before must have read them by then; else it fails, and can be run again.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub grace: u64,
    /// Say what would be merged, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Files of this size stay as they are, and no more than twice as much is merged into one file: all its
/// rows are in memory.
const LARGE: u64 = 16 << 20;

/// A new file may still come into an hour that ended less than this ago.
const OPEN: Duration = Duration::from_hours(1);

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    tables: BTreeMap<&'static str, Table>,
    /// Old files that were deleted, those of an earlier run that was stopped included.
    deleted: u64,
    /// Files that cannot be merged, and why.
    left: Vec<Left>,
}

/// What was merged of a table.
#[derive(Debug, Default, Serialize)]
struct Table {
    hours: u64,
    files_before: u64,
    files_after: u64,
    bytes_before: u64,
    bytes_after: u64,
    rows: u64,
    /// Rows that were there more than once.
    copies: u64,
}

#[derive(Debug, Serialize)]
struct Left {
    folder: String,
    reason: String,
}

/// Merges the files of the hours in the range.
pub async fn compact(
    archive: &(impl Archive + ArchiveFiles + Erase),
    options: &CompactOptions,
) -> Result<Output, Failure> {
    let before = Hour::of(options.before.min(now() - OPEN)).to_string();
    let from = options.from.map(|from| Hour::of(from).to_string()).unwrap_or_default();
    let replaced = Replacements::read(archive).await?.replaced();
    let mut report = Report { dry_run: options.dry_run, ..Report::default() };
    let (mut tombstones, mut show) = (Tombstones::default(), Bar::shows());
    for table in layouts().map(|layout| layout.table) {
        let days = archive.folders(&format!("{table}/")).await?;
        let mut so_far = Progress { table, days: 0, of_days: days.len(), files: 0, bytes: 0 };
        for day in days {
            // An erasure may begin at any time. What it does not find now it finds when it runs again.
            tombstones = tombstones.refresh(archive).await?;
            for (folder, mut listed) in hours(archive, &day).await? {
                let hour = folder.split_once('/').map_or("", |(_, hour)| hour);
                if hour < before.as_str() && hour >= from.as_str() {
                    listed.retain(|file| !replaced.contains(&file.name));
                    merge_hour(archive, table, &folder, listed, &tombstones, &mut report).await?;
                }
            }
            so_far.days += 1;
            show(so_far);
        }
    }
    if !options.dry_run {
        let grace = Duration::from_secs(options.grace);
        report.deleted = Replacements::read(archive).await?.finish(archive, grace).await?;
    }
    Output::of(&report, text)
}

/// The files of a day, by the folder of their hour.
async fn hours(
    archive: &impl ArchiveFiles,
    day: &str,
) -> Result<BTreeMap<String, Vec<StoredFile>>, Failure> {
    let mut hours: BTreeMap<String, Vec<StoredFile>> = BTreeMap::new();
    for file in archive.list(day).await? {
        if let (Some((folder, _)), true) =
            (file.name.rsplit_once('/'), file.name.ends_with(".parquet"))
        {
            hours.entry(folder.to_owned()).or_default().push(file);
        }
    }
    Ok(hours)
}

/// Merges the files of a table and an hour.
async fn merge_hour(
    archive: &(impl Archive + ArchiveFiles),
    table: &'static str,
    folder: &str,
    listed: Vec<StoredFile>,
    tombstones: &Tombstones,
    report: &mut Report,
) -> Result<(), Failure> {
    let groups = groups(listed);
    let counts = report.tables.entry(table).or_default();
    counts.hours += u64::from(!groups.is_empty());
    for group in groups {
        let bytes: u64 = group.iter().map(|file| file.bytes).sum();
        if !report.dry_run {
            let read = stream::iter(&group).map(|file| files::read(archive, file));
            let bodies = read.buffered(AT_A_TIME).try_collect().await?;
            let keep = |endpoint: &_, request| !tombstones.hold(endpoint, request);
            let merged = match rewrite(table, bodies, keep, Copies::Once) {
                Ok(merged) => merged,
                Err(error) => {
                    let (folder, reason) = (folder.to_owned(), error.to_string());
                    report.left.push(Left { folder, reason });
                    continue;
                }
            };
            // Without any row that may be kept the files are the erasure's.
            let Some(body) = merged.body else { continue };
            (counts.rows, counts.copies) =
                (counts.rows + merged.rows, counts.copies + merged.copies);
            counts.bytes_after += body.len() as u64;
            let replaces: BTreeSet<String> = group.iter().map(|file| file.name.clone()).collect();
            let file = tool_file(replaces.iter().map(String::as_str), &body);
            archive.put(&file, body).await?;
            Replacement::new(file, replaces).write(archive).await?;
        }
        counts.files_before += group.len() as u64;
        counts.files_after += 1;
        counts.bytes_before += bytes;
    }
    Ok(())
}

/// Which files are merged into one, in the order of their names.
fn groups(files: Vec<StoredFile>) -> Vec<Vec<StoredFile>> {
    let (mut groups, mut bytes): (Vec<Vec<StoredFile>>, u64) = (Vec::new(), 0);
    for file in files.into_iter().filter(|file| file.bytes < LARGE) {
        bytes += file.bytes;
        match groups.last_mut() {
            Some(group) if bytes <= 2 * LARGE => group.push(file),
            _ => {
                bytes = file.bytes;
                groups.push(vec![file]);
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// A table for people.
fn text(report: &Report) -> String {
    let head = ["table", "hours", "files", "to files", "bytes", "to bytes", "rows", "copies"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for (name, of) in &report.tables {
        let counts = [of.hours, of.files_before, of.files_after, of.bytes_before, of.bytes_after];
        let counts = counts.into_iter().chain([of.rows, of.copies]).map(|count| count.to_string());
        lines.push([(*name).to_owned()].into_iter().chain(counts).collect());
    }
    let mut text = table(&lines, &[1, 2, 3, 4, 5, 6, 7]);
    for Left { folder, reason } in &report.left {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "left as they are: the files of {folder}: {reason}");
    }
    text + &if report.dry_run {
        "Nothing was changed.\n".to_owned()
    } else {
        format!("{} old files were deleted.\n", report.deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_merged_up_to_a_limit_and_large_ones_stay() {
        let file = |(name, bytes): (&str, u64)| StoredFile {
            name: name.to_owned(),
            bytes,
            written: Timestamp::default(),
        };
        let sizes =
            [("a", 10), ("b", LARGE), ("c", LARGE - 1), ("d", LARGE - 1), ("e", 5), ("f", 5)];
        let groups = groups(sizes.into_iter().map(file).collect());
        let names: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|f| f.name.as_str()).collect()).collect();
        assert_eq!(names, [vec!["a", "c"], vec!["d", "e", "f"]]);
    }
}
