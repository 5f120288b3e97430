//! Storing a payload that is too large for a message, and reading it again.

use bytes::Bytes;

use crate::{
    error::{Invalid, Unavailable},
    json::Json,
    message::Envelope,
    names::{EndpointName, RequestId},
    payload::{PayloadRef, Sha256Digest},
    ports::Payloads,
};

/// The name of the dependency in errors.
pub const PAYLOAD_STORE: &str = "payload store";

/// Why a stored payload was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It is not there, it is not what was stored, or it may not be read. It never will be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The same read may succeed later.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The key under which the payload of a request is stored.
pub fn key(endpoint: &EndpointName, id: RequestId) -> String {
    format!("payloads/{endpoint}/{id}")
}

/// Stores the payload of a request. A repeat stores the same bytes again.
pub async fn store(
    payloads: &impl Payloads,
    envelope: &Envelope,
    payload: &Json,
    sha256: Sha256Digest,
) -> Result<PayloadRef, Unavailable> {
    let (key, text) = (key(&envelope.endpoint, envelope.id), payload.as_str());
    payloads.put(&key, Bytes::copy_from_slice(text.as_bytes()), sha256).await?;
    let url = format!("{}/{key}", payloads.url());
    Ok(PayloadRef { url, sha256, bytes: text.len() as u64 })
}

/// Reads the payload to which the message of a request refers.
///
/// The only URL that is read is the one under which this store has the payload of this request: whoever
/// can write the stream cannot make a function read anything else.
pub async fn fetch(
    payloads: &impl Payloads,
    endpoint: &EndpointName,
    id: RequestId,
    reference: &PayloadRef,
) -> Result<Json, FetchError> {
    let key = key(endpoint, id);
    if !payloads.is_at(&reference.url, &key) {
        return Err(Invalid::new(
            "payload_ref is not where this function's payload store has this request's payload",
        )
        .into());
    }
    // One byte more than there may be, so that a longer object is noticed and not read whole.
    let Some(bytes) = payloads.get(&key, reference.bytes + 1).await? else {
        return Err(
            Invalid::new("the stored payload is not there: it has expired or was deleted").into()
        );
    };
    Ok(reference.verified(&bytes)?)
}
