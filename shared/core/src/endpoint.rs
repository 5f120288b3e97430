//! An endpoint and the versions of its configuration.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    configuration::Configuration,
    error::Invalid,
    limits::{MAX_AUTHOR_CHARS, MAX_MESSAGE_CHARS},
    names::EndpointName,
};

/// Who publishes a configuration, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    author: String,
    message: String,
}

impl Provenance {
    /// `author` has 1 to 200 characters, `message` at most 2,000.
    pub fn new(author: impl Into<String>, message: impl Into<String>) -> Result<Self, Invalid> {
        let (author, message) = (author.into(), message.into());
        if author.is_empty() || author.chars().count() > MAX_AUTHOR_CHARS {
            return Err(Invalid::new(format!("author must be 1 to {MAX_AUTHOR_CHARS} characters")));
        }
        if message.chars().count() > MAX_MESSAGE_CHARS {
            return Err(Invalid::new(format!(
                "message must be at most {MAX_MESSAGE_CHARS} characters"
            )));
        }
        Ok(Self { author, message })
    }

    pub fn author(&self) -> &str {
        &self.author
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The record of one publication of an endpoint's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub version: u64,
    /// Absent for versions published before version 0.2.
    pub provenance: Option<Provenance>,
    pub published: Timestamp,
    /// The version that it replaced; none for the first.
    pub replaced: Option<u64>,
}

/// One version of an endpoint's configuration; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: EndpointName,
    pub version: u64,
    pub configuration: Configuration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_has_1_to_200_characters_and_a_message_at_most_2000() {
        let provenance = Provenance::new("ä".repeat(200), "m".repeat(2_000)).unwrap();
        assert_eq!(provenance.author(), "ä".repeat(200));
        assert_eq!(provenance.message(), "m".repeat(2_000));
        for author in [String::new(), "a".repeat(201)] {
            let error = Provenance::new(author, "").unwrap_err();
            assert_eq!(error.to_string(), "author must be 1 to 200 characters");
        }
        let error = Provenance::new("a", "m".repeat(2_001)).unwrap_err();
        assert_eq!(error.to_string(), "message must be at most 2000 characters");
    }
}
