//! The archive as a folder.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use rendezvous_core::{
    Timestamp, Unavailable,
    ports::{Archive, ArchiveFiles, Erase, Stored, StoredFile},
};

use crate::{
    data_folder::DataFolder,
    files::{
        FileError, Readers, Survives, UNFINISHED, at, blocking, delete, names, place, sync_folder,
        sync_folders, unfinished,
    },
};

/// The name of the dependency in errors.
const ARCHIVE: &str = "archive";

/// The archive of a data folder: files that are written once, whole or not at all.
///
/// A file that was put survives a power failure, unless the folder is a [rehearsal](DataFolder::rehearse): its content
/// is synced, and so is every folder from its own up to the archive's. A put that finds a file of its name syncs the folders as well, because
/// the process that wrote that file may not have done so yet. Nothing deletes a folder: the names of those that
/// this process has synced once stay durable.
#[derive(Clone, Debug)]
pub struct FolderArchive {
    folder: DataFolder,
    synced: Arc<Synced>,
}

/// Folders whose own names, and those of the folders above them, are durable.
#[derive(Debug, Default)]
struct Synced(Mutex<VecDeque<PathBuf>>);

/// How many are remembered: the hours of each table that files are written for at a time are few.
const REMEMBERED: usize = 64;

impl Synced {
    /// Makes a new name in `folder`, which is below `root`, durable.
    fn sync(&self, root: &Path, folder: &Path) -> Result<(), FileError> {
        if self.remembered().iter().any(|synced| synced == folder) {
            return sync_folder(folder);
        }
        sync_folders(root, folder)?;
        let remembered = &mut *self.remembered();
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(folder.to_owned());
        Ok(())
    }

    fn remembered(&self) -> MutexGuard<'_, VecDeque<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FolderArchive {
    /// The archive of `folder`.
    pub fn new(folder: &DataFolder) -> Self {
        Self { folder: folder.clone(), synced: Arc::default() }
    }

    /// Tries to store a file, which no reader of the archive sees, and deletes it.
    pub async fn check(&self) -> Result<(), Unavailable> {
        let folder = self.folder.clone();
        blocking(ARCHIVE, move || {
            // Deleted when it is dropped.
            let survives = folder.archive_survives();
            unfinished(&folder.archive(), &[0; 4096], Readers::Umask, survives).map(drop)
        })
        .await
    }
}

fn put(folder: &DataFolder, name: &str, body: &[u8], synced: &Synced) -> Result<Stored, FileError> {
    let (root, survives) = (&folder.archive(), folder.archive_survives());
    let path = root.join(name);
    let stored = place(root, &path, body, Readers::Umask, survives)?;
    if survives == Survives::PowerFailure {
        synced.sync(root, path.parent().unwrap_or(root))?;
    }
    Ok(stored)
}

impl Archive for FolderArchive {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let (folder, synced, name) = (self.folder.clone(), self.synced.clone(), name.to_owned());
        blocking(ARCHIVE, move || put(&folder, &name, &body, &synced)).await
    }
}

impl ArchiveFiles for FolderArchive {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        let (root, folder) = (self.folder.archive(), folder.to_owned());
        blocking(ARCHIVE, move || {
            let mut folders = names(&root.join(&folder))?;
            folders.retain(|name| root.join(&folder).join(name).is_dir());
            folders.sort_unstable();
            Ok(folders.into_iter().map(|name| format!("{folder}{name}/")).collect())
        })
        .await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        let (root, folder) = (self.folder.archive(), folder.to_owned());
        blocking(ARCHIVE, move || {
            let mut files = Vec::new();
            list(&root, &folder, &mut files)?;
            files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(files)
        })
        .await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        let path = self.folder.archive().join(name);
        blocking(ARCHIVE, move || {
            let length = range.end.saturating_sub(range.start);
            let mut file = at(&path, File::open(&path))?;
            at(&path, file.seek(SeekFrom::Start(range.start)))?;
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
            at(&path, file.take(length).read_to_end(&mut bytes))?;
            if bytes.len() as u64 != length {
                return Err(FileError::content(&path, format!("no bytes {range:?}")));
            }
            Ok(bytes.into())
        })
        .await
    }
}

