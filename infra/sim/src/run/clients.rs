//! The clients of a run: they ask, repeat, read and report.

use std::time::Duration;

use aws_lambda_events::{
    apigw::{
        ApiGatewayRequestAuthorizer, ApiGatewayRequestAuthorizerIamDescription,
        ApiGatewayV2httpRequest, ApiGatewayV2httpResponse,
    },
    encodings::Body,
};
use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rendezvous_core::{
    RequestId, now,
    ports::{Archive, ArchiveFiles},
};
use serde::Deserialize;
use tokio::time::sleep;

use super::{World, operator::PINNED, part};
use crate::{System, fault::Fault, step::Step};

/// How many clients ask at a time.
const CLIENTS: usize = 32;

/// The longest pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(350);

/// The longest between two repeats that are sent at once.
const SECOND_AFTER: Duration = Duration::from_millis(12);

/// The longest that a client waits before it repeats a request, and before it reads one.
const IMPATIENCE: Duration = Duration::from_millis(400);
const READ_AFTER: Duration = Duration::from_millis(1_500);

pub(super) const REQUESTS: &str = "/v1/endpoints/e/requests";

/// One client in one phase of a run; idempotency keys of later phases are those of the first.
#[derive(Clone, Copy)]
struct Client<'a> {
    world: &'a World,
    phase: u8,
    number: usize,
}

/// One request that a client makes.
#[derive(Clone, Copy)]
struct Ask<'a> {
    client: Client<'a>,
    call: usize,
}

#[derive(Deserialize)]
struct Named {
    request: Option<RequestId>,
}

/// Every client asks; returns the requests that were answered, each with its client.
pub(super) async fn all(world: &World, phase: u8) -> Vec<(usize, RequestId)> {
    let calls = calls(world);
    let clients = CLIENTS.min(world.plan.requests);
    let client = |number| Client { world, phase, number }.ask_all(calls);
    // Unlike with `join_all`, one that is woken does not wake all others.
    let clients: FuturesUnordered<_> = (0..clients).map(client).collect();
    clients.concat().await
}

/// So many clients ask once more, in a minute after those in which all asked.
pub(super) async fn one_each(world: &World, minute: usize, clients: usize) {
    let call = calls(world) + minute;
    let ask = |number| Ask { client: Client { world, phase: 0, number }, call }.ask();
    join_all((0..clients.min(world.plan.requests)).map(ask)).await;
}

/// How often each client asks.
fn calls(world: &World) -> usize {
    world.plan.requests.div_ceil(CLIENTS).max(1)
}

/// Reads requests that the ledger has forgotten.
pub(super) async fn read_expired(world: &World, asked: &[(usize, RequestId)]) {
    for (number, id) in asked.iter().take(CLIENTS) {
        let client = Client { world, phase: 1, number: *number };
        world.weather.tally().met(Fault::Expiry, Step::Read);
        client.send(&Method::GET, &format!("{REQUESTS}/{id}"), &[], "", "read expired").await;
    }
}

impl Client<'_> {
    async fn ask_all(self, calls: usize) -> Vec<(usize, RequestId)> {
        let mut asked = Vec::with_capacity(calls);
        for call in 0..calls {
            let ask = Ask { client: self, call };
            sleep(part(PAUSE, ask.draw("pause").powi(2))).await;
            if let Some(id) = ask.ask().await {
                asked.push((self.number, id));
            }
        }
        asked
    }

    /// Sends one HTTP request; `about` tells it from all others.
    async fn send(
        self,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
        about: &str,
    ) -> (i64, Option<RequestId>) {
        let Self { world, phase, number } = self;
        let about = format!("{phase} {number} {about}");
        let message = Message { method, path, headers, body };
        let (status, text) = call(&world.system, number % 4, about, message).await;
        let named = serde_json::from_str::<Named>(&text).ok();
        (status, named.and_then(|named| named.request))
    }
}

/// An HTTP request.
pub(super) struct Message<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: &'a str,
}

/// Sends an HTTP request of one of the users; returns the status and the body.
pub(super) async fn call<A: Archive + ArchiveFiles>(
    system: &System<A>,
    user: usize,
    about: String,
    Message { method, path, headers, body }: Message<'_>,
) -> (i64, String) {
    let mut event = ApiGatewayV2httpRequest::default();
    let context = &mut event.request_context;
    context.http.method = method.clone();
    context.http.path = Some(path.to_owned());
    context.stage = Some("$default".to_owned());
    context.request_id = Some(about);
    context.time_epoch = now().as_micros() / 1_000;
    let mut iam = ApiGatewayRequestAuthorizerIamDescription::default();
    iam.user_arn = Some(format!("arn:aws:iam::123456789012:user/{user}"));
    let mut authorizer = ApiGatewayRequestAuthorizer::default();
    authorizer.iam = Some(iam);
    context.authorizer = Some(authorizer);
    event.headers = header_map(headers);
    event.body = Some(body.to_owned());
    let ApiGatewayV2httpResponse { status_code, body, .. } = system.call(event).await;
    match body {
        Some(Body::Text(text)) => (status_code, text),
        _ => (status_code, String::new()),
    }
}

