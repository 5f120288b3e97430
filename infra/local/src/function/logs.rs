//! What a function prints: kept in a file, of which there is never more than a bounded part.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, PipeWriter, Write, pipe},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    time::{Instant, sleep},
};

/// The most bytes of a log. A longer one becomes the former log, of which there is one.
const MAX_LOG: u64 = 10_000_000;

/// The bytes a second that are kept of what a process prints. A process that prints more waits: the disk
/// and the processors are for the requests.
const RATE: f64 = 2e6;

/// For how long a process may have been silent and then print at once what it may print in that time.
const AHEAD: Duration = Duration::from_secs(10);

/// The most bytes that are read at once: as many as a pipe holds.
const CHUNK: usize = 65_536;

/// The log of a function, which its processes share.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// Held while one process's text is appended, so that two of them do not both begin a new log.
    appending: Arc<Mutex<()>>,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, appending: Arc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a process writes standard output and standard error: a pipe that is read until all its
    /// writers have ended.
    pub(super) fn outputs(&self, function: &str) -> io::Result<[Stdio; 2]> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Who looks for the log of a function finds one, also before it has printed.
        self.open()?;
        let (printed, writer) = printed()?;
        tokio::spawn(keep(self.clone(), printed, function.to_owned()));
        Ok([writer.try_clone()?.into(), writer.into()])
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.path)
    }

    fn append(&self, printed: &[u8]) -> io::Result<()> {
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open()?;
        if file.metadata()?.len() + printed.len() as u64 > MAX_LOG {
            fs::rename(&self.path, self.path.with_extension("former.log"))?;
            file = self.open()?;
        }
        file.write_all(printed)
    }
}

fn printed() -> io::Result<(Receiver, PipeWriter)> {
    let (reader, writer) = pipe()?;
    Ok((Receiver::from_owned_fd(reader.into())?, writer))
}

/// Writes what a process prints to its log, until it can print no more.
async fn keep(log: Log, mut printed: Receiver, function: String) {
    let (mut buffer, mut due, mut failed) = (BytesMut::new(), Instant::now(), false);
    loop {
        buffer.reserve(CHUNK);
        let length = match printed.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let result = append(&log, buffer.split().freeze()).await;
        if let (Err(error), false) = (&result, failed) {
            tracing::warn!(function, %error, "what a function prints cannot be kept");
        }
        failed = result.is_err();
        let now = Instant::now();
        due = due.max(now) + Duration::from_secs_f64(length as f64 / RATE);
        sleep((due - now).saturating_sub(AHEAD)).await;
    }
}

/// On a thread of its own: the requests of other models must not wait for a disk.
async fn append(log: &Log, printed: Bytes) -> io::Result<()> {
    let log = log.clone();
    tokio::task::spawn_blocking(move || log.append(&printed)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_prints_more_than_the_rate_waits_and_the_last_megabytes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(folder.path().join("f.log"));
        let (printed, mut writer) = printed().unwrap();
        let began = Instant::now();
        let prints = std::thread::spawn(move || {
            let line = [&[b'x'; 999], b"\n".as_slice()].concat();
            (0..30_000).try_for_each(|_| writer.write_all(&line))?;
            writer.write_all(b"the last line")
        });
        keep(log.clone(), printed, "f@1".to_owned()).await;
        prints.join().unwrap().unwrap();
        // 20 MB at once, and 10 MB at 2 MB a second.
        let waited = began.elapsed().as_secs_f64();
        assert!((5.0..5.1).contains(&waited), "{waited}");
        let [last, former] = [log.path(), &log.path().with_extension("former.log")]
            .map(|path| fs::read(path).unwrap());
        assert!(last.ends_with(b"the last line"));
        assert!(last.len() as u64 <= MAX_LOG && former.len() as u64 <= MAX_LOG);
        assert!((last.len() + former.len()) as u64 > MAX_LOG);
    }
}
