use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Mutex,
};

use bytes::Bytes;

use super::{lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    error::Unavailable,
    ports::{Archive, ArchiveFiles, Erase, Stored, StoredFile},
};

/// Files in memory, by name.
#[derive(Debug, Default)]
pub struct MemoryArchive {
    pub outage: Outage,
    files: Mutex<BTreeMap<String, (Bytes, Timestamp)>>,
}

impl MemoryArchive {
    /// Every file, in the order of the names.
    pub fn files(&self) -> Vec<(String, Bytes)> {
        lock(&self.files).iter().map(|(name, (body, _))| (name.clone(), body.clone())).collect()
    }
}

impl Archive for MemoryArchive {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        self.outage.check("archive").await?;
        let mut files = lock(&self.files);
        if files.contains_key(name) {
            return Ok(Stored::Already);
        }
        files.insert(name.to_owned(), (body, now()));
        Ok(Stored::New)
    }
}

impl ArchiveFiles for MemoryArchive {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.outage.check("archive").await?;
        let below = |name: &String| {
            let (first, _) = name.strip_prefix(folder)?.split_once('/')?;
            Some(format!("{folder}{first}/"))
        };
        let folders: BTreeSet<String> = lock(&self.files).keys().filter_map(below).collect();
        Ok(folders.into_iter().collect())
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        self.outage.check("archive").await?;
        let files = lock(&self.files);
        let below = files.iter().filter(|(name, _)| name.starts_with(folder));
        let stored = below.map(|(name, (body, written))| StoredFile {
            name: name.clone(),
            bytes: body.len() as u64,
            written: *written,
        });
        Ok(stored.collect())
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.outage.check("archive").await?;
        let missing = || Unavailable::down("archive", format!("{name}: no bytes {range:?}"));
        let files = lock(&self.files);
        let (body, _) = files.get(name).ok_or_else(missing)?;
        let at = |offset: u64| usize::try_from(offset).map_err(|_| missing());
        let (start, end) = (at(range.start)?, at(range.end)?);
        let is_there = start <= end && end <= body.len();
        is_there.then(|| body.slice(start..end)).ok_or_else(missing)
    }
}

impl Erase for MemoryArchive {
    async fn erase(&self, name: &str) -> Result<u64, Unavailable> {
        self.outage.check("archive").await?;
        Ok(u64::from(lock(&self.files).remove(name).is_some()))
    }
}