fn header_map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    map.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            map.insert(HeaderName::from_static(name), value);
        }
    }
    map
}

impl Ask<'_> {
    fn draw(&self, about: &str) -> f64 {
        let Client { world, phase, number } = self.client;
        world.draw(("client", phase, number, self.call, about))
    }

    /// Asks in one of several ways; returns the request's id if the answer names it.
    async fn ask(self) -> Option<RequestId> {
        let number = self.client.number;
        // White space and odd numbers are to be kept byte for byte. Some are too large for a message.
        let more =
            if self.draw("large") < 0.2 { "\\\"世界\\\\ ".repeat(8) } else { String::new() };
        let payload =
            format!("{{ \"n\": [{number}, {}.0e0],\"x\":\"\\u00e4/{more}\" }}", self.call);
        let deadline = format!("{:.0}", 100.0 + 600.0 * self.draw("deadline"));
        let mut headers: Vec<(&'static str, &str)> = Vec::new();
        if self.draw("shorter") < 0.2 {
            headers.push(("rendezvous-deadline-ms", &deadline));
        }
        match self.draw("partition") {
            ..0.1 => headers.push(("rendezvous-key", PINNED)),
            ..0.2 => headers.push(("rendezvous-key", ["tenant-1", "tenant-2"][number % 2])),
            _ => {}
        }
        let key = format!("{}-{}", number / 2, self.call);
        let kind = self.draw("kind");
        let id = match kind {
            ..0.2 => {
                headers.push(("prefer", "respond-async"));
                self.post(&headers, &payload, "async").await.1
            }
            ..0.5 => {
                headers.push(("idempotency-key", &key));
                self.ask_with_key(&headers, &payload).await
            }
            _ => self.post(&headers, &payload, "plain").await.1,
        }?;
        if self.draw("reads") < 0.4 {
            sleep(part(READ_AFTER, self.draw("read after").powi(2))).await;
            let path = format!("{REQUESTS}/{id}");
            let about = format!("read {}", self.call);
            self.client.send(&Method::GET, &path, &[], "", &about).await;
        }
        if self.draw("reports") < 0.25 {
            let path = format!("{REQUESTS}/{id}/outcome");
            let about = format!("report {}", self.call);
            self.client.send(&Method::PUT, &path, &[], "{\"late\": true }", &about).await;
        }
        Some(id)
    }

    async fn post(
        self,
        headers: &[(&'static str, &str)],
        payload: &str,
        about: &str,
    ) -> (i64, Option<RequestId>) {
        let about = format!("{about} {}", self.call);
        if self.client.phase > 0 && about.starts_with("key") {
            self.client.world.weather.tally().met(Fault::Expiry, Step::Ask);
        }
        self.client.send(&Method::POST, REQUESTS, headers, payload, &about).await
    }

    /// Asks with an idempotency key, repeats it impatiently, and again after an error.
    async fn ask_with_key(
        self,
        headers: &[(&'static str, &str)],
        payload: &str,
    ) -> Option<RequestId> {
        let first = self.post(headers, payload, "key");
        let world = self.client.world;
        let repeats = self.draw("repeats") < world.plan.shares.of(Fault::Repeat);
        let again = async {
            if !repeats {
                return;
            }
            sleep(part(IMPATIENCE, self.draw("impatience").powi(2))).await;
            world.weather.tally().met(Fault::Repeat, Step::Ask);
            let other = self.draw("other payload") < 0.1;
            let payload = if other { "\"other\"" } else { payload };
            let about = if other { "key, other payload," } else { "key, again," };
            self.post(headers, payload, about).await;
        };
        let ((mut status, mut id), ()) = join(first, again).await;
        for attempt in 0..3_u32 {
            // "A retry that we ask for can succeed."
            if status < 500 && status != 429 {
                break;
            }
            sleep(part(READ_AFTER, self.draw(&format!("retry {attempt}")))).await;
            let again = [0, 1].map(|copy| {
                let about = format!("key, retry {attempt}, {copy},");
                let pause = part(SECOND_AFTER, self.draw(&about)) * copy;
                async move {
                    sleep(pause).await;
                    self.post(headers, payload, &about).await
                }
            });
            // Now and then two at once.
            let [one, other] = again;
            if repeats {
                ((status, id), _) = join(one, other).await;
            } else {
                (status, id) = one.await;
            }
        }
        id
    }
}
