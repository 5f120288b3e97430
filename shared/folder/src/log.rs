//! The log: what a server has told its clients, and what is not yet in the archive.
//!
//! It is a folder of segments, `log/{number}.{streams|ledger}` with 16 hexadecimal digits. Each is written once,
//! by appending, and deleted when nobody needs any of its entries: then it is missing, and those after it
//! count all the same. A segment of `ledger` is deleted only after all before it, because a later entry
//! replaces an earlier one of the same mailbox.
//!
//! A segment is a head of 8 bytes, `RDVLOG` and the version 0x0001, and then frames. A frame is what one
//! call of write(2) has appended. All numbers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | n, the bytes of the entries |
//! | 4 | CRC-32 (that of gzip) of these n bytes |
//! | n | the entries |
//!
//! and an entry
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | its kind, which the log does not look at |
//! | 8 | when it arrived, in microseconds since the epoch |
//! | 4 | k, the bytes of the key |
//! | 4 | d, the bytes of the data |
//! | k, d | key and data |
//!
//! Nothing is synced: what write(2) has taken survives the process and not the power. A segment ends at
//! the first frame that is not whole, or whose sum is wrong; whoever reads it is told ([`Segment::torn`]). No process
//! appends to the segment of another.

mod frame;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rendezvous_core::{Timestamp, memory::Part, now};

pub use self::frame::{Frame, Kept, read as read_frames};
use crate::{
    DataFolder, FileError,
    files::{at, create_folder, names, remove},
};

/// The first bytes of a segment: the format, and its version.
const HEAD: [u8; 8] = *b"RDVLOG\x01\x00";

/// How often it is looked whether the file of a segment is still there.
const LOOK: Duration = Duration::from_millis(100);

/// The log of a data folder.
#[derive(Clone, Debug)]
pub struct FolderLog {
    /// It keeps the lock.
    _data: DataFolder,
    folder: PathBuf,
}

/// A segment that a former process has written.
#[derive(Debug)]
pub struct Segment {
    pub entries: Vec<Kept>,
    /// Why it ends before its file does.
    pub torn: Option<String>,
}

const fn extension(part: Part) -> &'static str {
    match part {
        Part::Streams => "streams",
        Part::Ledger => "ledger",
    }
}

impl FolderLog {
    /// The log of `data`. The folder is created when it is missing.
    pub fn new(data: &DataFolder) -> Result<Self, FileError> {
        let folder = data.log();
        create_folder(&folder)?;
        Ok(Self { _data: data.clone(), folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, part: Part, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016x}.{}", extension(part)))
    }

    /// The segments that there are, ascending.
    pub fn segments(&self, part: Part) -> Result<Vec<u64>, FileError> {
        let number = |name: String| {
            let digits = name.strip_suffix(extension(part))?.strip_suffix('.')?;
            u64::from_str_radix(digits, 16).ok()
        };
        let mut numbers: Vec<u64> = names(&self.folder)?.into_iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Reads a segment up to its end, or to where it is torn. A segment of another version is an error.
    pub fn read(&self, part: Part, number: u64) -> Result<Segment, FileError> {
        let path = self.path(part, number);
        let mut bytes = Vec::new();
        at(&path, File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)))?;
        let Some(frames) = bytes.strip_prefix(&HEAD) else {
            if HEAD.starts_with(&bytes) {
                // The process ended before it wrote a frame.
                return Ok(Segment { entries: Vec::new(), torn: None });
            }
            return Err(FileError::content(&path, "it is no log of this version"));
        };
        let (entries, read) = frame::read(frames);
        let left = frames.len() - read;
        let end = HEAD.len() + read;
        let torn = (left > 0)
            .then(|| format!("{} ends at byte {end}; {left} bytes are no entries", path.display()));
        Ok(Segment { entries, torn })
    }

    /// A segment to append to. Its file is made by the first append.
    pub fn append_to(&self, part: Part, number: u64) -> Appender {
        Appender { path: self.path(part, number), file: None, length: 0, looked: now() }
    }

    /// Deletes a segment, if there is such.
    pub fn delete(&self, part: Part, number: u64) -> Result<(), FileError> {
        remove(&self.path(part, number))
    }
}

/// A segment that grows.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: Option<File>,
    /// Up to where it is written.
    length: u64,
    /// When it was looked whether the file has its name.
    looked: Timestamp,
}

impl Appender {
    /// The bytes that are written.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Appends a frame. After an error it is as if nothing was appended, and the frame can be appended again. A file
    /// that was deleted meanwhile is made again, some time later.
    pub fn append(&mut self, frame: &mut Frame) -> Result<(), FileError> {
        let appended = self.try_append(frame);
        if appended.is_err() {
            // A disk that is full or was taken away may work when the file is opened again.
            self.file = None;
        }
        at(&self.path, appended)
    }

    fn try_append(&mut self, frame: &mut Frame) -> io::Result<()> {
        let bytes = frame.finish()?;
        if now().since(self.looked) >= LOOK {
            self.looked = now();
            if self.file.as_ref().is_some_and(|file| is_gone(file, &self.path)) {
                self.file = None;
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file =
                    File::options().create(true).truncate(false).write(true).open(&self.path)?;
                self.length = self.length.min(file.metadata()?.len());
                none.insert(file)
            }
        };
        if self.length == 0 {
            write_at(file, &HEAD, 0)?;
            self.length = HEAD.len() as u64;
        }
        write_at(file, bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Writes bytes at a place, so that a failed write is overwritten by the next.
#[cfg(unix)]
fn write_at(file: &mut File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(file: &mut File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Whether a file does not have its name any more, so that nobody would find what is written: it was deleted, or its
/// disk was taken away.
#[cfg(unix)]
fn is_gone(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let is_it = |named: fs::Metadata, open: fs::Metadata| {
        (named.dev(), named.ino()) == (open.dev(), open.ino())
    };
    match (fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => !is_it(named, open),
        _ => true,
    }
}

#[cfg(not(unix))]
fn is_gone(_: &File, _: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests;
