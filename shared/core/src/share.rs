//! A part of the requests, and which part a key belongs to.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::names::{EndpointName, Key};

/// How many parts all requests are divided into.
const PARTS: u32 = 1_000_000;

/// A part of the requests, from 0 to 1, in whole millionths: sums of shares are exact. In JSON it is
/// a number such as `0.05`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(PARTS);

    /// The share that is nearest to `fraction`; `None` where that is not from 0 to 1, or differs
    /// from a whole number of millionths.
    pub fn new(fraction: f64) -> Option<Self> {
        let parts = fraction * f64::from(PARTS);
        let is_whole = (parts - parts.round()).abs() < 1e-3;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is in range"
        )]
        ((0.0..=f64::from(PARTS)).contains(&parts) && is_whole).then(|| Self(parts.round() as u32))
    }

    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / f64::from(PARTS)
    }

    /// The sum; at most all.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self((self.0 + other.0).min(PARTS))
    }

    /// The difference; at least none.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Where a key stands among all keys of an endpoint: `u` in [0, 1), in whole millionths.
    ///
    /// `u` is the first eight bytes of SHA-256 of endpoint, salt and key, each ended by a zero byte,
    /// as a big-endian number, divided by 2^64. Keys are so spread evenly, and independently
    /// for each endpoint and salt.
    pub(crate) fn position(endpoint: &EndpointName, salt: &[&str], key: &Key) -> Self {
        let mut digest = Sha256::new();
        let texts = [endpoint.as_str()].into_iter().chain(salt.iter().copied());
        for text in texts.chain([key.as_str()]) {
            digest.update(text);
            digest.update([0]);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finalize()[..8]);
        let scaled = (u128::from(u64::from_be_bytes(first)) * u128::from(PARTS)) >> 64;
        // Below `PARTS`.
        Self(u32::try_from(scaled).unwrap_or(PARTS))
    }
}

/// As per cent: `5 %`, `12.5 %`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / f64::from(PARTS / 100))
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.as_fraction())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fraction = f64::deserialize(from)?;
        Self::new(fraction).ok_or_else(|| {
            de::Error::custom(format_args!(
                "{fraction} is no share: it must be 0 to 1, with at most 6 decimal places"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_0_to_1_in_whole_millionths() {
        assert_eq!(Share::new(0.05), Some(Share(50_000)));
        assert_eq!(Share::new(0.000_001), Some(Share(1)));
        assert_eq!(Share::new(1.0), Some(Share::ALL));
        for wrong in [-0.1, 1.000_001, 0.000_000_5, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(wrong), None, "{wrong}");
        }
        let read: Result<Share, _> = serde_json::from_str("1.5");
        assert!(read.unwrap_err().to_string().starts_with("1.5 is no share"));
    }

    #[test]
    fn a_share_is_written_as_it_was_read() {
        for text in ["0.0", "0.05", "0.333333", "1.0"] {
            let share: Share = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&share).unwrap(), text);
        }
        assert_eq!(Share::new(0.125).unwrap().to_string(), "12.5 %");
    }

    #[test]
    fn a_position_is_the_documented_hash() {
        let position = |salt: &[&str], key: &str| {
            let endpoint = "flight-delay".parse().unwrap();
            Share::position(&endpoint, salt, &key.parse().unwrap()).0
        };
        // python3 -c 'import hashlib as h; d = h.sha256(b"flight-delay\0arm\0tenant-7\0").digest();
        //             print(int.from_bytes(d[:8]) * 10**6 >> 64)'
        assert_eq!(position(&["arm"], "tenant-7"), 22_184);
        assert_ne!(position(&["observer", "big@3"], "tenant-7"), 22_184);
    }
}
