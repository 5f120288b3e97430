//! Minutes: the resolution of windows and of the list of overdue requests.

use std::{fmt, str::FromStr};

use crate::{clock::Timestamp, error::Invalid};

const MINUTE_US: i64 = 60_000_000;

/// A minute, counted from the epoch, UTC. Its text has ten digits, so that texts sort as minutes do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(u32);

impl Minute {
    /// The first minute.
    pub const FIRST: Self = Self(0);

    /// The minute that `instant` is in. An instant before the epoch is in the first one.
    pub fn of(instant: Timestamp) -> Self {
        let minutes = instant.as_micros().div_euclid(MINUTE_US).max(0);
        Self(u32::try_from(minutes).unwrap_or(u32::MAX))
    }

    /// When it begins.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(i64::from(self.0) * MINUTE_US)
    }

    /// The minute that is so many minutes later.
    #[must_use]
    pub const fn plus(self, minutes: u32) -> Self {
        Self(self.0.saturating_add(minutes))
    }

    /// The minute that is so many minutes earlier; the first one where there is none.
    #[must_use]
    pub const fn minus(self, minutes: u32) -> Self {
        Self(self.0.saturating_sub(minutes))
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

impl FromStr for Minute {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_minute = text.len() == 10 && text.bytes().all(|c| c.is_ascii_digit());
        let minute = is_minute.then(|| text.parse().ok()).flatten();
        minute.map(Self).ok_or_else(|| Invalid::new("a minute has ten digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_sort_as_their_texts_do_and_are_read_again() {
        let minute = |micros| Minute::of(Timestamp::from_micros(micros));
        assert_eq!([minute(-1), minute(0), minute(59_999_999)], [Minute::FIRST; 3]);
        let late = minute(1_763_794_344_123_456);
        assert_eq!(late.start(), Timestamp::from_micros(1_763_794_320_000_000));
        assert_eq!(late.to_string(), "0029396572");
        assert!(late.minus(1).to_string() < late.to_string());
        assert_eq!(late.to_string().parse(), Ok(late));
        for text in ["", "29396572", "+029396572", "9999999999"] {
            assert!(text.parse::<Minute>().is_err(), "{text}");
        }
    }
}
