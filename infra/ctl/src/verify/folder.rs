//! The archive of a data folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use rendezvous_core::Timestamp;

use super::archive::Files;

/// The folder of an archive.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Files for Folder {
    async fn list(&self, prefix: &str, since: Timestamp) -> Result<Vec<String>, String> {
        let folder = self.0.join(prefix);
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if written(&entry.path()).is_some_and(|written| written >= since) {
                names.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
            }
        }
        Ok(names)
    }

    async fn get(&self, name: &str) -> Result<Bytes, String> {
        let read = fs::read(self.0.join(name));
        read.map(Bytes::from).map_err(|error| format!("{name}: {error}"))
    }
}

/// When a file was written; nothing where there is none any more.
fn written(path: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let micros = modified.duration_since(UNIX_EPOCH).ok()?.as_micros();
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}
