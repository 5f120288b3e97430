//! What the commands print. A closed pipe is an error for the caller, not a panic as with `println!`.

use std::{
    fmt::Display,
    io::{self, Write},
};

use chrono::{DateTime, SecondsFormat};
use rendezvous_core::now;

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
