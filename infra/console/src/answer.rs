//! From a request to an answer.

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::{BodyExt, Limited};
use rendezvous_core::{
    EndpointName,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use serde_json::{Value, json};

use crate::{
    Console, Running,
    access::{check_origin, check_token},
    assets,
    body::Body,
    call::{Query, parsed, segments},
    decisions, reads,
    refusal::Refusal,
    writes,
};

/// The most bytes of a body that are read.
const MAX_BODY: usize = 256 * 1024;

/// A call of the interface.
struct Call {
    method: Method,
    path: Vec<String>,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
}

impl<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running> Console<E, W, A, R> {
    /// Answers a request to `/console` or below.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let mut response = match self.answered(request).await {
            Ok(response) => response,
            Err(refusal) => {
                let mut response = of_json(&refusal.json());
                *response.status_mut() = refusal.status;
                let problem = HeaderValue::from_static("application/problem+json");
                response.headers_mut().insert(CONTENT_TYPE, problem);
                if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                }
                response
            }
        };
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }

    async fn answered<B>(&self, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        check_origin(request.headers())?;
        let (head, body) = request.into_parts();
        let path = head.uri.path().strip_prefix("/console").ok_or_else(Refusal::not_found)?;
        let reads = head.method == Method::GET || head.method == Method::HEAD;
        let Some(path) = path
            .strip_prefix("/api")
            .filter(|rest| matches!(rest.bytes().next(), None | Some(b'/')))
        else {
            return if reads { Ok(assets::file(path, &head.headers)) } else { Err(unread()) };
        };
        let (path, query) = (segments(path), Query::of(head.uri.query()));
        if reads && path == ["events"] {
            return self.events(&query);
        }
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| Refusal::malformed(error.to_string()))?.to_bytes();
        let call = Call { method: head.method, path, query, headers: head.headers, body };
        let value = if reads { self.read(call).await } else { self.change(call).await };
        Ok(of_json(&value?))
    }

    async fn read(&self, call: Call) -> Result<Value, Refusal> {
        let Call { path, query, headers, .. } = call;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if path.is_empty() {
            return Ok(self.about());
        }
        // The payload of a request is shown to who has the token.
        let shown = query.text("payload") == Some("shown");
        if shown {
            check_token(&headers, &self.token)?;
        }
        let known = match &path[..] {
            ["endpoints", name, ..] => Some(self.endpoint(name).await?),
            _ => None,
        };
        let ports = self.ports.clone();
        match (&path[..], known) {
            (["status"], _) => self.compute(reads::status(ports, query)).await,
            (["endpoints"], _) => self.compute(reads::endpoints(ports)).await,
            (["endpoints", _], Some(name)) => self.compute(reads::show(ports, name, query)).await,
            (["endpoints", _, "history"], Some(name)) => {
                self.compute(reads::history(ports, name)).await
            }
            (["endpoints", _, "diff"], Some(name)) => {
                self.compute(reads::diff(ports, name, query)).await
            }
            (["endpoints", _, "models"], Some(name)) => {
                self.compute(reads::models(ports, name, query)).await
            }
            (["endpoints", _, "compare"], Some(name)) => {
                self.compute(reads::compare(ports, name, query)).await
            }
            (["endpoints", _, "decisions"], Some(name)) => {
                self.compute(decisions::last(ports, name, query)).await
            }
            (["endpoints", _, "decisions", id], Some(name)) => {
                let id = parsed(id).map_err(Refusal::malformed)?;
                self.compute(decisions::one(ports, name, id, query, shown)).await
            }
            _ => Err(Refusal::not_found()),
        }
    }

    /// What needs a body: a what-if and a plan, which change nothing, and a publication.
    async fn change(&self, call: Call) -> Result<Value, Refusal> {
        let Call { method, path, headers, body, .. } = call;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (["endpoints", name, what], true) = (&path[..], method == Method::POST) else {
            return Err(unread());
        };
        let name: EndpointName = parsed(name).map_err(Refusal::malformed)?;
        let ports = self.ports.clone();
        match *what {
            "whatif" => self.compute(writes::whatif(ports, name, body)).await,
            "plan" => self.compute(writes::plan(ports, name, body)).await,
            "publish" => {
                if self.settings.read_only {
                    let detail = "the console was started with --read-only";
                    return Err(Refusal::new(StatusCode::FORBIDDEN, detail));
                }
                check_token(&headers, &self.token)?;
                let author = self.settings.author.clone();
                self.compute(writes::publish(ports, name, body, author)).await
            }
            _ => Err(unread()),
        }
    }

    /// What the page is told first.
    fn about(&self) -> Value {
        json!({
            "name": self.settings.name,
            "author": self.settings.author,
            "read_only": self.settings.read_only,
            "live": self.ports.running.counters().is_some(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// An endpoint that there is.
    async fn endpoint(&self, name: &str) -> Result<EndpointName, Refusal> {
        let name: EndpointName = parsed(name).map_err(Refusal::malformed)?;
        if self.ports.endpoints.current(&name).await?.is_none() {
            let detail = format!("there is no endpoint {name}");
            return Err(Refusal::new(StatusCode::NOT_FOUND, detail));
        }
        Ok(name)
    }

    async fn compute(
        &self,
        work: impl Future<Output = Result<Value, Refusal>> + Send + 'static,
    ) -> Result<Value, Refusal> {
        let broken =
            || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the computation broke off");
        self.worker.compute(work).await.ok_or_else(broken)?
    }
}

fn unread() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are allowed here")
}

fn of_json(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(value.to_string())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
