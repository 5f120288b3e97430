use std::{collections::BTreeMap, sync::Mutex};

use bytes::Bytes;

use super::{lock, outage::Outage};
use crate::{
    error::Unavailable,
    ports::{Archive, Stored},
};

/// Files in memory, by name.
#[derive(Debug, Default)]
pub struct MemoryArchive {
    pub outage: Outage,
    files: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryArchive {
    /// Every file, in the order of the names.
    pub fn files(&self) -> Vec<(String, Bytes)> {
        lock(&self.files).iter().map(|(name, body)| (name.clone(), body.clone())).collect()
    }
}

impl Archive for MemoryArchive {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        self.outage.check("archive").await?;
        let mut files = lock(&self.files);
        if files.contains_key(name) {
            return Ok(Stored::Already);
        }
        files.insert(name.to_owned(), body);
        Ok(Stored::New)
    }
}
