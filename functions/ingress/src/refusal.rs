use rendezvous_core::{EndpointName, Invalid, RequestId, Unavailable};

/// Why a call has no answer. Each adapter renders it in its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Correct the call; the text says how.
    Malformed(String),
    /// There is no endpoint of this name.
    UnknownEndpoint(EndpointName),
    /// The endpoint has no mailbox of this id that the caller may read.
    UnknownRequest(EndpointName, RequestId),
    /// The idempotency key was used before with another payload.
    KeyReused,
    /// As many requests are in work as can be. The same call may succeed a second later.
    Busy,
    /// A dependency is unavailable. The same call may succeed a second later.
    Unavailable(Unavailable),
}

impl From<Unavailable> for Refusal {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Malformed(format!("{invalid}."))
    }
}
