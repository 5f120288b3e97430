//! Model cards.

use rendezvous_core::Json;
use rendezvous_onnx::{Card, sample_payload};
use rendezvous_remote::RemoteCard;

/// A card of each engine.
pub(crate) fn card(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(card) = Card::parse(text) {
        assert!(!card.profile().endpoints.is_empty() && !card.timeout().is_zero());
        Json::parse(&sample_payload([&card].into_iter())).unwrap();
    }
    if let Ok(card) = RemoteCard::parse(text) {
        assert!(!card.profile().endpoints.is_empty() && !card.profile().timeout.is_zero());
    }
    let _ = rendezvous_local::check::card(text);
}
