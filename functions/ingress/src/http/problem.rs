use std::fmt;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use http::{Method, StatusCode};
use rendezvous_core::{Decision, Envelope, Reason, RequestId, Unavailable};
use serde::{Serialize, Serializer};

use super::{
    choice::Choice,
    response::{json, set_header, typed},
};
use crate::Refusal;

/// The protocol in whose form an error is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `application/problem+json` (RFC 9457).
    V1,
    /// The Open Inference Protocol: `{"error": "…"}`.
    V2,
}

impl Protocol {
    /// That of a path, whether or not there is anything.
    pub(super) fn of(path: &str) -> Self {
        let first = path.trim_start_matches('/').split('/').next();
        if first == Some("v2") { Self::V2 } else { Self::V1 }
    }
}

/// An error as `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type", serialize_with = "problem_type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    failures: Box<[Choice]>,
    #[serde(skip)]
    header: Option<Header>,
}

/// The header that goes with a problem.
#[derive(Debug)]
enum Header {
    Allow(&'static str),
    RetryAfterASecond,
}

fn problem_type<S: Serializer>(kind: &&str, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("urn:rendezvous:problem:{kind}"))
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: String,
    ) -> Self {
        let status = status.as_u16();
        Self { kind, title, status, detail, request: None, failures: Box::default(), header: None }
    }

    pub(super) fn malformed(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request is malformed", detail)
    }

    pub(super) fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(super) fn header(name: &str, rule: &dyn fmt::Display) -> Self {
        Self::malformed(format!("The header {name} {rule}."))
    }

    pub(super) fn not_json(detail: String) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "not-json", "The body is not declared as JSON", detail)
    }

    pub(super) fn too_large(bytes: usize, max_bytes: usize) -> Self {
        let detail = format!("It has {bytes} bytes; at most {max_bytes} are taken.");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "too-large", "The body is too large", detail)
    }

    pub(super) fn method(method: &Method, expected: &str, allowed: &'static str) -> Self {
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The method is not allowed here",
            format!("Use {expected}, not {method}."),
        );
        Self { header: Some(Header::Allow(allowed)), ..problem }
    }

    /// There is neither a score before the deadline nor a fallback.
    pub(super) fn no_answer(envelope: &Envelope, decision: &Decision) -> Self {
        let waited = decision.decided.since(envelope.received).as_millis();
        let detail = match decision.reason {
            Reason::Exhausted => format!("Every model failed within {waited} ms."),
            _ => format!("No model answered within {waited} ms."),
        };
        let detail = format!("{detail} The endpoint has no fallback.");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", "There is no answer", detail)
            .about(envelope.id)
    }

    /// As many requests are in work as can be; the client may try again.
    fn busy() -> Self {
        let detail = "As many requests are in work as can be. Try again in a second.".to_owned();
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", "Too many requests", detail);
        Self { header: Some(Header::RetryAfterASecond), ..problem }
    }

    /// A dependency that is rate-limited or unavailable; the client may try again.
    fn unavailable(cause: &Unavailable) -> Self {
        let (status, kind, title) = if cause.is_throttled() {
            (StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many requests")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable")
        };
        let detail = format!("The {}. Try again in a second.", cause.summary());
        tracing::warn!(%cause, "a dependency is unavailable");
        Self { header: Some(Header::RetryAfterASecond), ..Self::new(status, kind, title, detail) }
    }

    /// Names the request that it is about, unless that is known already.
    pub(super) fn about(self, request: RequestId) -> Self {
        Self { request: self.request.or(Some(request)), ..self }
    }

    /// Says why each choice gave no answer.
    pub(super) fn because(self, failures: Box<[Choice]>) -> Self {
        Self { failures, ..self }
    }

    /// Says before the detail what it is about.
    pub(super) fn of(self, what: impl fmt::Display) -> Self {
        let detail = format!("{what}: {}", self.detail);
        Self { detail, ..self }
    }

    /// Adds to the detail; nothing if there is nothing to add.
    pub(super) fn and(self, more: &str) -> Self {
        if more.is_empty() {
            self
        } else {
            Self { detail: format!("{} {more}.", self.detail), ..self }
        }
    }

    /// The response in the form of a protocol; the refusal is also logged.
    pub(super) fn into_response(self, protocol: Protocol) -> ApiGatewayV2httpResponse {
        let Self { request, status, kind, detail, .. } = &self;
        let request = request.map(|id| id.to_string()).unwrap_or_default();
        tracing::info!(request, status, kind, detail, "a call is refused");
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match protocol {
            Protocol::V1 => typed(status, &self, "application/problem+json"),
            Protocol::V2 => json(status, &Error { error: detail }),
        };
        match self.header {
            Some(Header::Allow(methods)) => set_header(&mut response.headers, "allow", methods),
            Some(Header::RetryAfterASecond) => {
                set_header(&mut response.headers, "retry-after", "1");
            }
            None => {}
        }
        response
    }
}

/// An error of the Open Inference Protocol.
#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(detail) => Self::malformed(detail),
            Refusal::UnknownEndpoint(name) => {
                Self::not_found(format!("There is no endpoint {name}."))
            }
            Refusal::UnknownRequest(name, id) => Self::not_found(format!(
                "{name} knows no request {id}. It may be too old, or not scored by any model yet."
            )),
            Refusal::KeyReused => Self::new(
                StatusCode::CONFLICT,
                "idempotency-key-reused",
                "The idempotency key was used before",
                "It came with another payload then; a key belongs to one payload.".to_owned(),
            ),
            Refusal::Busy => Self::busy(),
            Refusal::Unavailable(cause) => Self::unavailable(&cause),
        }
    }
}
