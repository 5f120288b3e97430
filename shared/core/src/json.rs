//! Opaque JSON, carried byte for byte.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{error::Invalid, limits::MAX_DEPTH};

/// JSON text that is not parsed and written again on its way: the bytes that came are the bytes
/// that leave. White space around the value is not part of it. Cloning costs nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Takes `text` as one JSON value of at most [`MAX_DEPTH`] levels.
    ///
    /// What is wrong is named without quoting `text`, so that the message can be logged.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // serde_json tells line and column and quotes nothing of the text.
        let value: &RawValue = serde_json::from_str(text)
            .map_err(|error| Invalid::new(format!("not JSON: {error}")))?;
        if depth(value.get()) > MAX_DEPTH {
            return Err(Invalid::new(format!("JSON nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self(value.to_owned().into()))
    }

    /// The text, as it came.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether it nests deeper than [`MAX_DEPTH`]. What was not read by [`Json::parse`] may.
    pub(crate) fn is_too_deep(&self) -> bool {
        depth(self.as_str()) > MAX_DEPTH
    }

    pub(crate) fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self(raw.to_owned().into())
    }
}

/// Two are equal when their bytes are.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl Hash for Json {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How deep arrays and objects nest in valid JSON text.
fn depth(json: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Moves `bytes` from behind an opening quote to behind the closing one.
fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_valid_json_keeps_every_byte() {
        for text in [
            r#"{"a":1,"a":2}"#,
            "123456789012345678901234567890.10e+400",
            r#"{"z":1 ,  "a":"\u00e4ä\/" }"#,
            r#""\"[[[""#,
            "null",
        ] {
            assert_eq!(Json::parse(text).unwrap().as_str(), text);
            assert_eq!(Json::parse(&format!(" \n{text}\t")).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |text: &str| Json::parse(text).unwrap_err().to_string();
        assert!(message("{").contains("not JSON"));
        assert!(message("{} {}").contains("trailing"));
        assert!(message("").contains("not JSON"));
        assert!(message("NaN").contains("not JSON"));
    }

    #[test]
    fn nesting_is_limited_and_brackets_in_strings_do_not_count() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(&nested(MAX_DEPTH)).is_ok());
        assert!(Json::parse(&nested(MAX_DEPTH + 1)).unwrap_err().to_string().contains("64"));
        assert!(Json::parse(&nested(400_000)).is_err());
        assert!(Json::parse(&format!("\"\\\"{}\"", "[".repeat(200))).is_ok());
        let wide = format!("[{}[]]", "[],{},".repeat(200));
        assert!(Json::parse(&wide).is_ok(), "what is closed no longer counts");
        let after_a_string = format!("[\"\",{}]", nested(MAX_DEPTH));
        assert!(Json::parse(&after_a_string).is_err(), "a string hides nothing after it");
    }

    #[test]
    fn two_are_equal_when_their_bytes_are() {
        let json = |text| Json::parse(text).unwrap();
        assert_eq!(json("[1]"), json(" [1] "));
        assert_ne!(json("[1]"), json("[ 1]"));
        assert_eq!(format!("{:?}", json("[ 1]")), "[ 1]");
    }
}
