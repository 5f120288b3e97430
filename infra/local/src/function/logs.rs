//! What a function prints: kept in a file, of which there is never more than a bounded part.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
};

/// The most bytes of a log. The end of a longer one becomes the former log, of which there is one.
const MAX_LOG: u64 = 10_000_000;

/// The log of a function.
#[derive(Clone, Debug)]
pub(super) struct Log(PathBuf);

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a process writes standard output and standard error.
    pub(super) fn outputs(&self) -> io::Result<[Stdio; 2]> {
        self.bound()?;
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let file: File = OpenOptions::new().create(true).append(true).open(&self.0)?;
        Ok([file.try_clone()?.into(), file.into()])
    }

    /// Cuts a log that is too long. A running process goes on at the beginning of the empty file.
    pub(super) fn bound(&self) -> io::Result<()> {
        let Ok(mut full) = File::open(&self.0) else { return Ok(()) };
        let length = full.metadata()?.len();
        if length <= MAX_LOG {
            return Ok(());
        }
        // A process may have written far more since the last look.
        full.seek(SeekFrom::Start(length - MAX_LOG))?;
        io::copy(&mut full.take(MAX_LOG), &mut File::create(self.0.with_extension("former.log"))?)?;
        OpenOptions::new().write(true).open(&self.0)?.set_len(0)
    }
}
