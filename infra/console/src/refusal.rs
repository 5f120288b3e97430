//! Why a call is not answered with what it asks for.

use http::StatusCode;
use rendezvous_archive::ScanError;
use rendezvous_core::{Invalid, Unavailable};
use rendezvous_operations::failure::Failure;
use serde_json::{Value, json};

/// A problem (RFC 9457), with what else there is to tell.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    /// Of a conflict: what was published meanwhile.
    pub(crate) meanwhile: Option<Value>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), meanwhile: None }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here")
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn json(&self) -> Value {
        let Self { status, detail, meanwhile } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let mut problem = json!({
            "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
        });
        if let Some(meanwhile) = meanwhile {
            problem["meanwhile"] = meanwhile.clone();
        }
        problem
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Usage(_) => StatusCode::BAD_REQUEST,
            Failure::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::Conflict(_) => StatusCode::CONFLICT,
        };
        Self::new(status, failure.to_string())
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        Failure::from(error).into()
    }
}

impl From<ScanError> for Refusal {
    fn from(error: ScanError) -> Self {
        Failure::from(error).into()
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Failure::from(invalid).into()
    }
}
