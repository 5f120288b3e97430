//! The system that runs here.

use rendezvous_folder::{
    FolderArchive, FolderEndpoints, FolderPayloads, FolderSecrets, FolderWindows,
};
use rendezvous_sim::System;

/// The system on a data folder.
pub(crate) type Local =
    System<FolderArchive, FolderEndpoints, FolderSecrets, FolderWindows, FolderPayloads>;
