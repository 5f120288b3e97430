//! How far a replay has come, in a file.

use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use rendezvous_archive::walk::Place;
use rendezvous_core::{EndpointName, ModelId, RequestId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Of which replay it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Of {
    pub(super) endpoint: EndpointName,
    pub(super) model: ModelId,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Position {
    #[serde(flatten)]
    of: Of,
    /// Distinguishes the replay from others of the same endpoint and model.
    #[serde(default = "random")]
    id: String,
    /// How many requests are replayed.
    requests: u64,
    /// The row of the last of them.
    after: Option<Place>,
    /// A commit that may have been done.
    pending: Option<Pending>,
}

fn random() -> String {
    RequestId::random().to_string()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    /// The file of the archive that shows whether it was.
    file: Option<String>,
    after: Place,
    requests: u64,
}

/// The position of a replay. A change is on the disk before the method returns. Until it is dropped, or the process
/// ends, no other process can open it.
pub(super) struct PositionFile {
    path: PathBuf,
    position: Position,
    _lock: File,
}

impl PositionFile {
    /// Reads the position of this replay; its beginning where there is no file, or to `restart`.
    pub(super) fn open(path: &Path, of: Of, restart: bool) -> Result<Self, Failure> {
        let failed = |what: String| Failure::Failed(format!("{}: {what}", path.display()));
        let lock = lock(path)?;
        let beginning = Position { of, id: random(), requests: 0, after: None, pending: None };
        let position = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => beginning,
            Err(error) => return Err(failed(error.to_string())),
            Ok(_) if restart => beginning,
            Ok(text) => {
                let position: Position =
                    serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
                if position.of != beginning.of {
                    return Err(Failure::Usage(format!(
                        "{} is the position of another replay: name another file with --position, or \
                         begin again with --restart",
                        path.display()
                    )));
                }
                position
            }
        };
        let opened = Self { path: path.to_owned(), position, _lock: lock };
        opened.write()?;
        Ok(opened)
    }

    pub(super) fn id(&self) -> &str {
        &self.position.id
    }

    pub(super) fn requests(&self) -> u64 {
        self.position.requests
    }

    pub(super) fn after(&self) -> Option<&Place> {
        self.position.after.as_ref()
    }

    /// The file of a commit that may have been done.
    pub(super) fn pending(&self) -> Option<&str> {
        self.position.pending.as_ref()?.file.as_deref()
    }

    /// Notes that a commit begins of so many requests, the last of which is in the row `after`.
    pub(super) fn begin(
        &mut self,
        file: Option<String>,
        after: Place,
        requests: usize,
    ) -> Result<(), Failure> {
        let to_be_written = file.is_some();
        self.position.pending = Some(Pending { file, after, requests: requests as u64 });
        if to_be_written { self.write() } else { Ok(()) }
    }

    /// Notes whether the commit was done.
    pub(super) fn resolve(&mut self, done: bool) -> Result<(), Failure> {
        if let Some(Pending { after, requests, .. }) = self.position.pending.take().filter(|_| done)
        {
            self.position.after = Some(after);
            self.position.requests += requests;
        }
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let write = || {
            let new = self.path.with_extension("new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(&self.position)?)?;
            file.sync_all()?;
            fs::rename(new, &self.path)
        };
        write().map_err(|error| Failure::Failed(format!("{}: {error}", self.path.display())))
    }
}

/// The file beside the position that is locked while a process has it. It stays: a lock on a deleted file does not
/// exclude one on its successor.
fn lock(position: &Path) -> Result<File, Failure> {
    let path = position.with_extension("lock");
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let path = position.display();
            Err(Failure::Refused(format!(
                "another process has the position {path}: this replay is running"
            )))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
