//! The endpoints table as a folder.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Provenance, Publication, Timestamp, Unavailable, now,
    ports::{EndpointTable, PublishError, Stored},
};
use serde::{Deserialize, Serialize};

use crate::{
    data_folder::DataFolder,
    files::{self, FileError, Readers, at, blocking},
};

/// The name of the dependency in errors, as in memory and on AWS.
const ENDPOINTS: &str = "endpoints table";

/// The endpoints of a data folder: `endpoints/{name}/{version}.json`, a file for each version, and
/// `endpoints/{name}/current`, the pointer, which holds the number of the current version as text.
///
/// # Publishing
///
/// To publish version *n* + 1 in place of *n*:
///
/// 1. read which version is current; another than *n* is a conflict;
/// 2. write the whole file under a temporary name and sync it;
/// 3. rename it to `{n + 1}.json`, unless there is such a file (that is a conflict), and sync the
///    folders: **the version is published**;
/// 4. replace the pointer.
///
/// To read which version is current: read the pointer (without one: take the highest version in the
/// folder), then go on to the next version for as long as its file exists. If there was such a
/// file, sync the folders before answering.
///
/// # Why this is safe
///
/// - *One winner.* Step 3 creates a name that did not exist, in one operation of the file system. Of
///   all processes and threads that publish *n* + 1, one succeeds; the others find the name taken.
///   Whoever publishes *n* + 1 has seen that *n* exists, so that versions have no gaps.
/// - *A crash before step 3* leaves at most an empty folder and a temporary file. Nobody takes these
///   for a version; the next publication is not disturbed.
/// - *A crash between steps 3 and 4* leaves a version that the pointer does not name yet. It was
///   published, whole and synced, and readers find it because they go on from the pointer. The caller
///   got no answer, and may not conclude from that that nothing was written ([`PublishError`]). The
///   next publication replaces it, and brings the pointer up to date.
/// - *A slow publisher* can replace the pointer after others have published further, and so set it
///   back. Readers go on from there to the same version as before. The pointer only saves them from
///   reading the folder: it never decides.
/// - *A power failure* can undo the replacement of the pointer, which is the case above. It cannot
///   undo a version that was returned to a caller: neither its publisher nor a reader that found it
///   beyond the pointer answers before the folders are synced, and the pointer names it only after.
///
/// # Errors
///
/// A file that cannot be read is an [`Unavailable`] that names the file. It affects calls that need
/// that file only: an unreadable old version disturbs neither publications nor [`list`].
/// Files and folders whose names are not those of versions and endpoints are ignored.
///
/// [`list`]: EndpointTable::list
#[derive(Clone, Debug)]
pub struct FolderEndpoints {
    folder: DataFolder,
}

impl FolderEndpoints {
    /// The endpoints of `folder`.
    pub fn new(folder: &DataFolder) -> Self {
        Self { folder: folder.clone() }
    }

    fn versions(&self, name: &EndpointName) -> Versions {
        let root = self.folder.endpoints();
        Versions { folder: root.join(name.as_str()), root }
    }
}

/// What the file of a version holds.
#[derive(Debug, Serialize, Deserialize)]
struct VersionFile {
    configuration: Configuration,
    provenance: Provenance,
    published_us: Timestamp,
    replaced: Option<u64>,
}

/// The versions of one endpoint.
#[derive(Debug)]
struct Versions {
    /// The folder of all endpoints.
    root: PathBuf,
    /// The folder of this one.
    folder: PathBuf,
}

/// What became of a publication.
#[derive(Debug, PartialEq, Eq)]
enum Published {
    /// It is this version.
    Version(u64),
    /// Nothing was written, because another version than the expected one is current.
    Conflict { current: Option<u64> },
}

impl Versions {
    fn file(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{version}.json"))
    }

    fn pointer(&self) -> PathBuf {
        self.folder.join("current")
    }

    fn exists(&self, version: u64) -> Result<bool, FileError> {
        let path = self.file(version);
        at(&path, fs::exists(&path))
    }

    /// The numbers of the files of versions, in no order.
    fn numbers(&self) -> Result<Vec<u64>, FileError> {
        Ok(files::names(&self.folder)?.iter().filter_map(|name| number(name)).collect())
    }

    /// The version that the pointer names, if there is a pointer.
    fn pointed(&self) -> Result<Option<u64>, FileError> {
        let path = self.pointer();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let version = str::from_utf8(&text).ok().and_then(|text| parse(text.trim_ascii()));
        let advice = "restore the file, or delete it: the highest version is then current";
        let Some(version) = version else {
            let what = format!("not the number of a version: {advice}");
            return Err(FileError::content(&path, what));
        };
        if !self.exists(version)? {
            let what = format!("names version {version}, which has no file: {advice}");
            return Err(FileError::content(&path, what));
        }
        Ok(Some(version))
    }

