//! An HTTP client of the deployed API.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::Instant};

/// A connection, for one call at a time.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    base: String,
}

/// A response, and how long it took.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub took: Duration,
}

impl Reply {
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }
}

impl Client {
    pub(crate) async fn connect(host: &str, base: String) -> Self {
        let stream = TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        // The task ends when the sender is dropped.
        tokio::spawn(connection);
        Self { sender, host: host.to_owned(), base }
    }

    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let start = Instant::now();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("host", &self.host)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status, body, took: start.elapsed() }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.call("GET", path, &[], "").await
    }

    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.call("POST", path, headers, body).await
    }
}
