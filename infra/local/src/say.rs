//! What the commands print. A closed pipe is an error for the caller, not a panic as with `println!`.

use std::{
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, SecondsFormat};
use rendezvous_core::now;

/// An error as people read it: one line, what and why.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Prints text and a line end to standard output. An error of kind `BrokenPipe` means that
/// the reader has closed the pipe: the command should end.
pub(crate) fn say(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints a line to standard error. A closed standard error changes nothing.
pub fn warn(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A line that begins with the time, in UTC.
pub(crate) fn timed(line: impl Display) -> String {
    let time = DateTime::from_timestamp_micros(now().as_micros()).unwrap_or_default();
    format!("{} {line}", time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// A path as people like to read it: from where they stand, if it lies below.
pub(crate) fn shown(path: &Path) -> String {
    let path: PathBuf = match path.canonicalize() {
        Ok(whole) => whole,
        Err(_) => path.to_owned(),
    };
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(&path).display().to_string()
}
