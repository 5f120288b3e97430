//! The whole system in virtual time: a test says what the models do and when, and asks.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this is test code")]

pub mod tools;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lambda_events::{
    apigw::{
        ApiGatewayRequestAuthorizer, ApiGatewayRequestAuthorizerIamDescription,
        ApiGatewayV2httpRequest, ApiGatewayV2httpResponse,
    },
    encodings::Body,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rendezvous_archive::{Row, read};
use rendezvous_core::{
    Configuration, EndpointName, Failure, FailureKind, Json, Key, ModelId, Provenance, RequestId,
    Timestamp, clock,
    memory::{MemoryArchive, MemoryEndpoints, MemorySecrets, MemoryStream, MemoryWindows},
    now,
    ports::{Archive, ArchiveFiles, EndpointTable, Record, Stream, WindowTable},
    value,
};
use rendezvous_model::{Model, Profile};
use rendezvous_sim::{Size, System, faults::Faults};
use serde_json::Value;
use tokio::time::{Instant, sleep};

pub use rendezvous_core::conformance::samples::CONFIGURATION;

/// What a model does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// Scores after so many milliseconds.
    Score(u64),
    /// Fails after so many milliseconds.
    Fail(u64),
    /// After so many milliseconds answers with the payload itself, but fails payloads that contain a
    /// text, unless it is empty.
    Echo(u64, &'static str),
    /// After so many milliseconds answers with this as `p`.
    Say(u64, f64),
    /// After so many milliseconds answers with the number at a pointer of the payload as `p`.
    Number(u64, &'static str),
    Panic,
    Hang,
}

/// A model whose behaviour a test sets; its score names it.
pub struct Scripted {
    profile: Profile,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<Vec<Json>>>,
}

impl Model for Scripted {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        self.asked.lock().unwrap().extend_from_slice(payloads);
        let does = *self.does.lock().unwrap();
        let result = match does {
            Does::Score(ms) => {
                sleep(Duration::from_millis(ms)).await;
                Ok(Json::parse(&format!("{{\"by\": \"{}\", \"p\": 0.50}}", self.profile.id))
                    .unwrap())
            }
            Does::Fail(ms) => {
                sleep(Duration::from_millis(ms)).await;
                Err(Failure::new(FailureKind::Failed, "as told"))
            }
            Does::Echo(ms, not) => {
                sleep(Duration::from_millis(ms)).await;
                let echo = |payload: &Json| match payload.as_str() {
                    text if !not.is_empty() && text.contains(not) => {
                        Err(Failure::new(FailureKind::Failed, "as told"))
                    }
                    _ => Ok(payload.clone()),
                };
                return payloads.iter().map(echo).collect();
            }
            Does::Say(ms, p) => {
                sleep(Duration::from_millis(ms)).await;
                Ok(Json::parse(&format!("{{\"p\":{p}}}")).unwrap())
            }
            Does::Number(ms, pointer) => {
                sleep(Duration::from_millis(ms)).await;
                let score = |payload: &Json| {
                    let p = value::number(payload.as_str(), pointer).unwrap();
                    Ok(Json::parse(&format!("{{\"p\":{p}}}")).unwrap())
                };
                return payloads.iter().map(score).collect();
            }
            Does::Panic => panic!("as told"),
            Does::Hang => std::future::pending().await,
        };
        vec![result; payloads.len()]
    }
}

/// A model of the world under test.
pub struct Told {
    pub faults: Arc<Faults>,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<Vec<Json>>>,
}

impl Told {
    pub fn to(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// Every payload it was asked to score, in order.
    pub fn asked(&self) -> Vec<Json> {
        self.asked.lock().unwrap().clone()
    }
}

/// When every world begins.
pub const START: Timestamp = Timestamp::from_micros(1_763_794_344_123_456);

/// How early ingress settles before the deadline, in the local system.
pub const MARGIN_MS: f64 = 5.0;

/// A system, its models and its one endpoint, `e`.
pub struct World<A = MemoryArchive, W = MemoryWindows> {
    pub system: Arc<System<A, MemoryEndpoints, MemorySecrets, W>>,
    calls: AtomicU64,
}

/// What a client got, and after how long.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: i64,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
    pub took_ms: f64,
}

impl Reply {
    /// The answer in short: who or what kind, and why, e.g. `a@1 preferred`.
    pub fn answer(&self) -> String {
        let who = self.body["model"].as_str().or(self.body["kind"].as_str()).unwrap_or("?");
        let unsettled = if self.body["settled"] == Value::Bool(true) { "" } else { " unsettled" };
        format!("{who} {}{unsettled}", self.body["reason"].as_str().unwrap_or("?"))
    }

    pub fn id(&self) -> RequestId {
        self.body["request"].as_str().unwrap().parse().unwrap()
    }

    /// Asserts the answer, and that it came in these milliseconds.
    #[track_caller]
    pub fn is(&self, answer: &str, took_ms: std::ops::RangeInclusive<f64>) {
        assert_eq!(self.answer(), answer, "{self:?}");
        assert!(took_ms.contains(&self.took_ms), "after {} ms: {self:?}", self.took_ms);
    }
}

impl World {
    /// The usual endpoint, no model yet.
    pub async fn new() -> Self {
        Self::with(CONFIGURATION, Size::default()).await
    }

    pub async fn with(configuration: &str, size: Size) -> Self {
        Self::on(MemoryArchive::default(), configuration, size).await
    }

