//! HTTP on 127.0.0.1 in the place of API Gateway: each request becomes the event that API Gateway
//! sends to a Lambda function, and the function's response becomes the answer.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use rendezvous_console::Body as Console;
use rendezvous_core::{
    RequestId, Unavailable,
    limits::MAX_PAYLOAD_BYTES,
    now,
    ports::{Archive, ArchiveFiles, EndpointTable, Payloads, Secrets, WindowTable},
};
use rendezvous_sim::{System, Totals};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::metrics;

/// The most bytes of a body that are read.
const MAX_BODY: usize = MAX_PAYLOAD_BYTES;
const MAX_CONNECTIONS: usize = 2_000;
/// How many requests with a large body are in work at a time, each with some copies of it. Others wait,
/// and their deadlines have not begun.
const LARGE_AT_ONCE: usize = 16;
/// From how many bytes on a body is large.
const LARGE: u64 = 256 * 1024;
/// The most bytes of the request line and the headers: as with API Gateway.
const MAX_HEAD: usize = 10_240;
/// How long a body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// How long answers in flight may take at the end.
const ENDING: Duration = Duration::from_secs(4);

/// Serves until `stop` becomes true, then answers what is in flight. `ready` says what of the system
/// does not work, for `GET /ready`.
pub async fn serve<
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
    R,
