//! The Runtime API of Lambda for one process: hands invocations out and takes what the process answers.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::AbortHandle,
};

use super::server::{connection, serve};

/// The most bytes of a response: as on Lambda.
const MAX_RESPONSE: usize = 6 * 1024 * 1024;

/// An event for the process.
#[derive(Debug)]
pub struct Invocation {
    pub id: String,
    pub event: Bytes,
    /// When the function times out, in milliseconds since the epoch.
    pub deadline_ms: i64,
    pub function: String,
}

/// What the process says.
#[derive(Debug)]
pub enum Said {
    /// It asks for an event: it has started, or has finished with the one before.
    Ready,
    /// Its response to an invocation.
    Response { id: String, body: Bytes },
    /// It has failed on an invocation.
    Failed { id: String, error: Bytes },
    /// It cannot start.
    NotStarted { error: Bytes },
}

/// A server on a free port of the loopback interface, until it is dropped.
pub(super) struct RuntimeApi {
    pub(super) address: SocketAddr,
    pub(super) invocations: mpsc::Sender<Invocation>,
    pub(super) said: mpsc::Receiver<Said>,
    server: AbortHandle,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RuntimeApi {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (calls, invocations, said) = Calls::new();
        let answer = move |request| calls.clone().answer(request);
        let server = tokio::spawn(serve(listener, answer)).abort_handle();
        Ok(Self { address, invocations, said, server })
    }
}

/// The calls of a process.
pub struct Calls {
    next: Mutex<mpsc::Receiver<Invocation>>,
    says: mpsc::Sender<Said>,
}

impl Calls {
    /// With how an invocation is given to the process, and how what it says is heard.
    pub fn new() -> (Arc<Self>, mpsc::Sender<Invocation>, mpsc::Receiver<Said>) {
        let (invocations, next) = mpsc::channel(1);
        let (says, said) = mpsc::channel(8);
        (Arc::new(Self { next: Mutex::new(next), says }), invocations, said)
    }

    /// Answers the calls on one connection until it is closed.
    pub async fn connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        connection(stream, |request| self.clone().answer(request)).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        if (&head.method, &path[..])
            == (&Method::GET, &["2018-06-01", "runtime", "invocation", "next"])
        {
            return self.next().await;
        }
        if head.method != Method::POST {
            return reply(StatusCode::NOT_FOUND, "{}");
        }
        let Ok(body) = Limited::new(body, MAX_RESPONSE).collect().await else {
            return reply(StatusCode::PAYLOAD_TOO_LARGE, "{}");
        };
        let body = body.to_bytes();
        let said = match path[..] {
            ["2018-06-01", "runtime", "invocation", id, "response"] => {
                Said::Response { id: id.to_owned(), body }
            }
            ["2018-06-01", "runtime", "invocation", id, "error"] => {
                Said::Failed { id: id.to_owned(), error: body }
            }
            ["2018-06-01", "runtime", "init", "error"] => Said::NotStarted { error: body },
            // There is no API for extensions: a function does without, as on other emulators.
            _ => return reply(StatusCode::NOT_FOUND, "{}"),
        };
        match self.says.send(said).await {
            Ok(()) => reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#),
            Err(_) => reply(StatusCode::GONE, "{}"),
        }
    }

    /// Waits for the next invocation.
    async fn next(&self) -> Response<Full<Bytes>> {
        if self.says.send(Said::Ready).await.is_err() {
            return reply(StatusCode::GONE, "{}");
        }
        let Some(Invocation { id, event, deadline_ms, function }) =
            self.next.lock().await.recv().await
        else {
            return reply(StatusCode::GONE, "{}");
        };
        let arn = format!("arn:aws:lambda:local:000000000000:function:{function}");
        let response = Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", id)
            .header("Lambda-Runtime-Deadline-Ms", deadline_ms)
            .header("Lambda-Runtime-Invoked-Function-Arn", arn)
            .header("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
            .body(Full::new(event));
        response.unwrap_or_else(|_| reply(StatusCode::INTERNAL_SERVER_ERROR, "{}"))
    }
}

fn reply(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}