    /// The current version: see "Publishing" at [`FolderEndpoints`].
    fn current(&self) -> Result<Option<u64>, FileError> {
        let pointed = self.pointed()?;
        let first = match pointed {
            Some(version) => version,
            None => self.numbers()?.into_iter().max().unwrap_or(0),
        };
        let mut current = first;
        while let Some(next) = current.checked_add(1)
            && self.exists(next)?
        {
            current = next;
        }
        if current == 0 {
            return Ok(None);
        }
        if pointed != Some(current) {
            files::sync_folders(&self.root, &self.folder)?;
        }
        Ok(Some(current))
    }

    fn read(&self, version: u64) -> Result<Option<VersionFile>, FileError> {
        let path = self.file(version);
        let Some(body) = files::read(&path)? else { return Ok(None) };
        let read = serde_json::from_slice(&body);
        read.map(Some).map_err(|error| FileError::content(&path, error.to_string()))
    }

    fn history(&self) -> Result<Vec<Publication>, FileError> {
        let current = self.current()?.unwrap_or(0);
        let mut numbers = self.numbers()?;
        numbers.retain(|version| *version <= current);
        numbers.sort_unstable();
        let mut history = Vec::with_capacity(numbers.len());
        for version in numbers {
            let Some(file) = self.read(version)? else { continue };
            history.push(Publication {
                version,
                provenance: Some(file.provenance),
                published: file.published_us,
                replaced: file.replaced,
            });
        }
        Ok(history)
    }

    fn publish(
        &self,
        configuration: Configuration,
        provenance: Provenance,
        published: Timestamp,
        expected: Option<u64>,
    ) -> Result<Published, FileError> {
        let current = self.current()?;
        if current != expected {
            return Ok(Published::Conflict { current });
        }
        let version = current.unwrap_or(0).saturating_add(1);
        let file =
            VersionFile { configuration, provenance, published_us: published, replaced: current };
        if self.create(version, &file)? == Stored::Already {
            return Ok(Published::Conflict { current: self.current()? });
        }
        if let Err(error) = self.point_to(version) {
            // It is published all the same: readers find it without the pointer.
            tracing::warn!(%error, version, "the pointer to a published version was not replaced");
        }
        Ok(Published::Version(version))
    }

    /// Steps 2 and 3 of publishing.
    fn create(&self, version: u64, file: &VersionFile) -> Result<Stored, FileError> {
        let path = self.file(version);
        let body = serde_json::to_vec_pretty(file)
            .map_err(|error| FileError::content(&path, error.to_string()))?;
        files::create(&self.root, &path, &body, Readers::Umask)
    }

    /// Step 4 of publishing.
    fn point_to(&self, version: u64) -> Result<(), FileError> {
        files::replace(&self.root, &self.pointer(), format!("{version}\n").as_bytes())
    }
}

/// The number of a version's file, if `name` is the name of one.
fn number(name: &str) -> Option<u64> {
    parse(name.strip_suffix(".json")?)
}

/// The number of a version, as [`Versions::file`] writes it: one file, one number.
fn parse(text: &str) -> Option<u64> {
    let version: u64 = text.parse().ok()?;
    (version > 0 && version.to_string() == text).then_some(version)
}

/// The names of the endpoints that have a version, ascending.
fn list(root: &Path) -> Result<Vec<EndpointName>, FileError> {
    let mut endpoints = Vec::new();
    for name in files::names(root)? {
        let Ok(name) = name.parse::<EndpointName>() else { continue };
        let folder = root.join(name.as_str());
        if folder.is_dir() && files::names(&folder)?.iter().any(|name| number(name).is_some()) {
            endpoints.push(name);
        }
    }
    endpoints.sort_unstable();
    Ok(endpoints)
}

impl EndpointTable for FolderEndpoints {
    async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        let root = self.folder.endpoints();
        blocking(ENDPOINTS, move || list(&root)).await
    }

    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        let versions = self.versions(name);
        blocking(ENDPOINTS, move || versions.current()).await
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let versions = self.versions(name);
        let file = blocking(ENDPOINTS, move || versions.read(version)).await?;
        Ok(file.map(|VersionFile { configuration, .. }| {
            Arc::new(Endpoint { name: name.clone(), version, configuration })
        }))
    }

    async fn history(&self, name: &EndpointName) -> Result<Vec<Publication>, Unavailable> {
        let versions = self.versions(name);
        blocking(ENDPOINTS, move || versions.history()).await
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        // Read here, because a simulated clock belongs to the caller's thread.
        let (versions, published) = (self.versions(name), now());
        let result = blocking(ENDPOINTS, move || {
            versions.publish(configuration, provenance, published, expected)
        });
        match result.await? {
            Published::Version(version) => Ok(version),
            Published::Conflict { current } => Err(PublishError::Conflict { expected, current }),
        }
    }
}

#[cfg(test)]
mod tests;
