//! The folder of `--data`: its layout, and who may use it at once.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::files::{FileError, Survives, UNFINISHED, at, create_folder, names, remove};

/// A data folder: what a local system keeps over restarts.
///
/// | path | what it is | written by | changes |
/// | --- | --- | --- | --- |
/// | `endpoints/{name}/{version}.json` | one version of an endpoint's configuration, with provenance | the server or a tool | never |
/// | `endpoints/{name}/current` | the number of the current version | the publisher | replaced atomically at each publication |
/// | `archive/…` | the files of the archive, under the names that they have in S3 | the server, tools that replace files, and for `replays/` a tool | never; deleted when another one takes their place |
/// | `payloads/{endpoint}/{request}` | a payload that is too large for a message | the server | deleted after the retention of the ledger, and when no message refers to it: when the server ends, or starts with an empty log |
/// | `log/…` | what clients were told and is not in the archive yet, and the mailboxes of the ledger: [`FolderLog`](crate::FolderLog) | the server | appended to; deleted when nobody needs it |
/// | `windows/{series}/{hour}` | entries of the table of windows | the server, and a tool that sets a baseline | appended to; deleted when all of it has expired; that of the first minute is rewritten |
/// | `secret` | the secret for idempotency keys, 32 random bytes, readable by its owner only | the first process that needs it | never |
/// | `replays/replay-{endpoint}-{model}.json` | how far a replay has come | a tool | replaced atomically |
/// | `replays/replay-{endpoint}-{model}.lock` | empty; locked by a replay that runs | a tool | never |
/// | `models.json` | the models that the server has up | the server | replaced atomically; deleted when the server ends |
/// | `lock` | empty; locked by the server | the server | never |
/// | `windows.lock` | empty; locked by who writes windows, for as long as that takes | the first writer | never |
/// | `.unfinished-*`, in the folder, `endpoints/` and `archive/` | a file that is being written, or that a crash has left behind; no reader looks at it | the writer | renamed when it is finished |
///
/// Any number of processes may read the folder, publish endpoints and read the secret at once. One
/// of them may be a server ([`Self::serve`]): only a server adds rows to the live tables of the archive.
///
/// Locks and renames are those of a local file system. A folder on a network file system is as safe
/// as that file system's.
///
/// Clones and the ports on a folder share its lock. It is released when the last of them is dropped
/// or the process ends, in whatever way.
#[derive(Clone, Debug)]
pub struct DataFolder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Open, and thereby locked, while this process serves the folder.
    _lock: Option<File>,
    archive_survives: Survives,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another server has it. Stop that server, or use another folder.
    #[error(
        "data folder {} is in use by another server: stop that server, or name another folder \
         with --data",
        .folder.display()
    )]
    InUse { folder: PathBuf },
    /// It cannot be created, read or written. Correct what the error names, or use another folder.
    #[error("cannot use data folder {} ({cause})", .folder.display())]
    Unusable { folder: PathBuf, cause: FileError },
}

impl DataFolder {
    /// Opens a folder to read it, to publish endpoints or to read the secret. The folder is created
    /// when it is missing. Processes that open it do not exclude each other, nor a server.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let root = create(path).map_err(|cause| unusable(path, cause))?;
        let archive_survives = Survives::PowerFailure;
        Ok(Self(Arc::new(Inner { root, _lock: None, archive_survives })))
    }

    /// Opens a folder for a server, which excludes every other server. The folder is created when
    /// it is missing. Files of the archive that a former server has not finished are deleted.
    pub fn serve(path: &Path) -> Result<Self, FolderError> {
        Self::lock(path, Survives::PowerFailure)
    }

    /// The same for a run that can be repeated, and in which nobody was promised anything: the files of the
    /// archive do not survive a power failure, and are written faster.
    pub fn rehearse(path: &Path) -> Result<Self, FolderError> {
        Self::lock(path, Survives::Process)
    }

    fn lock(path: &Path, archive_survives: Survives) -> Result<Self, FolderError> {
        let root = create(path).map_err(|cause| unusable(path, cause))?;
        let lock = match lock(&root.join("lock")) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(FolderError::InUse { folder: root }),
            Err(cause) => return Err(unusable(&root, cause)),
        };
        let folder = Self(Arc::new(Inner { root, _lock: Some(lock), archive_survives }));
        let archive = folder.archive();
        delete_unfinished(&archive).map_err(|cause| unusable(folder.root(), cause))?;
        Ok(folder)
    }

    /// The folder's absolute path.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// The path of the endpoints' versions.
    pub fn endpoints(&self) -> PathBuf {
        self.root().join("endpoints")
    }

    /// The path of the archive's files.
    pub fn archive(&self) -> PathBuf {
        self.root().join("archive")
    }

    /// What the files of the archive survive.
    pub(crate) fn archive_survives(&self) -> Survives {
        self.0.archive_survives
    }

    /// The path of the payloads that are too large for a message.
    pub fn payloads(&self) -> PathBuf {
        self.root().join("payloads")
    }

    /// The path of the positions of replays.
    pub fn replays(&self) -> PathBuf {
        self.root().join("replays")
    }

    /// The path of the log.
    pub fn log(&self) -> PathBuf {
        self.root().join("log")
    }

    /// The path of the table of windows.
    pub fn windows(&self) -> PathBuf {
        self.root().join("windows")
    }

    /// The path of the lock of the table of windows.
    pub(crate) fn windows_lock(&self) -> PathBuf {
        self.root().join("windows.lock")
    }

    /// The path of the secret.
    pub fn secret(&self) -> PathBuf {
        self.root().join("secret")
    }

    /// The path of the list of models that are up.
    pub fn models(&self) -> PathBuf {
        self.root().join("models.json")
    }
}

