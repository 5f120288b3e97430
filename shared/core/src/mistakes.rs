//! What is wrong with something that a person has written: every mistake, with its place.

use std::fmt;

use crate::error::Invalid;

/// A list of mistakes, each at a JSON pointer (RFC 6901) into what was written.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    /// Notes a mistake at `pointer`; the empty pointer stands for the whole.
    pub(crate) fn add(&mut self, pointer: impl fmt::Display, what: impl fmt::Display) {
        let pointer = pointer.to_string();
        self.0.push(if pointer.is_empty() {
            what.to_string()
        } else {
            format!("{pointer}: {what}")
        });
    }

    /// Fails with all mistakes, if there are any.
    pub(crate) fn check(self) -> Result<(), Invalid> {
        if self.0.is_empty() { Ok(()) } else { Err(Invalid::new(self.0.join("; "))) }
    }
}
