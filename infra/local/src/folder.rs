//! The archive as a folder.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use rendezvous_core::{
    Unavailable,
    ports::{Archive, Stored},
};
use tokio::task::spawn_blocking;

/// A folder whose files are written once, whole or not at all.
#[derive(Debug)]
pub struct FolderArchive {
    root: PathBuf,
    /// Tells the unfinished files of this process apart.
    unfinished: AtomicU64,
}

impl FolderArchive {
    /// Uses `root`, which is made where it is missing.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self { root: root.to_owned(), unfinished: AtomicU64::new(0) })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A name that no other unfinished file has.
    fn unfinished(&self) -> PathBuf {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.root.join(format!(".unfinished-{}-{number}", std::process::id()))
    }
}

fn store(path: &Path, unfinished: &Path, body: &[u8]) -> io::Result<Stored> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let stored = write(unfinished, body).and_then(|()| {
        // Unlike a rename, a link fails when there is a file of that name.
        match fs::hard_link(unfinished, path) {
            Ok(()) => Ok(Stored::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Stored::Already),
            Err(error) => Err(error),
        }
    });
    // Whatever has happened, it is of no more use; it may not even be there.
    let _ = fs::remove_file(unfinished);
    stored
}

fn write(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(body)?;
    file.sync_all()
}

impl Archive for FolderArchive {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let (path, unfinished) = (self.root.join(name), self.unfinished());
        // A disk may take long to confirm a write; the threads that answer must not wait for it.
        let stored = spawn_blocking(move || store(&path, &unfinished, &body)).await;
        stored.map_err(io::Error::other).flatten().map_err(|error| {
            Unavailable::down("archive", format!("{}: {error}", self.root.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_keeps_the_contract_of_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let archive = FolderArchive::new(folder.path()).unwrap();
        rendezvous_core::conformance::archive(&archive, async |archive, name| {
            fs::read(archive.root().join(name)).ok().map(Bytes::from)
        })
        .await;
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "nothing unfinished stays");
    }
}
