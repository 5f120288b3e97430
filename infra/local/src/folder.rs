//! A folder of JSON files that is looked at again and again.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What a file looks like from outside: it differs after the file was saved.
pub(crate) type Look = Option<(SystemTime, u64)>;

/// What a file looks like now; `None` if it cannot be looked at.
pub(crate) fn look(file: &Path) -> Look {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A folder, and what its `.json` files looked like when they were last read.
#[derive(Debug)]
pub(crate) struct JsonFolder {
    path: PathBuf,
    seen: BTreeMap<PathBuf, Look>,
}

/// The files that differ from the last time.
#[derive(Debug, Default)]
pub(crate) struct Differing {
    pub(crate) deleted: Vec<PathBuf>,
    pub(crate) saved: Vec<PathBuf>,
}

impl JsonFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: BTreeMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files that were saved or deleted since the last call, each in the order of their names.
    pub(crate) fn differing(&mut self) -> io::Result<Differing> {
        let mut now = BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            let file = entry?.path();
            if file.extension() == Some(OsStr::new("json")) {
                now.insert(file.clone(), look(&file));
            }
        }
        let seen = std::mem::replace(&mut self.seen, now);
        let deleted = seen.keys().filter(|file| !self.seen.contains_key(*file)).cloned().collect();
        let saved = self.seen.iter().filter(|(file, look)| seen.get(*file) != Some(look));
        Ok(Differing { deleted, saved: saved.map(|(file, _)| file.clone()).collect() })
    }

    /// The name of a file of this folder, for people.
    pub(crate) fn name(file: &Path) -> String {
        file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
