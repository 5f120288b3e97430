//! A request's payload in its message: the JSON itself, or a reference to where it is stored.

use std::fmt;

use serde::{Deserialize, Serialize, de};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{
    error::Invalid,
    json::Json,
    limits::MAX_PAYLOAD_BYTES,
    mutation::{Mutation, mutated},
};

/// The payload of a request in its message, as one member of it.
#[derive(Clone, Debug, Serialize)]
pub enum Payload<'a> {
    /// The payload itself.
    #[serde(rename = "payload")]
    Inline(&'a RawValue),
    /// Where the payload is: it is too large for a message.
    #[serde(rename = "payload_ref")]
    Stored(PayloadRef),
}

/// Where a payload is stored, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    pub url: String,
    pub sha256: Sha256Digest,
    pub bytes: u64,
}

impl PayloadRef {
    /// The reference, if a payload can have this size.
    pub(crate) fn checked(self) -> Result<Self, Invalid> {
        if self.bytes == 0 || self.bytes > MAX_PAYLOAD_BYTES as u64 {
            return Err(Invalid::new(format!(
                "payload_ref: bytes must be 1 to {MAX_PAYLOAD_BYTES}"
            )));
        }
        Ok(self)
    }

    /// The payload in the bytes that were read, if they are those that were stored.
    pub(crate) fn verified(&self, bytes: &[u8]) -> Result<Json, Invalid> {
        if !mutated(Mutation::TrustPayloads) {
            if bytes.len() as u64 != self.bytes {
                return Err(Invalid::new(
                    "the stored payload has another length than its reference",
                ));
            }
            if Sha256Digest::of(bytes) != self.sha256 {
                return Err(Invalid::new(
                    "the stored payload has another SHA-256 than its reference",
                ));
            }
        }
        let text = std::str::from_utf8(bytes);
        Json::parse(text.map_err(|_| Invalid::new("the stored payload is not UTF-8"))?)
    }
}

/// A SHA-256. Its text is lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("sha256 must be 64 lower-case hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of `abc`, FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_lower_case_hexadecimal() {
        let digest = Sha256Digest::of("abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(Sha256Digest::parse(ABC), Some(digest));
        for wrong in [&ABC[1..], &ABC.to_uppercase(), &ABC.replace('b', "g"), &format!("{ABC}00")] {
            assert_eq!(Sha256Digest::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_bytes_that_were_stored_are_the_payload() {
        let text = "{\"n\": [\"\\\"ä\"]}";
        let reference = |text: &str| PayloadRef {
            url: String::new(),
            sha256: Sha256Digest::of(text),
            bytes: text.len() as u64,
        };
        assert_eq!(reference(text).verified(text.as_bytes()).unwrap().as_str(), text);
        let wrong = |stored: &[u8], message: &str| {
            let error = reference(text).verified(stored).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        };
        wrong(&text.as_bytes()[1..], "length");
        wrong(text.replace('n', "m").as_bytes(), "SHA-256");
        let error = reference("no JSON").verified(b"no JSON").unwrap_err().to_string();
        assert!(error.contains("not JSON"), "{error}");
    }

    #[test]
    fn a_reference_is_to_a_payload_that_can_be() {
        let reference =
            |bytes| PayloadRef { url: String::new(), sha256: Sha256Digest::of(""), bytes };
        let most = MAX_PAYLOAD_BYTES as u64;
        assert!(reference(1).checked().is_ok() && reference(most).checked().is_ok());
        assert!(reference(0).checked().is_err() && reference(most + 1).checked().is_err());
    }
}
