//! The HTTP interface over the network, signed where the API needs it.

use std::{
    error::Error,
    fmt::Display,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, identity::Identity};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use http::Request;
use rendezvous_core::now;
use rendezvousctl::verify::api::{Api, Call, Reply};
use tokio::time::{Instant, timeout};

/// Longer than API Gateway waits for a function.
const LIMIT: Duration = Duration::from_secs(35);

/// What a caller shows to be let in.
#[derive(Debug)]
pub(crate) enum Access {
    /// Nothing.
    Open,
    /// A bearer token.
    Token(String),
    /// A signature (Signature Version 4).
    Signed { credentials: SharedCredentialsProvider, region: String },
}

/// An API at an address.
#[derive(Debug)]
pub(crate) struct HttpApi {
    /// The address without a slash at its end.
    address: String,
    access: Access,
    connector: Connector,
}

impl HttpApi {
    pub(crate) fn new(address: &str, access: Access) -> Self {
        let provider = Provider::Rustls(CryptoMode::Ring);
        let connector = Connector::builder().tls_provider(provider).build();
        Self { address: address.trim_end_matches('/').to_owned(), access, connector }
    }

    async fn request(&self, call: Call<'_>) -> Result<Request<SdkBody>, String> {
        let Call { method, path, headers, body } = call;
        let uri = format!("{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(&uri);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Access::Token(token) = &self.access {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(SdkBody::from(body));
        let mut request = request.map_err(|error| format!("{uri}: {error}"))?;
        if let Access::Signed { credentials, region } = &self.access {
            let credentials = credentials.provide_credentials().await;
            let credentials = credentials.map_err(|error| format!("no credentials: {error}"))?;
            let signed = signature(&mut request, body, &credentials.into(), region);
            signed.map_err(|error| format!("the call cannot be signed: {error}"))?;
        }
        Ok(request)
    }
}

/// An error and all of its causes.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Signs a request.
fn signature(
    request: &mut Request<SdkBody>,
    body: &str,
    identity: &Identity,
    region: &str,
) -> Result<(), Box<dyn Error>> {
    let micros = u64::try_from(now().as_micros()).unwrap_or(0);
    let parameters = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name("execute-api")
        .time(UNIX_EPOCH + Duration::from_micros(micros))
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let uri = request.uri().to_string();
    let body = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, body)?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

impl Api for HttpApi {
    async fn call(&self, call: Call<'_>) -> Result<Reply, String> {
        let request = self.request(call).await?;
        let uri = request.uri().to_string();
        let failed = |error: &dyn Display| format!("{} {uri}: {error}", call.method);
        let request = request.try_into().map_err(|error| failed(&error))?;
        let start = Instant::now();
        let calling = async {
            let response = self.connector.call(request).await;
            let response = response.map_err(|error| failed(&causes(&error)))?;
            let status = response.status().as_u16();
            let timing = response.headers().get("server-timing").unwrap_or_default().to_owned();
            let body = ByteStream::new(response.into_body()).collect().await;
            let body = body.map_err(|error| failed(&error))?.into_bytes();
            Ok::<_, String>((status, timing, body))
        };
        let (status, server_timing, body) =
            timeout(LIMIT, calling).await.map_err(|_| failed(&"no answer within 35 s"))??;
        let took = start.elapsed();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Reply { status, body, server_timing, took })
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    #[tokio::test]
    async fn a_call_is_signed_for_api_gateway_with_its_headers_and_session() {
        let session = Some("session".to_owned());
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", session, None, "test");
        let credentials = SharedCredentialsProvider::new(credentials);
        let access = Access::Signed { credentials, region: "eu-central-1".to_owned() };
        let api = HttpApi::new("https://a.execute-api.eu-central-1.amazonaws.com/", access);
        let headers = [("idempotency-key", "k")];
        let call = Call { method: "POST", path: "/v1/x", headers: &headers, body: "{}" };
        let request = api.request(call).await.unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(request.uri().path(), "/v1/x");
        let authorization = header("authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
        assert!(
            authorization.contains("/eu-central-1/execute-api/aws4_request"),
            "{authorization}"
        );
        let signed =
            "SignedHeaders=content-type;host;idempotency-key;x-amz-date;x-amz-security-token";
        assert!(authorization.contains(signed), "{authorization}");
        assert_eq!(header("x-amz-security-token"), "session");
    }

    #[tokio::test]
    async fn a_token_is_sent_as_a_bearer_token_and_nothing_where_the_api_is_open() {
        let call = Call { method: "GET", path: "/health", headers: &[], body: "" };
        let api = HttpApi::new("http://127.0.0.1", Access::Token("t".to_owned()));
        assert_eq!(api.request(call).await.unwrap().headers()["authorization"], "Bearer t");
        let api = HttpApi::new("http://127.0.0.1", Access::Open);
        assert!(api.request(call).await.unwrap().headers().is_empty());
    }
}
