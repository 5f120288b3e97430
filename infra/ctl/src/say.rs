use std::{
    fmt::Display,
    io::{self, BufRead, IsTerminal, Write},
};

use rendezvousctl::failure::Failure;

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

/// Asks the person whether to `act`. Fails with `refused` unless they agree.
pub(crate) fn agreed(question: &str, act: &str, refused: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "there is no terminal to ask at: pass --yes to {act}, or --dry-run to look"
        )));
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| Failure::Failed(error.to_string()))?;
    if ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::Failed(refused.to_owned()))
}
