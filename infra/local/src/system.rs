//! The system that runs here.

use rendezvous_folder::{FolderArchive, FolderEndpoints, FolderPayloads, FolderSecrets};
use rendezvous_sim::System;

/// The system on a data folder.
pub(crate) type Local = System<FolderArchive, FolderEndpoints, FolderSecrets, FolderPayloads>;
