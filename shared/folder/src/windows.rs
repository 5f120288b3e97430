//! The table of windows as a folder.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rendezvous_core::{
    Minute, Timestamp, Unavailable, now,
    ports::{Entry, EntryKey, WindowTable},
};
use serde::{Deserialize, Serialize};

use crate::{
    data_folder::DataFolder,
    files::{self, FileError, at, blocking},
};

/// The name of the dependency in errors, as in memory and on AWS.
const WINDOWS: &str = "windows table";

/// The windows of a data folder: `windows/{series}/{hour}`, a file for each hour of a series, to which
/// each write is appended: a line of JSON and the body. Of the writes of one key the last one counts.
///
/// The server writes, any process reads. Nothing is synced: a power failure loses the latest writes,
/// and a write that was cut off ends the file. The oldest files of a series, as far as all their entries have
/// expired, are deleted when its next hour begins.
#[derive(Clone, Debug)]
pub struct FolderWindows {
    folder: DataFolder,
    /// The files to which this process has appended. Also excludes writers of this process.
    appended: Arc<Mutex<HashSet<PathBuf>>>,
}

/// The line before a body.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    series: String,
    minute: String,
    part: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_us: Option<Timestamp>,
    /// The length of the body; without one the entry is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
}

/// What a write sets: a body and when it expires, or that there is no entry.
type Written = Option<(Bytes, Option<Timestamp>)>;

/// A write as it is appended.
type Appended = (EntryKey, Written);

impl FolderWindows {
    /// The windows of `folder`.
    pub fn new(folder: &DataFolder) -> Self {
        Self { folder: folder.clone(), appended: Arc::default() }
    }

    fn series(&self, series: &str) -> PathBuf {
        // Several series may share a folder: the files hold the whole keys.
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_@".contains(c) { c } else { '+' };
        self.folder.windows().join(series.chars().map(safe).collect::<String>())
    }

    fn append(&self, writes: &[Appended]) -> Result<(), FileError> {
        let mut by_file: BTreeMap<(PathBuf, String), Vec<u8>> = BTreeMap::new();
        for (key, write) in writes {
            let file = (self.series(&key.series), hour(key.minute));
            encode(key, write.as_ref(), by_file.entry(file).or_default());
        }
        let mut appended = self.appended.lock().unwrap_or_else(PoisonError::into_inner);
        for ((folder, hour), bytes) in by_file {
            files::create_folder(&folder)?;
            let path = folder.join(hour);
            if appended.insert(path.clone()) {
                cut(&path)?;
                delete_expired(&folder)?;
            }
            let file = File::options().create(true).append(true).open(&path);
            let mut file = at(&path, file)?;
            let before = at(&path, file.metadata())?.len();
            if let Err(error) = file.write_all(&bytes) {
                // What follows a write that was cut off would not be read.
                at(&path, file.set_len(before))?;
                return at(&path, Err(error));
            }
        }
        Ok(())
    }

