//! Reading a model card, whatever engine it is for.

use std::fmt::Write;

use rendezvous_core::Invalid;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path as JsonPath, Segment, Track};

/// Reads a card. Errors begin with the JSON pointer of the mistake, and a member that no card has is
/// one, but below `provenance`, which may hold more for people. What the members say is checked by the
/// caller.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Invalid> {
    let mut unknown = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = Track::new();
    let reader = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let card = serde_ignored::deserialize(reader, |path| {
        let path = path.to_string().replace('.', "/");
        if !path.starts_with("provenance/") {
            unknown.get_or_insert_with(|| format!("/{path}: unknown field"));
        }
    });
    let card = card.map_err(|error| {
        let pointer = pointer(&track.path());
        if pointer.is_empty() {
            Invalid::new(error.to_string())
        } else {
            Invalid::new(format!("{pointer}: {error}"))
        }
    });
    if let Some(mistake) = unknown {
        return Err(Invalid::new(mistake));
    }
    let card = card?;
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