>(
    system: Arc<System<A, E, K, W, L>>,
    ready: impl Fn() -> R + Send + Sync + 'static,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) where
    R: Future<Output = Vec<String>> + Send + 'static,
{
    let none = |_: Request<Incoming>| std::future::pending::<Response<Console>>();
    serve_with(system, ready, Some(none).filter(|_| false), listener, stop).await;
}

/// As [`serve`]; `console` answers what is below `/console`.
pub async fn serve_with<A, E, K, W, L, R, C>(
    system: Arc<System<A, E, K, W, L>>,
    ready: impl Fn() -> R + Send + Sync + 'static,
    console: Option<impl Fn(Request<Incoming>) -> C + Send + Sync + 'static>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) where
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
    R: Future<Output = Vec<String>> + Send + 'static,
    C: Future<Output = Response<Console>> + Send + 'static,
{
    let (ready, console) = (Arc::new(ready), Arc::new(console));
    let mut server = http1::Builder::new();
    // The timer bounds how long a client may take to send its headers: 30 s.
    server.timer(TokioTimer::new());
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let large = Arc::new(Semaphore::new(LARGE_AT_ONCE));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // For instance too many open files: it passes when connections are closed.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (system, ready, large) = (system.clone(), ready.clone(), large.clone());
        let console = console.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (system, ready, large) = (system.clone(), ready.clone(), large.clone());
            let console = console.clone();
            async move {
                if let Some(console) = &*console
                    && is_of_console(request.uri().path())
                {
                    return Ok(console(request).await);
                }
                let answered = answer(system, &*ready, &large, peer, request).await;
                Ok::<_, Infallible>(answered.map(Console::from))
            }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection has ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(ENDING, graceful.shutdown()).await.is_err() {
        tracing::warn!("some answers were still in flight");
    }
}

fn is_of_console(path: &str) -> bool {
    let below = path.strip_prefix("/console");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

/// Answers a request of any connection. `large` has a place for each large body that is in work at a time.
pub async fn answer<
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
    R: Future<Output = Vec<String>>,
>(
    system: Arc<System<A, E, K, W, L>>,
    ready: &impl Fn() -> R,
    large: &Semaphore,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    // Without a length it may be large.
    let is_large = request.body().size_hint().upper().is_none_or(|bytes| bytes > LARGE);
    // The semaphore is never closed.
    let _place = if is_large { large.acquire().await.ok() } else { None };
    match request.uri().path() {
        "/ready" | "/v2/health/ready" if refused(&request).is_none() => {
            readiness(&request, &ready().await)
        }
        "/metrics" if refused(&request).is_none() => counters(&request, &system.counters.totals()),
        _ => call(system, peer, request).await,
    }
}

async fn call<
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
>(
    system: Arc<System<A, E, K, W, L>>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let form = Form::of(request.uri().path());
    if let Some((status, detail)) = refused(&request) {
        return form.refusal(status, detail);
    }
    // What is begun while nothing can be kept could not be told.
    let journal = system.journal.as_ref().filter(|_| tells(&request));
    if let Some(Err(cause)) = journal.map(|journal| journal.check()) {
        return form.unavailable(&cause);
    }
    let (head, body) = request.into_parts();
    let body = match timeout(BODY_LIMIT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = "The body is larger than 5000000 bytes.";
            return form.refusal(StatusCode::PAYLOAD_TOO_LARGE, detail);
        }
        Ok(Err(_)) => return form.refusal(StatusCode::BAD_REQUEST, "The body broke off."),
        Err(_) => return form.refusal(StatusCode::REQUEST_TIMEOUT, "The body took too long."),
    };
    // The deadline of a body that arrives slowly begins when it has arrived.
    let received = now();
    let mut event = Box::<ApiGatewayV2httpRequest>::default();
    event.version = Some("2.0".to_owned());
    event.raw_path = Some(head.uri.path().to_owned());
    event.raw_query_string = head.uri.query().map(str::to_owned);
    event.headers = head.headers;
    if !declares(&event.headers, form) {
        // Ingress refuses it wherever a body counts.
        event.headers.insert(CONTENT_TYPE, HeaderValue::from_static(""));
    }
    match String::from_utf8(body.into()) {
        Ok(text) => event.body = Some(text),
        Err(binary) => {
            event.body = Some(BASE64_STANDARD.encode(binary.as_bytes()));
            event.is_base64_encoded = true;
        }
    }
    let context = &mut event.request_context;
    context.stage = Some("$default".to_owned());
    context.time_epoch = received.as_micros() / 1_000;
    context.http.method = head.method;
    context.http.path.clone_from(&event.raw_path);
    context.http.source_ip = Some(peer.ip().to_string());
    let answered = system.call(event).await;
    if let Some(journal) = journal
        && let Err(cause) = journal.written().await
    {
        return form.unavailable(&cause);
    }
    response(answered)
}

/// Whether the answer to a call tells its client what must not be forgotten: all but that of a read of
/// something that is on the disk already.
fn tells(request: &Request<Incoming>) -> bool {
    request.method() != Method::GET || request.uri().path().contains("/requests")
}

/// Refuses what a page of another site can make a browser send here (DNS rebinding, forms), and
/// heads that API Gateway would refuse.
fn refused(request: &Request<Incoming>) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let head = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if target > MAX_HEAD {
        let detail = "The path and the query are longer than 10240 bytes.";
        return Some((StatusCode::URI_TOO_LONG, detail));
    }
    if target + head.sum::<usize>() > MAX_HEAD {
        let detail = "The request line and the headers are larger than 10240 bytes.";
        return Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    let host = headers.get(HOST).map_or(Some(""), |host| host.to_str().ok()).unwrap_or("?");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["", "localhost", "127.0.0.1", "[::1]"].contains(&name) {
        let detail = "This server answers requests to localhost and 127.0.0.1 only.";
        return Some((StatusCode::MISDIRECTED_REQUEST, detail));
    }
    None
}

/// Whether a call says of what type its body is, or need not.
///
/// A page of another site can make a browser send a body without a type. The usual clients of the Open
/// Inference Protocol send none either; but a browser names the origin of the page with every call
/// that is not GET or HEAD (Fetch, "append a request `Origin` header").
fn declares(headers: &HeaderMap, form: Form) -> bool {
    headers.contains_key(CONTENT_TYPE) || (form == Form::V2 && !headers.contains_key(ORIGIN))
}

/// Answers `GET /ready` and `GET /v2/health/ready`: 200, or 503 with what does not work.
fn readiness(request: &Request<Incoming>, wrong: &[String]) -> Response<Full<Bytes>> {
    let form = Form::of(request.uri().path());
    if let Some(refusal) = unread(request, form) {
        return refusal;
    }
    let mut response = if wrong.is_empty() {
        let body = match form {
            Form::V1 => json!({ "status": "ready" }),
            Form::V2 => json!({ "ready": true }),
        };
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    } else {
        form.refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("Not ready: {}.", wrong.join("; ")))
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers `GET /metrics`.
fn counters(request: &Request<Incoming>, totals: &Totals) -> Response<Full<Bytes>> {
    if let Some(refusal) = unread(request, Form::V1) {
        return refusal;
    }
    let mut response = Response::new(Full::new(Bytes::from(metrics::text(totals))));
    let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Refuses other methods than those that read.
fn unread(request: &Request<Incoming>, form: Form) -> Option<Response<Full<Bytes>>> {
    let method = request.method();
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let mut response = form.refusal(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are allowed.");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

fn response(answered: ApiGatewayV2httpResponse) -> Response<Full<Bytes>> {
    let body = match answered.body {
        Some(Body::Text(text)) => text.into(),
        Some(Body::Binary(bytes)) => bytes.into(),
        _ => Bytes::new(),
    };
    let mut response = Response::new(Full::new(body));
    let status = u16::try_from(answered.status_code).ok();
    *response.status_mut() = status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = answered.headers;
    response
}

/// The form of an error, which depends on the path as it does in ingress.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A problem document.
    V1,
    /// The Open Inference Protocol.
    V2,
}

impl Form {
    fn of(path: &str) -> Self {
        let first = path.trim_start_matches('/').split('/').next();
        if first == Some("v2") { Self::V2 } else { Self::V1 }
    }

    /// What is refused while the log cannot be written.
    fn unavailable(self, cause: &Unavailable) -> Response<Full<Bytes>> {
        let detail = format!("The {}. Try again.", cause.summary());
        let mut response = self.refusal(StatusCode::SERVICE_UNAVAILABLE, &detail);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }

    /// What is refused before it gets to ingress.
    fn refusal(self, status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
        let (title, code) = (status.canonical_reason().unwrap_or_default(), status.as_u16());
        let request = RequestId::random();
        tracing::info!(%request, status = code, detail, "refused");
        let (body, content_type) = match self {
            Self::V1 => {
                let body = json!({
                    "type": "about:blank", "title": title, "status": code, "detail": detail,
                    "request": request,
                });
                (body, "application/problem+json")
            }
            Self::V2 => (json!({ "error": detail }), "application/json"),
        };
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}
