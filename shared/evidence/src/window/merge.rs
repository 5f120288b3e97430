use std::collections::BTreeMap;

use rendezvous_core::Invalid;
use serde::de::DeserializeOwned;

use crate::bytes::from_bytes;

/// A window that can be merged with others, in any order and grouping.
pub trait Merge {
    /// Counts what `other` has counted. It belongs to other requests.
    fn merge(&mut self, other: &Self);
}

/// Merges a window into that of its key.
pub fn add_to<K: Ord, M: Merge>(to: &mut BTreeMap<K, M>, key: K, window: M) {
    match to.get_mut(&key) {
        Some(sum) => sum.merge(&window),
        None => drop(to.insert(key, window)),
    }
}

/// Reads windows and merges them; `None` where there are none.
pub fn merged<T: Merge + DeserializeOwned>(
    windows: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Option<T>, Invalid> {
    let mut merged: Option<T> = None;
    for bytes in windows {
        let window: T = from_bytes(bytes.as_ref())?;
        match &mut merged {
            Some(merged) => merged.merge(&window),
            None => merged = Some(window),
        }
    }
    Ok(merged)
}
