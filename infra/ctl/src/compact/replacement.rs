//! Which files a merged one replaces, until they are deleted.
//!
//! `compactions/{the merged file's name}.json` is written after the merged file and deleted after the files that it replaces:
//!
//! ```json
//! { "v": 1, "file": "scores/date=…/hour=…/tool-000001-….parquet", "replaces": ["scores/date=…/hour=…/….parquet"] }
//! ```
//!
//! A run that was stopped in between is completed by the next one, whatever its range is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rendezvous_core::{
    Timestamp,
    clock::sleep_until,
    ports::{Archive, ArchiveFiles, Erase},
};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, files};

/// The folder of the records.
const FOLDER: &str = "compactions/";

/// A merged file, and those whose rows are all in it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Replacement {
    v: u8,
    file: String,
    replaces: BTreeSet<String>,
}

impl Replacement {
    pub(super) fn new(file: String, replaces: BTreeSet<String>) -> Self {
        Self { v: 1, file, replaces }
    }

    /// Records it.
    pub(super) async fn write(&self, archive: &impl Archive) -> Result<(), Failure> {
        let body = serde_json::to_vec(self).map_err(|error| Failure::Failed(error.to_string()))?;
        archive.put(&format!("{FOLDER}{}.json", self.file), body.into()).await?;
        Ok(())
    }
}

/// All that are recorded, by the name of the record, with when it was written.
#[derive(Debug)]
pub(super) struct Replacements(BTreeMap<String, (Timestamp, Replacement)>);

impl Replacements {
    pub(super) async fn read(archive: &impl ArchiveFiles) -> Result<Self, Failure> {
        let mut all = BTreeMap::new();
        for file in archive.list(FOLDER).await? {
            let replacement: Replacement =
                serde_json::from_slice(&files::read(archive, &file).await?)
                    .map_err(|error| Failure::Failed(format!("{}: {error}", file.name)))?;
            all.insert(file.name, (file.written, replacement));
        }
        Ok(Self(all))
    }

    /// The names of the files that are replaced and not deleted yet.
    pub(super) fn replaced(&self) -> BTreeSet<String> {
        self.0.values().flat_map(|(_, each)| each.replaces.iter().cloned()).collect()
    }

    /// Deletes the files that are replaced, each once the merged file is old enough.
    pub(super) async fn finish(
        self,
        archive: &(impl ArchiveFiles + Erase),
        grace: Duration,
    ) -> Result<u64, Failure> {
        let mut deleted = 0;
        let Some(last) = self.0.values().map(|(written, _)| *written).max() else { return Ok(0) };
        sleep_until(last + grace).await;
        for (record, (_, Replacement { file, replaces, .. })) in self.0 {
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            let listed = archive.list(&format!("{folder}/")).await?;
            // An erasure may have written it anew under another name. Then the others stay, and their rows
            // are merged again, as they are in the archive twice.
            if listed.iter().any(|listed| listed.name == file) {
                deleted += files::erase(archive, replaces).await?;
            }
            archive.erase(&record).await?;
        }
        Ok(deleted)
    }
}
