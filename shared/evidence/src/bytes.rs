//! The bytes in which windows are kept: one byte for the version, then postcard's format.
//!
//! Windows are kept for weeks and read by the version that wrote them or a later one. A field that is
//! added changes the version; the reader then reads the earlier one, too.

use rendezvous_core::Invalid;
use serde::{Serialize, de::DeserializeOwned};

const VERSION: u8 = 1;

/// The largest value that is read: that of a `DynamoDB` item.
pub const MAX_BYTES: usize = 400_000;

/// `None` where a value has no bytes: of the types of this crate every one has.
pub fn to_bytes<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    postcard::to_extend(value, vec![VERSION]).ok()
}

/// Reads what [`to_bytes`] wrote. Any other bytes are an error.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Invalid> {
    if bytes.len() > MAX_BYTES {
        return Err(Invalid::new(format!("a window of more than {MAX_BYTES} bytes")));
    }
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(Invalid::new(format!("a window of another version than {VERSION}")));
    };
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Invalid::new("a window with bytes behind its end")),
        Err(error) => Err(Invalid::new(format!("a window that cannot be read: {error}"))),
    }
}
