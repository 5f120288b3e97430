use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints text and a line end to standard output. A closed pipe changes nothing: the command does
/// its work, and its exit code says what became of it.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints an empty line to standard output. Returns whether somebody can still read it.
pub(crate) fn separate() -> bool {
    writeln!(io::stdout()).is_ok()
}

/// Prints what is said beside the result to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints why the command failed to standard error.
pub(crate) fn fail(error: impl Display) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Prints what may not work to standard error.
pub(crate) fn warn(warning: impl Display) {
    let _ = writeln!(io::stderr(), "warning: {warning}");
}
