//! One call of the server.

use std::{
    error::Error,
    fmt::{self, Display},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Request, Uri, header::CONTENT_TYPE, uri::Scheme};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 6 * 1024 * 1024;

/// How much of an answer that refuses a call is shown.
const SHOWN: usize = 200;

/// Why a call brought no scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The server could not be reached, or it failed.
    Down(String),
    /// The server refused this call.
    Refused(String),
}

impl Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Down(what) | Self::Refused(what)) = self;
        f.write_str(what)
    }
}

/// A server, with the connections to it that are kept.
pub(crate) struct Server {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    infer: Uri,
}

impl Server {
    /// Fails where HTTPS is asked for and the system has no certificates.
    pub(crate) fn new(infer: Uri) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let secure = infer.scheme() == Some(&Scheme::HTTPS);
        let builder = HttpsConnectorBuilder::new();
        let builder = if secure {
            let provider = Arc::unwrap_or_clone(provider);
            let roots = builder.with_provider_and_native_roots(provider);
            roots.map_err(|error| {
                format!("the certificates of the system cannot be read: {error}")
            })?
        } else {
            let versions =
                ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let config = versions.map_err(|error| error.to_string())?;
            let config =
                config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            builder.with_tls_config(config)
        };
        let connector = builder.https_or_http().enable_http1().build();
        let client =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { client, infer })
    }

    /// Sends the body of a call; returns the body of the answer.
    pub(crate) async fn call(&self, body: Vec<u8>) -> Result<Bytes, CallError> {
        let down = |error: &dyn Display| CallError::Down(error.to_string());
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.infer.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .map_err(|error| down(&error))?;
        let response =
            self.client.request(request).await.map_err(|error| CallError::Down(causes(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| down(&error))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let what = format!("the server answered {}{}", status.as_u16(), reason(&body));
        // 502 to 504 come from a proxy before a server that is not there; 429 asks for fewer calls.
        match status.as_u16() {
            429 | 502..=504 => Err(CallError::Down(what)),
            _ => Err(CallError::Refused(what)),
        }
    }
}

/// An error with its causes: "client error (Connect)" alone does not say what is wrong.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the protocol's error document says, cut.
fn reason(body: &[u8]) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(body).ok();
    let text = error.and_then(|error| Some(error.get("error")?.as_str()?.to_owned()));
    text.map_or_else(String::new, |text| {
        format!(": {}", text.chars().take(SHOWN).collect::<String>())
    })
}
