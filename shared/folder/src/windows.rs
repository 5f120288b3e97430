//! The table of windows as a folder.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
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
    data_folder::{DataFolder, lock_file},
    files::{self, FileError, at, blocking},
};

/// The name of the dependency in errors, as in memory and on AWS.
const WINDOWS: &str = "windows table";

/// The windows of a data folder: `windows/{series}/{hour}-{tens}`, a file for each ten minutes of a series, to which
/// each write is appended: a line of JSON and the body. Of the writes of one key the last one counts. What belongs to no
/// minute is in `{hour}` of the first hour; former versions had one file for each hour, which is read, too.
///
/// The server writes, and a tool that sets a baseline, one at a time; any process reads. Nothing is synced: a power failure loses the latest writes,
/// and a write that was cut off ends the file. Every hour each series is tidied, also one that nobody writes to any
/// more: files whose entries have all expired are deleted, and what was replaced is removed.
#[derive(Clone, Debug)]
pub struct FolderWindows {
    folder: DataFolder,
    /// Its lock excludes writers of this process.
    hour: Arc<Mutex<Hour>>,
}

/// What this process has done in the current hour.
#[derive(Debug, Default)]
struct Hour {
    name: String,
    /// The files to which it has appended.
    appended: HashSet<PathBuf>,
    /// The folders of series that are not tidied yet.
    untidied: Vec<String>,
}

/// How many series are tidied for each one that is written to, so that a write does not wait for all of them. There are
/// as many series as requests of the last days while the monitor keeps the values of each.
const TIDIED: usize = 4;

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
        Self { folder: folder.clone(), hour: Arc::default() }
    }

    fn series(&self, series: &str) -> PathBuf {
        // Several series may share a folder: the files hold the whole keys.
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_@".contains(c) { c } else { '+' };
        self.folder.windows().join(series.chars().map(safe).collect::<String>())
    }

    fn append(&self, writes: &[Appended]) -> Result<(), FileError> {
        let mut by_file: BTreeMap<(PathBuf, String), Vec<u8>> = BTreeMap::new();
        for (key, write) in writes {
            let file = (self.series(&key.series), file_of(key.minute));
            encode(key, write.as_ref(), by_file.entry(file).or_default());
        }
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        // Of another process, which may replace a file meanwhile. It is released when the file is closed.
        let path = self.folder.windows_lock();
        let lock = lock_file(&path)?;
        at(&path, lock.lock())?;
        self.tidy(&mut hour, TIDIED * by_file.len())?;
        for ((folder, name), bytes) in by_file {
            files::create_folder(&folder)?;
            let path = folder.join(name);
            if hour.appended.insert(path.clone()) {
                cut(&path)?;
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

    /// Tidies some of the series that were not tidied in this hour.
    fn tidy(&self, hour: &mut Hour, some: usize) -> Result<(), FileError> {
        let name = hour_of(Minute::of(now()));
        if hour.name != name {
            (hour.name, hour.appended) = (name, HashSet::new());
            if hour.untidied.is_empty() {
                hour.untidied = files::names(&self.folder.windows())?;
            }
        }
        for _ in 0..some {
            let Some(series) = hour.untidied.pop() else { break };
            tidy(self.folder.root(), &self.folder.windows().join(series))?;
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
        let ends = [minutes.start, minutes.end].map(|minute| (hour_of(minute), file_of(minute)));
        let [(first_hour, from), (last_hour, to)] = &ends;
        let mut names = files::names(&folder)?;
        names.retain(|name| {
            let of_hour = (first_hour..=last_hour).contains(&name);
            of_hour || (from..=to).contains(&name)
        });
        names.sort_unstable();
        let (mut entries, now) = (Vec::new(), now());
        for names in names.chunk_by(|a, b| hour_in(a) == hour_in(b)) {
            let mut last = BTreeMap::new();
            for name in names {
                last.extend(read(&folder.join(name))?);
            }
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

const HOUR: i64 = 3_600_000_000;

/// The number of a minute's hour, in as many digits as a minute has.
fn hour_of(minute: Minute) -> String {
    format!("{:010}", minute.start().as_micros() / HOUR)
}

/// The name of the file of a minute.
fn file_of(minute: Minute) -> String {
    let (hour, start) = (hour_of(minute), minute.start().as_micros());
    if start < HOUR { hour } else { format!("{hour}-{}", start % HOUR / (HOUR / 6)) }
}

/// The hour in the name of a file.
fn hour_in(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
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
/// has another: those after it are younger, and reading all of them every hour would take long. The file of the first
/// minute holds what belongs to no minute. It is not older than the others, and what was replaced in it is removed.
fn tidy(root: &Path, folder: &Path) -> Result<(), FileError> {
    let (now, timeless) = (now(), hour_of(Minute::FIRST));
    let is_alive = |write: &Written| {
        write.as_ref().is_some_and(|(_, expires)| expires.is_none_or(|at| at > now))
    };
    let mut names = files::names(folder)?;
    names.sort_unstable();
    for name in names {
        let path = folder.join(&name);
        let mut last = read(&path)?;
        last.retain(|_, write| is_alive(write));
        if last.is_empty() {
            files::remove(&path)?;
        } else if name == timeless {
            let mut alive = Vec::new();
            for (key, write) in &last {
                encode(key, write.as_ref(), &mut alive);
            }
            if at(&path, fs::metadata(&path))?.len() > alive.len() as u64 {
                files::replace(root, &path, &alive)?;
            }
        } else {
            break;
        }
    }
    files::remove_empty(folder)
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
mod tests;