fn unusable(folder: &Path, cause: FileError) -> FolderError {
    FolderError::Unusable { folder: folder.to_owned(), cause }
}

/// Creates what is missing of a folder and returns its absolute path.
fn create(path: &Path) -> Result<PathBuf, FileError> {
    let root = at(path, std::path::absolute(path))?;
    for folder in [root.join("endpoints"), root.join("archive")] {
        create_folder(&folder)?;
    }
    // Without symbolic links: messages name it, and are read by processes that find it in another way.
    at(path, fs::canonicalize(root))
}

/// The file of a lock.
///
/// The file is never deleted: a lock on a deleted file does not exclude one on its successor.
pub(crate) fn lock_file(path: &Path) -> Result<File, FileError> {
    at(path, File::options().create(true).truncate(false).write(true).open(path))
}

/// The locked file, unless another holds the lock.
fn lock(path: &Path) -> Result<Option<File>, FileError> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => at(path, Err(error)),
    }
}

/// A file that is unfinished for so long is nobody's: tools write into the archive while a server starts.
const ABANDONED: Duration = Duration::from_hours(1);

/// Deletes the unfinished files below `folder` that somebody has left there.
fn delete_unfinished(folder: &Path) -> Result<(), FileError> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if name.starts_with(UNFINISHED) && is_abandoned(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn is_abandoned(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_and_readers_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let first = DataFolder::serve(&path).unwrap();
        let refused = DataFolder::serve(&path).unwrap_err();
        assert!(matches!(refused, FolderError::InUse { .. }), "{refused:?}");
        let message = refused.to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains("stop that server"), "{message}");
        assert!(message.contains("--data"), "{message}");
        DataFolder::open(&path).expect("a reader is not refused");
        let clone = first.clone();
        drop(first);
        assert!(DataFolder::serve(&path).is_err(), "a clone has the lock, too");
        drop(clone);
        DataFolder::serve(&path).expect("the lock has ended");
    }

    #[test]
    fn a_server_deletes_what_a_former_one_has_not_finished() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let archive = folder.archive();
        fs::create_dir(archive.join("requests")).unwrap();
        let (left, kept) = (archive.join(".unfinished-x"), archive.join("requests/kept.parquet"));
        // Another process may be about to publish it.
        let published = folder.endpoints().join(".unfinished-y");
        // A tool may be writing it.
        let writing = archive.join(".unfinished-z");
        for file in [&left, &kept, &published, &writing] {
            fs::write(file, "x").unwrap();
        }
        let long_ago = fs::metadata(&left).unwrap().modified().unwrap() - ABANDONED * 2;
        for file in [&left, &kept, &published] {
            File::options().append(true).open(file).unwrap().set_modified(long_ago).unwrap();
        }
        DataFolder::open(directory.path()).unwrap();
        assert!(left.exists(), "a reader deletes nothing");
        DataFolder::serve(directory.path()).unwrap();
        let there = [&left, &kept, &published, &writing].map(|file| file.exists());
        assert_eq!(there, [false, true, true, true]);
    }

    #[test]
    fn a_path_that_is_no_folder_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "x").unwrap();
        for result in [DataFolder::open(&path), DataFolder::serve(&path)] {
            let message = result.unwrap_err().to_string();
            assert!(message.starts_with("cannot use data folder"), "{message}");
            assert!(message.contains(path.to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn a_relative_path_is_named_in_full() {
        // Nothing but an existing folder, so that the test leaves nothing behind.
        let directory = tempfile::tempdir_in(".").unwrap();
        let relative = Path::new(directory.path().file_name().unwrap());
        let folder = DataFolder::open(relative).unwrap();
        assert!(folder.root().is_absolute());
        assert!(folder.root().ends_with(relative));
    }
}
