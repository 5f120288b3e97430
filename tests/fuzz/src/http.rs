//! Calls of the HTTP interface, as events of API Gateway.

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::{
    input::Choices,
    system::{ingress, run},
};

/// A status that a client may see. 500 and 502 are mistakes of the system.
const STATUSES: [i64; 13] = [200, 202, 204, 400, 404, 405, 409, 413, 415, 422, 429, 503, 504];

/// A call in the form of HTTP/1: a line with method and path, headers, an empty line, the body.
pub(crate) fn http(bytes: &[u8]) {
    let mut rest = Choices(bytes);
    let line = String::from_utf8_lossy(rest.line()).into_owned();
    let (method, path) = line.split_once(' ').unwrap_or(("GET", &line));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let mut event = event(method, path);
    while !rest.is_empty() {
        let header = rest.line();
        let Some(colon) = header.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = (&header[..colon], header[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            return;
        };
        event.headers.append(name, value);
    }
    set_body(&mut event, rest.0);
    calls(&event);
}

/// The body of an inference request.
pub(crate) fn inference(bytes: &[u8]) {
    let mut event = event(Method::POST, "/v2/models/t/infer");
    set_body(&mut event, bytes);
    calls(&event);
}

/// The event itself.
pub(crate) fn gateway(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<ApiGatewayV2httpRequest>(bytes) {
        calls(&event);
    }
}

fn event(method: Method, path: &str) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.request_context.http.method = method;
    event.request_context.http.path = Some(path.to_owned());
    event.request_context.stage = Some("$default".to_owned());
    event
}

fn set_body(event: &mut ApiGatewayV2httpRequest, body: &[u8]) {
    if let Ok(text) = std::str::from_utf8(body) {
        event.body = Some(text.to_owned());
    } else {
        event.body = Some(BASE64_STANDARD.encode(body));
        event.is_base64_encoded = true;
    }
}

/// Makes the call, makes it again, and reads what it has made.
fn calls(event: &ApiGatewayV2httpRequest) {
    run(async {
        let ingress = ingress().await;
        let first = ingress.handle(event.clone().into()).await;
        let answer = checked(event, &first);
        let again = ingress.handle(event.clone().into()).await;
        let repeated = checked(event, &again);
        let Some(id) = answer["request"].as_str().filter(|_| first.status_code == 200) else {
            return;
        };
        if event.headers.contains_key("idempotency-key") {
            assert_eq!(repeated["score"], answer["score"], "a repeat has the same answer");
            assert_eq!(repeated["request"], answer["request"]);
        }
        let Some(endpoint) = answer["endpoint"].as_str() else { return };
        let path = format!("/v1/endpoints/{endpoint}/requests/{id}");
        let mut read = event.clone();
        read.request_context.http.method = Method::GET;
        read.request_context.http.path = Some(path.clone());
        read.request_context.stage = Some("$default".to_owned());
        read.body = None;
        let found = checked(&read, &ingress.handle(read.clone().into()).await);
        if found["kind"].is_string() {
            assert_eq!(found["score"], answer["score"], "a settled answer is read as it was");
        }
        let mut report = event.clone();
        report.request_context.http.method = Method::PUT;
        report.request_context.http.path = Some(path + "/outcome");
        report.request_context.stage = Some("$default".to_owned());
        checked(&report, &ingress.handle(report.clone().into()).await);
    });
}

/// The body of a response that has the form of its status.
fn checked(event: &ApiGatewayV2httpRequest, response: &ApiGatewayV2httpResponse) -> Value {
    let status = response.status_code;
    assert!(STATUSES.contains(&status), "{status}: {response:?}");
    let content_type = response.headers.get("content-type").and_then(|value| value.to_str().ok());
    let Some(Body::Text(body)) = &response.body else { return Value::Null };
    assert!(event.request_context.http.method != Method::HEAD && status != 204, "{response:?}");
    let is_json = content_type.is_some_and(|value| value.ends_with("json"));
    assert!(is_json, "{response:?}");
    // A score may have a number that no double holds.
    let Ok(read) = serde_json::from_str::<Value>(body) else {
        serde_json::from_str::<&serde_json::value::RawValue>(body).unwrap();
        return Value::Null;
    };
    if content_type == Some("application/problem+json") {
        assert_eq!(read["status"], status);
        assert!(read["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    } else if status >= 400 {
        assert!(read["error"].is_string(), "{response:?}");
    }
    assert!(status < 400 || body.len() < 4_096, "a long refusal: {body}");
    read
}
