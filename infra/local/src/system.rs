//! The system that runs here.

use std::ops::Range;

use rendezvous_core::{
    Minute, Unavailable,
    memory::MemoryWindows,
    ports::{Entry, EntryKey, WindowTable},
};
use rendezvous_folder::{
    FolderArchive, FolderEndpoints, FolderPayloads, FolderSecrets, FolderWindows,
};
use rendezvous_sim::System;

/// The system on a data folder.
pub(crate) type Local =
    System<FolderArchive, FolderEndpoints, FolderSecrets, Windows, FolderPayloads>;

/// The windows of the data folder; those of the year are in memory, since half a million runs of the monitor
/// read them.
pub(crate) enum Windows {
    Folder(FolderWindows),
    Memory(MemoryWindows),
}

impl WindowTable for Windows {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        match self {
            Self::Folder(windows) => windows.put(entries).await,
            Self::Memory(windows) => windows.put(entries).await,
        }
    }

    async fn delete(&self, keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        match self {
            Self::Folder(windows) => windows.delete(keys).await,
            Self::Memory(windows) => windows.delete(keys).await,
        }
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        match self {
            Self::Folder(windows) => windows.read(series, minutes, limit).await,
            Self::Memory(windows) => windows.read(series, minutes, limit).await,
        }
    }
}
