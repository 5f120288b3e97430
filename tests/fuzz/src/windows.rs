//! Entries of the table of windows.

use std::fmt::Debug;

use rendezvous_evidence::{
    Confidence,
    bytes::{from_bytes, to_bytes},
    window::{Decisions, Features, Merge, Outcomes, Pair, Window},
};
use serde::{Serialize, de::DeserializeOwned};

/// What was read is written as the same bytes, and can be merged with itself.
fn same<T: Merge + Clone + Debug + Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut read: T = from_bytes(bytes).ok()?;
    let written = to_bytes(&read).unwrap();
    let again: T = from_bytes(&written).unwrap();
    // Not a number is not equal to itself: bytes are compared.
    assert_eq!(to_bytes(&again).unwrap(), written);
    read.merge(&again);
    Some(read)
}

pub(crate) fn windows(bytes: &[u8]) {
    if let Some(window) = same::<Window>(bytes) {
        let _ = (window.messages(), window.time().quantile(0.99), window.values().quantile(0.5));
    }
    if let Some(decisions) = same::<Decisions>(bytes) {
        let _ = (decisions.count(), decisions.unanswered(), decisions.time().quantile(0.5));
    }
    if let Some(pair) = same::<Pair>(bytes) {
        let confidence = Confidence::new(0.95);
        let _ = (pair.paired(), pair.disagreement(), pair.loss());
        let _ = confidence.map(|confidence| pair.difference(confidence));
    }
    if let Some(features) = same::<Features>(bytes) {
        let _ = features.iter().map(|(_, window)| window.missing()).collect::<Vec<_>>();
    }
    if let Some(outcomes) = same::<Outcomes>(bytes) {
        let _ = (outcomes.count(), outcomes.means(), outcomes.excess(), outcomes.loss());
    }
}