    /// The usual endpoint, and a secret that is made with the time of the start.
    pub async fn with_secret(secret: impl FnOnce(Timestamp) -> MemorySecrets) -> Self {
        clock::simulate(START);
        let secret = Arc::new(secret(START));
        let (archive, endpoints) = (Arc::default(), Arc::default());
        let (windows, payloads, size) = (Arc::default(), Arc::default(), Size::default());
        let system = System::start_on(archive, endpoints, secret, windows, payloads, &size);
        Self::of(system, CONFIGURATION).await
    }
}

impl<A: Archive + ArchiveFiles> World<A> {
    pub async fn on(archive: A, configuration: &str, size: Size) -> Self {
        clock::simulate(START);
        Self::of(System::start(Arc::new(archive), &size), configuration).await
    }
}

impl<W: WindowTable> World<MemoryArchive, W> {
    /// The usual endpoint, with another table of windows.
    pub async fn with_windows(windows: W, configuration: &str, size: Size) -> Self {
        clock::simulate(START);
        let (archive, endpoints, payloads) = (Arc::default(), Arc::default(), Arc::default());
        let (secrets, windows) = (Arc::new(MemorySecrets::random()), Arc::new(windows));
        let system = System::start_on(archive, endpoints, secrets, windows, payloads, &size);
        Self::of(system, configuration).await
    }
}

impl<A: Archive + ArchiveFiles, W: WindowTable> World<A, W> {
    async fn of(system: System<A, MemoryEndpoints, MemorySecrets, W>, configuration: &str) -> Self {
        let world = Self { system: Arc::new(system), calls: AtomicU64::new(0) };
        world.publish(configuration).await;
        world
    }

    pub async fn publish(&self, configuration: &str) -> u64 {
        let configuration = Configuration::parse(configuration).unwrap();
        let current = self.system.endpoints.current(&endpoint()).await.unwrap();
        let provenance = Provenance::new("test", "").unwrap();
        let published =
            self.system.endpoints.publish(&endpoint(), configuration, provenance, current).await;
        published.unwrap()
    }

    /// Brings a model up.
    pub fn model(&self, id: &str, does: Does) -> Told {
        self.model_with(id, does, |_| {})
    }

    pub fn model_with(&self, id: &str, does: Does, change: impl FnOnce(&mut Profile)) -> Told {
        let mut profile = Profile {
            id: id.parse().unwrap(),
            endpoints: HashSet::from([endpoint()]),
            timeout: Duration::from_secs(5),
            scores_expired: false,
        };
        change(&mut profile);
        let does = Arc::new(Mutex::new(does));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let model = Scripted { profile, does: does.clone(), asked: asked.clone() };
        Told { faults: self.system.add_model(model), does, asked }
    }

    pub async fn ask(&self, payload: &str) -> Reply {
        self.ask_with(payload, &[]).await
    }

    pub async fn ask_with(&self, payload: &str, headers: &[(&str, &str)]) -> Reply {
        self.call(Method::POST, "/v1/endpoints/e/requests", headers, payload).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], "").await
    }

    /// What the ledger says of a request, by way of the interface.
    pub async fn read(&self, id: RequestId) -> Reply {
        self.get(&format!("/v1/endpoints/e/requests/{id}")).await
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        self.send(event(method, path, headers, body)).await
    }

    /// A call by a user of IAM; `None`: with a token that does not say whose it is.
    pub async fn call_as(
        &self,
        caller: Option<&str>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut event = event(method, path, headers, body);
        let mut authorizer = ApiGatewayRequestAuthorizer::default();
        match caller {
            Some(name) => {
                let mut iam = ApiGatewayRequestAuthorizerIamDescription::default();
                iam.user_arn = Some(format!("arn:aws:iam::123456789012:user/{name}"));
                authorizer.iam = Some(iam);
            }
            None => authorizer.jwt = Some(<_>::default()),
        }
        event.request_context.authorizer = Some(authorizer);
        self.send(event).await
    }

    pub async fn ask_as(&self, caller: &str, payload: &str, headers: &[(&str, &str)]) -> Reply {
        let path = "/v1/endpoints/e/requests";
        self.call_as(Some(caller), Method::POST, path, headers, payload).await
    }

    pub async fn send(&self, mut event: ApiGatewayV2httpRequest) -> Reply {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        event.request_context.request_id = Some(format!("call {call}"));
        let start = Instant::now();
        let response = self.system.call(event).await;
        reply(response, start.elapsed())
    }

    /// Puts any bytes on a stream.
    pub async fn put(&self, stream: &MemoryStream, key: &str, data: &[u8]) {
        let key: Key = key.parse().unwrap();
        let record = Record { key, data: Bytes::copy_from_slice(data) };
        stream.put(vec![record], now()).await.unwrap();
    }

    /// Waits until everything on the streams has been handled and archived.
    pub async fn drain(&self) {
        assert!(
            self.system.drain(Duration::from_mins(10)).await,
            "not everything was handled within 10 minutes"
        );
    }
}

fn event(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.request_context.http.method = method;
    event.request_context.http.path = Some(path.to_owned());
    event.request_context.stage = Some("$default".to_owned());
    event.headers.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        event.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    event.body = Some(body.to_owned());
    event
}

/// The rows of a table of the archive, file by file.
pub fn rows<R: Row>(files: &[(String, Bytes)]) -> Vec<R> {
    let folder = format!("{}/date=", R::TABLE);
    let files = files.iter().filter(|(name, _)| name.starts_with(&folder));
    files.flat_map(|(_, body)| read::<R>(body.clone()).unwrap()).collect()
}

pub fn endpoint() -> EndpointName {
    "e".parse().unwrap()
}

pub fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

fn reply(response: ApiGatewayV2httpResponse, took: Duration) -> Reply {
    let text = match response.body {
        Some(Body::Text(text)) => text,
        _ => String::new(),
    };
    Reply {
        status: response.status_code,
        headers: response.headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
        took_ms: took.as_secs_f64() * 1e3,
    }
}
