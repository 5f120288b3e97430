//! Files that appear whole or not at all, and that a power failure does not undo.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rendezvous_core::{Unavailable, clock, ports::Stored};
use tempfile::{Builder, TempPath};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How the names of unfinished files begin. No reader looks at such a file.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// A file or folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", .path.display())]
pub struct FileError {
    pub path: PathBuf,
    pub cause: io::Error,
}

impl FileError {
    /// A file whose content is wrong.
    pub(crate) fn content(path: &Path, what: impl Into<String>) -> Self {
        let cause = io::Error::new(io::ErrorKind::InvalidData, what.into());
        Self { path: path.to_owned(), cause }
    }
}

/// Names the path in an error of the file system.
pub(crate) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|cause| FileError { path: path.to_owned(), cause })
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Readers {
    /// Everybody whom the umask does not exclude.
    Umask,
    /// The owner of the process.
    Owner,
}

/// What a new file survives, once its writer has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    /// The end of the process: the operating system has the content.
    Process,
    /// A power failure, too: the disk has the content.
    PowerFailure,
}

/// Writes a file under `path`, which is below `root`, unless there is one. Durable in both cases:
/// the content and the folders from the file's up to `root` are synced.
///
/// Of several processes that write the same path at once, one gets [`Stored::New`].
pub(crate) fn create(
    root: &Path,
    path: &Path,
    body: &[u8],
    readers: Readers,
) -> Result<Stored, FileError> {
    let stored = place(root, path, body, readers, Survives::PowerFailure)?;
    sync_folders(root, path.parent().unwrap_or(root))?;
    Ok(stored)
}

/// The same without syncing the folders.
pub(crate) fn place(
    root: &Path,
    path: &Path,
    body: &[u8],
    readers: Readers,
    survives: Survives,
) -> Result<Stored, FileError> {
    let folder = path.parent().unwrap_or(root);
    at(folder, fs::create_dir_all(folder))?;
    let unfinished = unfinished(root, body, readers, survives)?;
    match unfinished.persist_noclobber(path) {
        Ok(()) => Ok(Stored::New),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(Stored::Already),
        Err(failed) => at(path, Err(failed.error)),
    }
}

/// Writes a file under `path`, which is below `root`, atomically in place of the one that may be
/// there. The content is synced, the folder is not: after a power failure the former file may be
/// back, whole.
pub(crate) fn replace(root: &Path, path: &Path, body: &[u8]) -> Result<(), FileError> {
    let unfinished = unfinished(root, body, Readers::Umask, Survives::PowerFailure)?;
    unfinished.persist(path).or_else(|failed| at(path, Err(failed.error)))
}

/// A file under a name of its own in `folder`; deleted when it is dropped.
pub(crate) fn unfinished(
    folder: &Path,
    body: &[u8],
    readers: Readers,
    survives: Survives,
) -> Result<TempPath, FileError> {
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    if let Readers::Umask = readers {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = at(folder, builder.tempfile_in(folder))?;
    let written = file.write_all(body).and_then(|()| match survives {
        Survives::Process => Ok(()),
        Survives::PowerFailure => file.as_file().sync_all(),
    });
    at(file.path(), written)?;
    Ok(file.into_temp_path())
}

/// Makes the names in `folder`, and those of the folders above it up to `root`, durable.
///
/// All of them each time: another process may have made one of them without having synced it yet.
pub(crate) fn sync_folders(root: &Path, folder: &Path) -> Result<(), FileError> {
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
        sync_folder(folder)?;
    }
    Ok(())
}

/// Makes the names in `folder` durable, where the file system can do that.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // fsync(2): the file system does not support the synchronisation of this kind of file.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => at(folder, synced),
    }
}

/// Creates a folder and those above it where they are missing, durably.
pub(crate) fn create_folder(folder: &Path) -> Result<(), FileError> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    at(folder, fs::create_dir_all(folder))?;
    missing.iter().filter_map(|missing| missing.parent()).try_for_each(sync_folder)
}

/// Deletes a file, if there is one.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    delete(path).map(drop)
}

/// The same; returns whether there was one.
pub(crate) fn delete(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => at(path, Err(error)),
    }
}

/// Deletes a folder with all that is in it, if there is one.
pub(crate) fn delete_folder(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => at(folder, Err(error)),
        _ => Ok(()),
    }
}

/// Deletes a folder that is empty, if there is one.
pub(crate) fn remove_empty(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => at(folder, removed),
    }
}

/// The content of a file, if there is one.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(body) => Ok(Some(body)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => at(path, Err(error)),
    }
}

/// The names in a folder that are valid UTF-8, in no order; none if there is no folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return at(folder, Err(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(at(folder, entry)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// How much may be at work at a time on all data folders of the process. Work that a disk does not finish counts
/// also when nobody waits for it any more, so that a disk that hangs takes neither all threads nor all memory.
const AT_ONCE: usize = 32;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// Runs `work` where it may block. An error becomes that of the dependency, with the path as detail.
pub(crate) async fn blocking<T: Send + 'static>(
    dependency: &'static str,
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, Unavailable> {
    let ended = if clock::is_simulated() {
        // Paused time does not pass until the work is done, so that another thread would only add its wake-up.
        Ok(work())
    } else {
        // The semaphore is never closed.
        let place = PLACES.acquire().await.ok();
        let work = move || {
            let _place = place;
            work()
        };
        spawn_blocking(work).await
    };
    match ended {
        Ok(result) => result.map_err(|error| Unavailable::down(dependency, error.to_string())),
        Err(ended) => Err(Unavailable::down(dependency, ended.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn work_that_does_not_end_takes_so_many_threads_and_no_more() {
        // Nothing ends before so much is at work.
        let (all, at_work) = (Arc::new(Barrier::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (all, at_work) = (all.clone(), at_work.clone());
            move || {
                let others = at_work.fetch_add(1, Relaxed);
                all.wait();
                at_work.fetch_sub(1, Relaxed);
                Ok(others)
            }
        };
        let begun: JoinSet<_> = (0..3 * AT_ONCE).map(|_| blocking("archive", work())).collect();
        let ended = begun.join_all().await;
        assert!(ended.into_iter().all(|others| others.unwrap() < AT_ONCE));
    }
}
