//! Responses as API Gateway takes them.

use std::time::Duration;

use aws_lambda_events::{apigw::ApiGatewayV2httpResponse, encodings::Body};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

use crate::Answered;

/// A response, and the requests that were decided for it.
pub(super) struct Reply {
    pub(super) response: ApiGatewayV2httpResponse,
    pub(super) answered: Vec<Answered>,
}

impl From<ApiGatewayV2httpResponse> for Reply {
    fn from(response: ApiGatewayV2httpResponse) -> Self {
        Self { response, answered: Vec::new() }
    }
}

pub(super) fn empty(status: StatusCode) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status.as_u16());
    response
}

/// A response with a JSON body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    typed(status, body, "application/json")
}

pub(super) fn typed(
    status: StatusCode,
    body: &impl Serialize,
    content_type: &'static str,
) -> ApiGatewayV2httpResponse {
    let mut response = empty(status);
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    match serde_json::to_string(body) {
        Ok(text) => response.body = Some(Body::Text(text)),
        Err(error) => {
            // Every body is made of strings, numbers and JSON that has been read before.
            tracing::error!(%error, "a response cannot be written as JSON");
            response.status_code = 500;
        }
    }
    response
}

/// Milliseconds to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

/// Adds a header whose value is known to be ASCII.
pub(super) fn set_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
