//! What comes in by HTTP, checked, and what goes out.

use std::{fmt, time::Duration};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use rendezvous_core::{
    EndpointName, Invalid, Json, Key, RequestId, Timestamp, Unavailable, endpoint::MAX_DEADLINE,
    names::shown,
};
use serde::{Serialize, Serializer};

/// What a client wants, by method and path.
pub(crate) enum Route {
    Ask(EndpointName),
    Read(EndpointName, RequestId),
    Report(EndpointName, RequestId),
    Describe(EndpointName),
    Health,
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let endpoint = |name: &str| {
            name.parse()
                .map_err(|_| Problem::not_found(format!("There is no endpoint {}.", shown(name))))
        };
        let id = |id: &str| {
            id.parse().map_err(|_| {
                Problem::not_found(format!(
                    "{} is not the id of a request; ids are UUIDs.",
                    shown(id)
                ))
            })
        };
        let only = |allowed: &'static str, route: Result<Self, Problem>| {
            if method.as_str() == allowed { route } else { Err(Problem::method(method, allowed)) }
        };
        match parts[..] {
            ["health"] => only("GET", Ok(Self::Health)),
            ["v1", "endpoints", name] => only("GET", endpoint(name).map(Self::Describe)),
            ["v1", "endpoints", name, "requests"] => only("POST", endpoint(name).map(Self::Ask)),
            ["v1", "endpoints", name, "requests", request] => {
                only("GET", endpoint(name).and_then(|name| Ok(Self::Read(name, id(request)?))))
            }
            ["v1", "endpoints", name, "requests", request, "outcome"] => {
                only("PUT", endpoint(name).and_then(|name| Ok(Self::Report(name, id(request)?))))
            }
            _ => Err(Problem::not_found(
                "There is nothing at this path. Requests go to POST /v1/endpoints/{endpoint}/requests."
                    .to_owned(),
            )),
        }
    }
}

/// A call as far as it can be understood without knowing the endpoint.
pub(crate) struct Call {
    event: ApiGatewayV2httpRequest,
}

impl Call {
    pub(crate) fn new(event: ApiGatewayV2httpRequest) -> Self {
        Self { event }
    }

    pub(crate) fn route(&self) -> Result<Route, Problem> {
        let context = &self.event.request_context;
        let path = context.http.path.as_deref().or(self.event.raw_path.as_deref()).unwrap_or("/");
        // API Gateway puts the stage in front of the path, except for the stage `$default`.
        let path = match context.stage.as_deref() {
            Some(stage) => strip_stage(path, stage),
            None => path,
        };
        Route::of(&context.http.method, path)
    }

    /// Who calls, as the authorizer has found out; nobody, where a token does not say whose it is.
    ///
    /// The session of an assumed role is left out: it changes from one instance of a service, and
    /// from one refresh of its credentials, to the next.
    pub(crate) fn caller(&self) -> Option<&str> {
        let Some(authorizer) = self.event.request_context.authorizer.as_ref() else {
            return Some("anonymous");
        };
        if let Some(arn) = authorizer.iam.as_ref().and_then(|iam| iam.user_arn.as_deref()) {
            let session = arn.contains(":assumed-role/").then(|| arn.rsplit_once('/')).flatten();
            return Some(session.map_or(arn, |(role, _)| role));
        }
        match &authorizer.jwt {
            Some(jwt) => jwt.claims.get("sub").or(jwt.claims.get("client_id")).map(String::as_str),
            None => Some("anonymous"),
        }
    }

    /// When the request came in: API Gateway's time where there is one that can be right.
    pub(crate) fn received(&self, now: Timestamp) -> Timestamp {
        let gateway =
            Timestamp::from_micros(self.event.request_context.time_epoch.saturating_mul(1_000));
        // Clocks differ a little; a gateway's time in the future is no time to count from, and
        // nothing waits longer than the longest deadline before it gets here.
        let plausible = gateway <= now && now.since(gateway) <= MAX_DEADLINE;
        if plausible { gateway } else { now }
    }

