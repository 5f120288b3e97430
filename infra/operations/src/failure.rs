//! Why a command fails, and the exit code that says so.

use std::fmt;

use rendezvous_archive::ScanError;
use rendezvous_core::{Invalid, Unavailable};

/// Why a command fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something does not work: the system, its parts, a file.
    Failed(String),
    /// The command line is wrong.
    Usage(String),
    /// A rule forbids it.
    Refused(String),
    /// Somebody else was first. Nothing was changed.
    Conflict(String),
}

impl Failure {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Conflict(_) => 4,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(what) | Self::Usage(what) | Self::Refused(what) | Self::Conflict(what)) =
            self;
        f.write_str(what)
    }
}

/// A dependency that does not work.
impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::Failed(format!("{error}; check the region, the credentials and the connection"))
    }
}

/// An archive that cannot be read.
impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A configuration that breaks a rule.
impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(invalid.to_string())
    }
}
