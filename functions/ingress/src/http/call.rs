use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use rendezvous_core::{
    Json, Key, Timestamp,
    limits::{MAX_ASYNC_DEADLINE, MAX_DEADLINE, MAX_EVENT_BODY_BYTES, MAX_IDEMPOTENCY_KEY_BYTES},
    names::shown,
};

use super::problem::Problem;
use crate::RequestOptions;

/// A call as far as it can be understood without knowing the endpoint.
pub(super) struct Call {
    event: Box<ApiGatewayV2httpRequest>,
}

/// The value of `Prefer: wait`, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Wait(pub(super) u64);

impl Call {
    pub(super) fn new(event: Box<ApiGatewayV2httpRequest>) -> Self {
        Self { event }
    }

    /// API Gateway's id of the call; may be empty.
    pub(super) fn id(&self) -> &str {
        self.event.request_context.request_id.as_deref().unwrap_or_default()
    }

    pub(super) fn method(&self) -> &Method {
        &self.event.request_context.http.method
    }

    pub(super) fn path(&self) -> &str {
        let context = &self.event.request_context;
        let path = context.http.path.as_deref().or(self.event.raw_path.as_deref()).unwrap_or("/");
        // API Gateway puts the stage in front of the path, except for the stage `$default`.
        match context.stage.as_deref() {
            Some(stage) => strip_stage(path, stage),
            None => path,
        }
    }

    /// Who calls, as the authorizer says; none where a token does not say whose it is.
    ///
    /// The session of an assumed role is left out: it differs between the instances of a service
    /// and changes with each refresh of its credentials.
    pub(super) fn caller(&self) -> Option<&str> {
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

    /// When the request was received: API Gateway's time where it is plausible.
    pub(super) fn received(&self, now: Timestamp) -> Timestamp {
        let gateway =
            Timestamp::from_micros(self.event.request_context.time_epoch.saturating_mul(1_000));
        // Clocks differ a little. A time in the future is not used, and no call takes longer than
        // the longest deadline to get here.
        let plausible = gateway <= now && now.since(gateway) <= MAX_DEADLINE;
        if plausible { gateway } else { now }
    }

    /// The body as JSON.
    pub(super) fn json(&self, max_bytes: usize) -> Result<Json, Problem> {
        self.json_declared(max_bytes, is_json)
    }

    /// The body as JSON that is declared with one of some content types.
    pub(super) fn json_declared(
        &self,
        max_bytes: usize,
        declared: impl FnOnce(&str) -> bool,
    ) -> Result<Json, Problem> {
        let content_type = self.header(CONTENT_TYPE.as_str())?.unwrap_or("application/json");
        if !declared(content_type) {
            let shown = shown(content_type);
            return Err(Problem::not_json(format!(
                "Send Content-Type: application/json, not {shown}."
            )));
        }
        if let Some(encoding) = self.header(CONTENT_ENCODING.as_str())?
            && !encoding.eq_ignore_ascii_case("identity")
        {
            let shown = shown(encoding);
            return Err(Problem::not_json(format!(
                "Send the body without Content-Encoding, not as {shown}."
            )));
        }
        let body = self.event.body.as_deref().unwrap_or_default();
        check_event_size(body)?;
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

    /// What the client's headers say about the request.
    pub(super) fn options(&self) -> Result<(RequestOptions, Option<Wait>), Problem> {
        let mut options = RequestOptions::default();
        let mut wait = None;
        for preference in self.preferences() {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match (name.trim().to_ascii_lowercase().as_str(), value.trim().trim_matches('"')) {
                ("respond-async", _) => options.respond_async = true,
                // In whole seconds (RFC 7240, section 4.3). Of several the first counts (section 2).
                ("wait", seconds) => wait = wait.or(seconds.parse().ok().map(Wait)),
                _ => {}
            }
        }
        options.deadline = wait.map(|Wait(seconds)| Duration::from_secs(seconds).min(MAX_DEADLINE));
        if let Some(text) = self.header("rendezvous-deadline-ms")? {
            let own = deadline(text, options.respond_async)?;
            options.deadline = Some(options.deadline.map_or(own, |wait| wait.min(own)));
        }
        if let Some(text) = self.header("rendezvous-key")? {
            let key = text.parse::<Key>();
            options.key = Some(key.map_err(|e| Problem::header("Rendezvous-Key", &e))?);
        }
        if let Some(text) = self.header("idempotency-key")? {
            let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&text.len());
            if !fits || text.chars().any(char::is_control) {
                let rule = format!(
                    "must be 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes, without control characters"
                );
                return Err(Problem::header("Idempotency-Key", &rule));
            }
            options.idempotency_key = Some(text.to_owned());
        }
        // A malformed trace context is dropped, not refused (W3C Trace Context, section 4.3).
        let traceparent = self.header("traceparent").ok().flatten();
        options.traceparent = traceparent.filter(|text| is_traceparent(text)).map(str::to_owned);
        Ok((options, wait))
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.event.headers.contains_key(name)
    }

    /// The value of a header that may occur once.
    fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.event.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Problem::header(name, &"must not be repeated"));
        }
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Problem::header(name, &"is not UTF-8")),
        }
    }

    /// The client's preferences. A malformed one is ignored, as RFC 7240, section 2, says.
    fn preferences(&self) -> impl Iterator<Item = &str> {
        let values = self.event.headers.get_all("prefer").iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        // A preference's parameters follow it behind ';'. None that is known here has any.
        let preferences = texts.flat_map(|text| text.split(','));
        preferences.filter_map(|text| text.split(';').next()).map(str::trim)
    }
}

fn deadline(text: &str, respond_async: bool) -> Result<Duration, Problem> {
    let longest = if respond_async { MAX_ASYNC_DEADLINE } else { MAX_DEADLINE };
    let max = longest.as_millis();
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

pub(super) fn is_json(content_type: &str) -> bool {
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

/// Refuses a body that is too large for an event. On AWS it does not get here, API Gateway refuses it; so
/// the limit is the same on one machine.
fn check_event_size(body: &str) -> Result<(), Problem> {
    let is_escaped = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
    // Each character is escaped by one more.
    if body.len() <= MAX_EVENT_BODY_BYTES / 2 {
        return Ok(());
    }
    let bytes = body.len() + body.as_bytes().iter().filter(|byte| is_escaped(byte)).count();
    if bytes <= MAX_EVENT_BODY_BYTES {
        return Ok(());
    }
    let where_it_counts = "With quotes, backslashes and line ends escaped, or in base64";
    Err(Problem::too_large(bytes, MAX_EVENT_BODY_BYTES).of(where_it_counts))
}

fn check_size(bytes: usize, max_bytes: usize) -> Result<(), Problem> {
    if bytes <= max_bytes { Ok(()) } else { Err(Problem::too_large(bytes, max_bytes)) }
}
