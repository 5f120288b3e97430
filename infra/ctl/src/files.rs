//! What the commands that rewrite an archive do with its files.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_core::{
    Unavailable,
    ports::{ArchiveFiles, Erase, StoredFile},
};

/// How many files are read or deleted at a time.
pub(crate) const AT_A_TIME: usize = 16;

/// Reads a file, whole.
pub(crate) async fn read(
    archive: &impl ArchiveFiles,
    file: &StoredFile,
) -> Result<Bytes, Unavailable> {
    archive.read(&file.name, 0..file.bytes).await
}

/// Deletes files with all their versions; returns how many versions there were.
pub(crate) async fn erase(
    store: &impl Erase,
    names: impl IntoIterator<Item = String>,
) -> Result<u64, Unavailable> {
    stream::iter(names)
        .map(|name| async move { store.erase(&name).await })
        .buffer_unordered(AT_A_TIME)
        .try_fold(0, |sum, versions| async move { Ok(sum + versions) })
        .await
}