    fn find(
        &self,
        series: &str,
        minutes: &Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, FileError> {
        let folder = self.series(series);
        let (from, to) = (hour(minutes.start), hour(minutes.end));
        let mut hours = files::names(&folder)?;
        hours.retain(|hour| (&from..=&to).contains(&hour));
        hours.sort_unstable();
        let (mut entries, now) = (Vec::new(), now());
        for hour in hours {
            let mut last = read(&folder.join(hour))?;
            last.retain(|key, _| key.series == series && minutes.contains(&key.minute));
            entries.extend(last.into_iter().filter_map(|(key, write)| {
                let (body, expires) = write?;
                let is_alive = expires.is_none_or(|at| at > now);
                is_alive.then_some(Entry { key, body, expires })
            }));
            if entries.len() >= limit {
                break;
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }
}

/// The name of the file of a minute: the number of its hour, in as many digits as a minute has.
fn hour(minute: Minute) -> String {
    const HOUR: i64 = 3_600_000_000;
    format!("{:010}", minute.start().as_micros() / HOUR)
}

fn encode(key: &EntryKey, write: Option<&(Bytes, Option<Timestamp>)>, to: &mut Vec<u8>) {
    let line = Line {
        series: key.series.clone(),
        minute: key.minute.to_string(),
        part: key.part.clone(),
        expires_us: write.and_then(|(_, expires)| *expires),
        bytes: write.map(|(body, _)| body.len()),
    };
    // A line is made of texts and numbers: to write it cannot fail.
    to.extend(serde_json::to_vec(&line).unwrap_or_default());
    to.push(b'\n');
    to.extend(write.into_iter().flat_map(|(body, _)| body));
}

/// The last write of each key in a file, as far as it can be read.
fn read(path: &Path) -> Result<BTreeMap<EntryKey, Written>, FileError> {
    let mut rest = Bytes::from(files::read(path)?.unwrap_or_default());
    let mut last = BTreeMap::new();
    while let Some((key, write)) = decode(&mut rest) {
        last.insert(key, write);
    }
    Ok(last)
}

fn decode(rest: &mut Bytes) -> Option<Appended> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line: Line = serde_json::from_slice(&rest[..end]).ok()?;
    let body = end + 1..(end + 1).checked_add(line.bytes.unwrap_or(0))?;
    if body.end > rest.len() {
        return None;
    }
    let (written, next) = (rest.slice(body.clone()), rest.slice(body.end..));
    *rest = next;
    let Line { series, minute, part, expires_us, bytes } = line;
    let key = EntryKey { series, minute: minute.parse().ok()?, part };
    Some((key, bytes.map(|_| (written, expires_us))))
}

/// Cuts off what a former process has not written to its end: what is appended to it would not be read.
fn cut(path: &Path) -> Result<(), FileError> {
    let Some(body) = files::read(path)? else { return Ok(()) };
    let whole = body.len();
    let mut rest = Bytes::from(body);
    while decode(&mut rest).is_some() {}
    if rest.is_empty() {
        return Ok(());
    }
    let file = at(path, File::options().write(true).open(path))?;
    at(path, file.set_len((whole - rest.len()) as u64))
}

/// Deletes the files of a series whose entries have all expired, from the oldest one on, up to the first that
/// has another: those after it are younger, and reading all of them every hour would take long.
fn delete_expired(folder: &Path) -> Result<(), FileError> {
    let now = now();
    let is_over = |write: &Written| match write {
        Some((_, expires)) => expires.is_some_and(|at| at <= now),
        None => true,
    };
    let mut names = files::names(folder)?;
    names.sort_unstable();
    for name in names {
        let path = folder.join(name);
        if !read(&path)?.values().all(is_over) {
            break;
        }
        files::remove(&path)?;
    }
    Ok(())
}

impl WindowTable for FolderWindows {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        let write = |Entry { key, body, expires }| (key, Some((body, expires)));
        let writes: Vec<Appended> = entries.into_iter().map(write).collect();
        let table = self.clone();
        blocking(WINDOWS, move || table.append(&writes)).await
    }

    async fn delete(&self, keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        let writes: Vec<Appended> = keys.into_iter().map(|key| (key, None)).collect();
        let table = self.clone();
        blocking(WINDOWS, move || table.append(&writes)).await
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        // Every minute the monitor reads series that most systems do not have. A file would be read on another
        // thread; to see that there is none takes microseconds.
        if !self.series(series).exists() {
            return Ok(Vec::new());
        }
        let (table, series) = (self.clone(), series.to_owned());
        blocking(WINDOWS, move || table.find(&series, &minutes, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use rendezvous_core::conformance;

    use super::*;

    fn entry(minute: Minute, body: &'static str, expires: Option<Timestamp>) -> Entry {
        let key = EntryKey { series: "e/a@1".to_owned(), minute, part: "p".to_owned() };
        Entry { key, body: Bytes::from_static(body.as_bytes()), expires }
    }

    async fn bodies(table: &FolderWindows) -> Vec<Bytes> {
        let all = Minute::FIRST..Minute::of(now()).plus(1);
        let entries = table.read("e/a@1", all, 10).await.unwrap();
        entries.into_iter().map(|entry| entry.body).collect()
    }

    #[tokio::test]
    async fn the_windows_of_a_folder_conform() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        conformance::windows(&FolderWindows::new(&folder)).await;
    }

    #[tokio::test]
    async fn a_write_that_was_cut_off_does_not_hide_those_before_and_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let (table, minute) = (FolderWindows::new(&folder), Minute::of(now()));
        table.put(vec![entry(minute, "one", None)]).await.unwrap();
        let path = table.series("e/a@1").join(hour(minute));
        let mut file = fs::read(&path).unwrap();
        let whole = file.len();
        file.extend_from_within(..whole - 1);
        fs::write(&path, file).unwrap();
        let again = FolderWindows::new(&folder);
        assert_eq!(bodies(&again).await, ["one"]);
        again.put(vec![entry(minute, "two", None)]).await.unwrap();
        assert_eq!(bodies(&again).await, ["two"]);
    }

    #[tokio::test]
    async fn the_files_of_entries_that_have_expired_are_deleted_with_the_next_hour() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let (table, minute) = (FolderWindows::new(&folder), Minute::of(now()));
        let expired = Some(now() - Duration::from_hours(1));
        table.put(vec![entry(minute.minus(180), "old", expired)]).await.unwrap();
        table.put(vec![entry(minute.minus(120), "kept", None)]).await.unwrap();
        table.put(vec![entry(minute, "new", None)]).await.unwrap();
        assert_eq!(files::names(&table.series("e/a@1")).unwrap().len(), 2);
        assert_eq!(bodies(&table).await, ["kept", "new"]);
    }
}