    /// The body as JSON.
    pub(crate) fn json(&self, max_bytes: usize) -> Result<Json, Problem> {
        let content_type = self.header(CONTENT_TYPE.as_str())?.unwrap_or("application/json");
        if !is_json(content_type) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                "The body is not declared as JSON",
                format!("Send Content-Type: application/json, not {}.", shown(content_type)),
            ));
        }
        let body = self.event.body.as_deref().unwrap_or_default();
        let decoded;
        let text = if self.event.is_base64_encoded {
            let padding = body.bytes().rev().take_while(|byte| *byte == b'=').count();
            check_size((body.len() / 4 * 3).saturating_sub(padding), max_bytes)?;
            decoded = BASE64_STANDARD
                .decode(body)
                .map_err(|_| Problem::malformed("The body is not valid base64.".to_owned()))?;
            std::str::from_utf8(&decoded)
                .map_err(|e| Problem::malformed(format!("The body is not UTF-8: {e}.")))?
        } else {
            body
        };
        check_size(text.len(), max_bytes)?;
        Json::parse(text).map_err(|invalid| Problem::malformed(format!("The body is {invalid}.")))
    }

    /// What the client says about this one request.
    pub(crate) fn wishes(&self) -> Result<Wishes, Problem> {
        let mut wishes = Wishes::default();
        if let Some(text) = self.header("rendezvous-deadline-ms")? {
            wishes.deadline = Some(deadline(text)?);
        }
        if let Some(text) = self.header("rendezvous-key")? {
            let key = text.parse::<Key>();
            wishes.key = Some(key.map_err(|e| Problem::header("Rendezvous-Key", &e))?);
        }
        if let Some(text) = self.header("idempotency-key")? {
            if text.is_empty() || text.len() > MAX_IDEMPOTENCY_KEY {
                let rule = format!("must be 1 to {MAX_IDEMPOTENCY_KEY} bytes");
                return Err(Problem::header("Idempotency-Key", &rule));
            }
            wishes.idempotency_key = Some(text.to_owned());
        }
        for preference in self.header_list("prefer")? {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match (name.trim().to_ascii_lowercase().as_str(), value.trim().trim_matches('"')) {
                ("respond-async", _) => wishes.respond_async = true,
                // "wait" is in whole seconds (RFC 7240, 4.3). A preference that cannot be honoured
                // is ignored, as the RFC asks for.
                ("wait", seconds) => wishes.wait = seconds.parse().ok().map(Duration::from_secs),
                _ => {}
            }
        }
        // A malformed trace context is dropped, not refused (W3C Trace Context, 4.3).
        let traceparent = self.header("traceparent")?;
        wishes.traceparent = traceparent.filter(|text| is_traceparent(text)).map(str::to_owned);
        Ok(wishes)
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.event.headers.get(name) else { return Ok(None) };
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Problem::header(name, &"is not UTF-8")),
        }
    }

    /// All values of a header that is a comma-separated list.
    fn header_list(&self, name: &'static str) -> Result<impl Iterator<Item = &str>, Problem> {
        let mut texts = Vec::new();
        for value in self.event.headers.get_all(name) {
            texts.push(value.to_str().map_err(|_| Problem::header(name, &"is not ASCII"))?);
        }
        Ok(texts.into_iter().flat_map(|text| text.split([',', ';'])).map(str::trim))
    }
}

/// What a client may say about one request, beside its payload.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) deadline: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) respond_async: bool,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) key: Option<Key>,
    pub(crate) traceparent: Option<String>,
}

/// The longest `Idempotency-Key`, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 255;

fn deadline(text: &str) -> Result<Duration, Problem> {
    let max = MAX_DEADLINE.as_millis();
    match text.parse::<u64>() {
        Ok(ms) if ms >= 1 && u128::from(ms) <= max => Ok(Duration::from_millis(ms)),
        _ => {
            let rule = format!("must be a whole number of milliseconds from 1 to {max}");
            Err(Problem::header("Rendezvous-Deadline-Ms", &rule))
        }
    }
}

fn strip_stage<'a>(path: &'a str, stage: &str) -> &'a str {
    match path.strip_prefix('/').and_then(|rest| rest.strip_prefix(stage)) {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// `00-{32 hex}-{16 hex}-{2 hex}`
fn is_traceparent(text: &str) -> bool {
    let lengths = [2, 32, 16, 2];
    let hex = |part: &str| part.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    text.split('-').count() == lengths.len()
        && text.split('-').zip(lengths).all(|(part, length)| part.len() == length && hex(part))
}

fn check_size(bytes: usize, max_bytes: usize) -> Result<(), Problem> {
    if bytes <= max_bytes {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is too large",
        format!("It has {bytes} bytes; at most {max_bytes} are taken."),
    ))
}

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    typed_answer(status, body, "application/json")
}

fn typed_answer(
    status: StatusCode,
    body: &impl Serialize,
    content_type: &'static str,
) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status.as_u16());
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    match serde_json::to_string(body) {
        Ok(text) => response.body = Some(Body::Text(text)),
        Err(error) => {
            // Every body is made of strings, numbers and JSON that has been read before.
            tracing::error!(%error, "an answer cannot be written");
            response.status_code = 500;
        }
    }
    response
}

/// An error as `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type", serialize_with = "problem_type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    #[serde(skip)]
    header: Option<(&'static str, &'static str)>,
}

fn problem_type<S: Serializer>(kind: &&str, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("urn:rendezvous:problem:{kind}"))
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: String,
    ) -> Self {
        Self { kind, title, status: status.as_u16(), detail, request: None, header: None }
    }

    pub(crate) fn malformed(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request is malformed", detail)
    }

    pub(crate) fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    fn header(name: &str, rule: &dyn fmt::Display) -> Self {
        Self::malformed(format!("The header {name} {rule}."))
    }

    fn method(method: &Method, allowed: &'static str) -> Self {
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The method is not allowed here",
            format!("Use {allowed}, not {method}."),
        );
        Self { header: Some(("allow", allowed)), ..problem }
    }

    /// A dependency that throttles us or is down; the client may try again.
    pub(crate) fn unavailable(cause: &Unavailable) -> Self {
        let (status, kind, title) = match cause {
            Unavailable::Throttled(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many requests")
            }
            Unavailable::Down(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable")
            }
        };
        let detail = format!("The {cause}. Try again in a second.");
        let problem = Self::new(status, kind, title, detail);
        Self { header: Some(("retry-after", "1")), ..problem }
    }

    /// Names the request that it is about, unless that is known already.
    pub(crate) fn about(self, request: RequestId) -> Self {
        Self { request: self.request.or(Some(request)), ..self }
    }

    /// The answer that says so; the log, too, says what was refused.
    pub(crate) fn refuse(self) -> ApiGatewayV2httpResponse {
        let Self { request, status, kind, detail, .. } = &self;
        tracing::info!(?request, status, kind, detail, "refused");
        self.into_response()
    }

    fn into_response(self) -> ApiGatewayV2httpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = typed_answer(status, &self, "application/problem+json");
        if let Some((name, value)) = self.header {
            set_header(&mut response.headers, name, value);
        }
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::malformed(format!("{invalid}."))
    }
}

/// Adds a header whose value is made of what we know to be ASCII.
pub(crate) fn set_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