impl Erase for FolderArchive {
    async fn erase(&self, name: &str) -> Result<u64, Unavailable> {
        let (root, name) = (self.folder.archive(), name.to_owned());
        blocking(ARCHIVE, move || {
            let path = root.join(name);
            let is_deleted = delete(&path)?;
            if is_deleted {
                sync_folders(&root, path.parent().unwrap_or(&root))?;
            }
            Ok(is_deleted.into())
        })
        .await
    }
}

/// Adds the files in `folder` of `root` and in the folders below it.
fn list(root: &Path, folder: &str, files: &mut Vec<StoredFile>) -> Result<(), FileError> {
    let mut found = names(&root.join(folder))?;
    // A server may rename or delete them meanwhile.
    found.retain(|name| !name.starts_with(UNFINISHED));
    for name in found {
        let name = format!("{folder}{name}");
        let path = root.join(&name);
        let metadata = match fs::metadata(&path) {
            // A tool may delete files meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => at(&path, metadata)?,
        };
        if metadata.is_dir() {
            list(root, &format!("{name}/"), files)?;
        } else {
            let written = at(&path, metadata.modified())?;
            let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            let written = Timestamp::default() + written;
            files.push(StoredFile { name, bytes: metadata.len(), written });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn it_keeps_the_rules_of_the_archive() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [directory.path().join("served"), directory.path().join("rehearsed")];
        for folder in [DataFolder::serve(&paths[0]), DataFolder::rehearse(&paths[1])] {
            keeps_the_rules(&folder.unwrap()).await;
        }
    }

    async fn keeps_the_rules(folder: &DataFolder) {
        let archive = FolderArchive::new(folder);
        rendezvous_core::conformance::archive(&archive, async |_, name| {
            fs::read(folder.archive().join(name)).ok().map(Bytes::from)
        })
        .await;
        rendezvous_core::conformance::archive_files(&archive).await;
        rendezvous_core::conformance::erase(&archive).await;
        let left = fs::read_dir(folder.archive()).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["conformance"], "nothing unfinished stays");
    }

    #[tokio::test]
    async fn of_many_puts_of_one_name_one_is_new_and_its_bytes_stay() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::serve(directory.path()).unwrap();
        let archive = FolderArchive::new(&folder);
        let puts = (0_u8..16).map(|i| {
            let archive = archive.clone();
            let body = Bytes::from(vec![i; 100_000]);
            tokio::spawn(async move { (i, archive.put("a/b/c", body).await.unwrap()) })
        });
        let puts: Vec<_> = puts.collect();
        let mut new = Vec::new();
        for put in puts {
            let (i, stored) = put.await.unwrap();
            new.extend((stored == Stored::New).then_some(i));
        }
        let kept = fs::read(folder.archive().join("a/b/c")).unwrap();
        assert_eq!(new.len(), 1);
        assert_eq!(kept, vec![new[0]; 100_000]);
    }

    #[tokio::test]
    async fn a_check_fails_where_a_put_would() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::serve(directory.path()).unwrap();
        let archive = FolderArchive::new(&folder);
        archive.check().await.unwrap();
        assert_eq!(fs::read_dir(folder.archive()).unwrap().count(), 0, "nothing stays");
        fs::remove_dir(folder.archive()).unwrap();
        let error = archive.check().await.unwrap_err().to_string();
        assert!(error.starts_with("archive is unavailable"), "{error}");
    }

    #[tokio::test]
    async fn an_error_names_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::serve(directory.path()).unwrap();
        fs::write(folder.archive().join("requests"), "a file where a folder should be").unwrap();
        let put = FolderArchive::new(&folder).put("requests/x.parquet", Bytes::new()).await;
        let error = put.unwrap_err().to_string();
        let path = folder.archive().join("requests");
        assert!(error.starts_with("archive is unavailable"), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
