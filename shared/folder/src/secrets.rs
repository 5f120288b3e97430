//! The secret for idempotency keys as a file.

use std::{
    fs::{self, File},
    io::Read,
    time::UNIX_EPOCH,
};

use rendezvous_core::{
    IdempotencySecret, Timestamp, Unavailable,
    ports::{Secrets, StackSecret},
    random,
};
use tokio::sync::OnceCell;

use crate::{
    data_folder::DataFolder,
    files::{FileError, Readers, at, blocking, create},
};

/// The name of the dependency in errors, as on AWS.
const SECRETS: &str = "secret store";

/// The secret of a data folder: 32 random bytes, generated when it is first needed.
///
/// It stays the same over restarts, so that a repeat of an idempotency key gets the id of the first
/// request. Processes that generate it at once agree: one file is kept, and all read it.
/// Its time of creation is the file's modification time. It is read once and then kept in memory.
#[derive(Clone, Debug)]
pub struct FolderSecrets {
    folder: DataFolder,
    read: OnceCell<StackSecret>,
}

impl FolderSecrets {
    /// The secret of `folder`.
    pub fn new(folder: &DataFolder) -> Self {
        Self { folder: folder.clone(), read: OnceCell::new() }
    }

    async fn get(&self) -> Result<StackSecret, Unavailable> {
        let folder = self.folder.clone();
        // Drawn here, because the source of randomness belongs to the caller's thread.
        let new = random::bytes::<{ IdempotencySecret::MIN_BYTES }>("idempotency secret", "");
        blocking(SECRETS, move || read_or_create(&folder, new)).await
    }
}

fn read_or_create(
    folder: &DataFolder,
    new: [u8; IdempotencySecret::MIN_BYTES],
) -> Result<StackSecret, FileError> {
    let path = folder.secret();
    if !at(&path, fs::exists(&path))? {
        create(folder.root(), &path, &new, Readers::Owner)?;
    }
    let mut file = at(&path, File::open(&path))?;
    let mut bytes = Vec::new();
    at(&path, file.read_to_end(&mut bytes))?;
    let secret = IdempotencySecret::new(&bytes).map_err(|invalid| {
        let advice = "restore the file, or delete it: a new secret is then generated, and repeats \
                      of earlier idempotency keys count as new requests";
        FileError::content(&path, format!("{invalid}: {advice}"))
    })?;
    let modified = at(&path, file.metadata().and_then(|metadata| metadata.modified()))?;
    // A time before 1970 reads as the epoch.
    let created =
        Timestamp::from_micros(0) + modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(StackSecret { secret, created })
}

impl Secrets for FolderSecrets {
    async fn idempotency(&self) -> Result<StackSecret, Unavailable> {
        self.read.get_or_try_init(|| self.get()).await.cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rendezvous_core::now;

    use super::*;

    /// What identifies a secret without showing it.
    async fn owner(folder: &DataFolder) -> [u8; 16] {
        FolderSecrets::new(folder).idempotency().await.unwrap().secret.owner("ann")
    }

    #[tokio::test]
    async fn a_secret_is_generated_once_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let first = FolderSecrets::new(&folder).idempotency().await.unwrap();
        // The file system's clock may be coarser than ours.
        assert!(now().since(first.created) < Duration::from_mins(1));
        assert!(first.created.since(now()) < Duration::from_mins(1));
        assert_eq!(fs::read(folder.secret()).unwrap().len(), 32);
        let reopened = DataFolder::open(directory.path()).unwrap();
        let second = FolderSecrets::new(&reopened).idempotency().await.unwrap();
        assert_eq!(second.secret.owner("ann"), first.secret.owner("ann"));
        assert_eq!(second.created, first.created);
        let another = tempfile::tempdir().unwrap();
        let another = DataFolder::open(another.path()).unwrap();
        assert_ne!(owner(&another).await, first.secret.owner("ann"));
    }

    #[tokio::test]
    async fn those_who_generate_it_at_once_agree() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let racing: Vec<_> = (0..16)
            .map(|_| {
                let folder = folder.clone();
                tokio::spawn(async move { owner(&folder).await })
            })
            .collect();
        let mut owners = Vec::new();
        for one in racing {
            owners.push(one.await.unwrap());
        }
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
        assert_eq!(owner(&folder).await, owners[0]);
    }

    #[tokio::test]
    async fn one_who_comes_second_reads_what_the_first_has_written() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        let first = read_or_create(&folder, [1; 32]).unwrap().secret.owner("ann");
        // The second has found no file and creates its own when the first is there already.
        create(folder.root(), &folder.secret(), &[2; 32], Readers::Owner).unwrap();
        let second = read_or_create(&folder, [3; 32]).unwrap().secret.owner("ann");
        assert_eq!(first, second);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        owner(&folder).await;
        let mode = fs::metadata(folder.secret()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_truncated_secret_names_its_file_and_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        fs::write(folder.secret(), "short").unwrap();
        let secrets = FolderSecrets::new(&folder);
        let error = secrets.idempotency().await.unwrap_err().to_string();
        assert!(error.contains(folder.secret().to_str().unwrap()), "{error}");
        assert!(error.contains("at least 32 bytes"), "{error}");
        assert!(error.contains("restore the file"), "{error}");
        assert_eq!(fs::read(folder.secret()).unwrap(), b"short");
        fs::remove_file(folder.secret()).unwrap();
        secrets.idempotency().await.expect("an error is not kept");
    }
}
