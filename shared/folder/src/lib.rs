//! Rendezvous on a data folder: the ports that must outlive a process, on local files
//! ([`FolderEndpoints`], [`FolderArchive`], [`FolderSecrets`], [`FolderWindows`]), and large payloads ([`FolderPayloads`]), the log of what is in memory
//! only ([`FolderLog`]), and the folder that they share ([`DataFolder`]). It is to the local system what `rendezvous-aws` is to a stack.
//!
//! What may not be in it: a cloud or its SDK, a network, a decision about requests, and state that
//! does not outlive a process (that is in [`rendezvous_core::memory`]).
//!
//! Endpoints, archive, windows and payloads pass core's conformance suite. Calls to the file system run on
//! tokio's threads for blocking work, so that a slow disk does not delay those who answer requests.
//! Modules import only from modules before them in this list.

mod files;

mod data_folder;

mod archive;
mod endpoints;
mod log;
mod models;
mod payloads;
mod secrets;
mod windows;

pub use archive::FolderArchive;
pub use data_folder::{DataFolder, FolderError};
pub use endpoints::FolderEndpoints;
pub use files::FileError;
pub use log::{Appender, FolderLog, Frame, Kept, Segment, read_frames};
pub use models::{ModelUp, ModelsUp};
pub use payloads::FolderPayloads;
pub use secrets::FolderSecrets;
pub use windows::FolderWindows;
