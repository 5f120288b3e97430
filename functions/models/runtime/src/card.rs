//! Reading a model card, whatever engine it is for.

use std::fmt::Write;

use rendezvous_core::Invalid;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path as JsonPath, Segment};

/// Reads a card. Errors begin with the JSON pointer of the mistake. What the members say is checked by
/// the caller.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Invalid> {
    let mut json = serde_json::Deserializer::from_str(text);
    let card = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if pointer.is_empty() {
            Invalid::new(error.to_string())
        } else {
            Invalid::new(format!("{pointer}: {error}"))
        }
    })?;
    json.end().map_err(|error| Invalid::new(error.to_string()))?;
    Ok(card)
}

/// The JSON pointer (RFC 6901) of a place in a card.
fn pointer(path: &JsonPath) -> String {
    path.iter().fold(String::new(), |mut pointer, segment| {
        // Writing to a string cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Unknown => Ok(()),
        };
        pointer
    })
}
