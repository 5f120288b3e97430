//! The rules of a store of payloads.

use bytes::Bytes;

use super::samples;
use crate::{
    json::Json,
    message::Envelope,
    payload::Sha256Digest,
    payloads::{FetchError, fetch, key, store},
    ports::Payloads,
};

/// The rules of a store of payloads.
pub async fn payloads(payloads: &impl Payloads) {
    let envelope = samples::envelope(&samples::endpoint());
    let json = Json::parse(r#"{ "quoted": "\"\\", "text": "Grüße, 世界 🛫", "n": 1.50e0 }"#)
        .expect("JSON");
    let digest = Sha256Digest::of(json.as_str());
    let at = |envelope: &Envelope| key(&envelope.endpoint, envelope.id);
    let missing = payloads.get(&at(&envelope), 100).await.expect("the store answers");
    assert_eq!(missing, None, "nothing is stored yet");
    // A repeat stores the same once more.
    store(payloads, &envelope, &json, digest).await.expect("stored");
    let reference = store(payloads, &envelope, &json, digest).await.expect("stored again");
    assert_eq!(reference.bytes, json.as_str().len() as u64);
    let fetched =
        fetch(payloads, &envelope.endpoint, envelope.id, &reference).await.expect("fetched");
    assert_eq!(fetched, json, "byte for byte");
    let some = payloads.get(&at(&envelope), 12).await.expect("the store answers");
    assert_eq!(
        some.as_deref(),
        Some(&json.as_str().as_bytes()[..12]),
        "no more than was asked for"
    );

    let other = samples::envelope(&samples::endpoint());
    let foreign = fetch(payloads, &other.endpoint, other.id, &reference)
        .await
        .expect_err("of another request");
    assert!(matches!(foreign, FetchError::Invalid(_)), "{foreign:?}");
    let body = Bytes::from_static(b"{}");
    payloads.put(&at(&envelope), body.clone(), Sha256Digest::of(&body)).await.expect("replaced");
    let replaced = fetch(payloads, &envelope.endpoint, envelope.id, &reference)
        .await
        .expect_err("of other content");
    assert!(matches!(replaced, FetchError::Invalid(_)), "{replaced:?}");

    let large = Json::parse(&format!("\"{}\"", "\\\"é".repeat(1_000_000))).expect("JSON");
    let digest = Sha256Digest::of(large.as_str());
    let reference = store(payloads, &other, &large, digest).await.expect("stored");
    assert_eq!(
        fetch(payloads, &other.endpoint, other.id, &reference).await.expect("fetched"),
        large
    );
}
