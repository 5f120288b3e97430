//! The HTTP interface: what is refused, with which status, and in which words.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use rendezvous_core::{Configuration, Json, Provenance, RequestId, ports::EndpointTable};
use rendezvous_sim::Size;
use rendezvous_tests::{CONFIGURATION, Does, Reply, World, endpoint};
use serde_json::json;

async fn world() -> World {
    let world = World::new().await;
    world.model("a@1", Does::Score(10));
    world
}

/// A refusal is a problem document that says what to do; afterwards the system still answers.
async fn refused(world: &World, reply: &Reply, status: i64, words: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert_eq!(reply.body["status"], status);
    assert!(reply.body["type"].as_str().unwrap().starts_with("urn:rendezvous:problem:"));
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{words:?} is not in {detail:?}");
    assert!(reply.text.len() < 600, "a long refusal: {}", reply.text);
    world.ask("{}").await.is("a@1 preferred", 0.0..=20.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_every_field_and_its_timing() {
    let reply = world().await.ask("{}").await;
    assert_eq!(reply.headers["content-type"], "application/json");
    let timing = reply.headers["server-timing"].to_str().unwrap();
    assert!(
        timing.starts_with("send;dur=0, wait;dur=1") && timing.contains("total;dur="),
        "{timing}"
    );
    let id = reply.id().to_string();
    let expected = json!({
        "request": id, "endpoint": "e", "score": {"by": "a@1", "p": 0.5}, "model": "a@1",
        "kind": "champion", "reason": "preferred", "settled": true, "config": 1, "arm": "main", "elapsed_ms": 10.0
    });
    assert_eq!(reply.body, expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_json_is_refused() {
    let world = world().await;
    for (body, words) in [
        ("", "not JSON"),
        ("{", "line 1 column 1"),
        ("{} x", "trailing"),
        ("{'a':1}", "not JSON"),
        ("NaN", "not JSON"),
        ("\u{feff}{}", "not JSON"),
    ] {
        refused(&world, &world.ask(body).await, 400, words).await;
    }
}

#[tokio::test(start_paused = true)]
async fn deep_nesting_is_refused() {
    let world = world().await;
    for levels in [65, 1_000, 100_000] {
        let body = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        refused(&world, &world.ask(&body).await, 400, "deeper than 64 levels").await;
    }
    let body = format!("{}{}", "{\"a\":".repeat(63) + "[", "]".to_owned() + &"}".repeat(63));
    assert_eq!(world.ask(&body).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_refused_by_its_size() {
    let world = world().await;
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    refused(&world, &world.ask(&body(5_000_001)).await, 413, "1 bytes; at most 5000000").await;
    refused(&world, &world.ask(&body(10_000_000)).await, 413, "at most 6000000").await;
    assert_eq!(world.ask(&body(5_000_000)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_sets_the_largest_payload() {
    let mut size = Size::default();
    size.settings.max_payload_bytes = 1_000;
    let world = World::with(CONFIGURATION, size).await;
    world.model("a@1", Does::Score(10));
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    refused(&world, &world.ask(&body(1_001)).await, 413, "1001 bytes; at most 1000").await;
    let reply = world.send(binary(body(1_001).as_bytes())).await;
    refused(&world, &reply, 413, "1001 bytes; at most 1000").await;
    assert_eq!(world.ask(&body(1_000)).await.status, 200);
    assert_eq!(world.send(binary(body(1_000).as_bytes())).await.status, 200);
}

fn binary(body: &[u8]) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.request_context.http.method = Method::POST;
    event.request_context.http.path = Some("/prod/v1/endpoints/e/requests".to_owned());
    event.request_context.stage = Some("prod".to_owned());
    event.body = Some(BASE64_STANDARD.encode(body));
    event.is_base64_encoded = true;
    event
}

#[tokio::test(start_paused = true)]
async fn binary_bodies_are_read_as_what_they_are() {
    let world = world().await;
    refused(&world, &world.send(binary(b"{\"a\":\"\xff\"}")).await, 400, "not UTF-8").await;
    let mut event = binary(b"");
    event.body = Some("@@@".to_owned());
    refused(&world, &world.send(event).await, 400, "base64").await;
    assert_eq!(world.send(binary("{\"ä\": 1}".as_bytes())).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn other_content_types_are_refused() {
    let world = world().await;
    for content_type in
        ["text/plain", "text/ld+json", "application/x-www-form-urlencoded", "application/jsonx", ""]
    {
        let reply = world.ask_with("{}", &[("content-type", content_type)]).await;
        refused(&world, &reply, 415, "application/json").await;
    }
    for content_type in
        ["application/json; charset=utf-8", "APPLICATION/JSON", "application/ld+json"]
    {
        assert_eq!(world.ask_with("{}", &[("content-type", content_type)]).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_is_refused() {
    let world = world().await;
    let path = format!("/v1/endpoints/e/requests/{}/outcome", RequestId::random());
    for encoding in ["gzip", "br", "identity, gzip"] {
        let header = [("content-encoding", encoding)];
        for reply in [
            world.ask_with("{}", &header).await,
            world.call(Method::PUT, &path, &header, "1").await,
        ] {
            refused(&world, &reply, 415, "without Content-Encoding").await;
        }
    }
    assert_eq!(world.ask_with("{}", &[("content-encoding", "identity")]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_that_was_applied_is_answered() {
    let configuration = CONFIGURATION.replace("\"deadline_ms\": 1000", "\"deadline_ms\": 5000");
    let world = World::with(&configuration, Size::default()).await;
    world.model("a@1", Does::Score(10));
    let (own, prefer) = ("Rendezvous-Deadline-Ms", "Prefer");
    for (headers, applied, preference) in [
        (&[(own, "300")][..], Some("300"), None),
        (&[(own, "29000")], Some("5000"), None),
        (&[(prefer, "wait=2")], Some("2000"), Some("wait=2")),
        (&[(prefer, "wait=60")], Some("5000"), Some("wait=60")),
        (&[(prefer, "wait=2"), (own, "300")], Some("300"), Some("wait=2")),
        (&[(prefer, "wait=2"), (own, "3000")], Some("2000"), Some("wait=2")),
        (&[(own, "1")], Some("1"), None),
        (&[("Prefer", "respond-async, wait=2")], Some("2000"), Some("respond-async")),
        (&[], None, None),
    ] {
        let reply = world.ask_with("{}", headers).await;
        let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("rendezvous-deadline-ms"), applied, "{headers:?}");
        assert_eq!(header("preference-applied"), preference, "{headers:?}");
    }
    let longest = [(prefer, "respond-async"), (own, "900000")];
    assert_eq!(world.ask_with("{}", &longest).await.headers["rendezvous-deadline-ms"], "900000");
    let longer = [(prefer, "respond-async"), (own, "900001")];
    refused(&world, &world.ask_with("{}", &longer).await, 400, "from 1 to 900000").await;
}

#[tokio::test(start_paused = true)]
async fn absurd_deadlines_are_refused() {
    let world = world().await;
    for text in ["0", "-1", "1.5", "29001", "99999999999999999999", "soon", "", "1e3", "٣"] {
        let reply = world.ask_with("{}", &[("Rendezvous-Deadline-Ms", text)]).await;
        refused(&world, &reply, 400, "Rendezvous-Deadline-Ms must be a whole number").await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_headers_are_refused_and_malformed_preferences_ignored() {
    let world = world().await;
    let long = "k".repeat(257);
    for (name, value, words) in [
        ("Rendezvous-Key", long.as_str(), "1 to 256 characters"),
        ("Rendezvous-Key", "", "1 to 256 characters"),
        ("Idempotency-Key", long.as_str(), "1 to 255 bytes"),
        ("Idempotency-Key", "", "1 to 255 bytes"),
        ("Rendezvous-Key", "a\tb", "control character"),
        ("Idempotency-Key", "a\tb", "without control characters"),
    ] {
        refused(&world, &world.ask_with("{}", &[(name, value)]).await, 400, words).await;
    }
    let longest = [("Idempotency-Key", &long[..255])];
    world.ask_with("{}", &longest).await.is("a@1 preferred", 10.0..=15.0);
    let mut event = binary(b"{}");
    event.headers.insert("rendezvous-key", http::HeaderValue::from_bytes(b"caf\xe9").unwrap());
    refused(&world, &world.send(event).await, 400, "not UTF-8").await;
    for (name, value) in [
        ("Prefer", "wait=soon, unheard-of; wait"),
        ("Prefer", "wait=-5"),
        ("Prefer", "wait=99999999999999999999999"),
        ("Prefer", "respond-asynchronously, =, ,;;\"wait=1"),
        ("traceparent", "00-nonsense"),
    ] {
        let reply = world.ask_with("{}", &[(name, value)]).await;
        assert_eq!(reply.status, 200, "{name}: {value}");
        assert!(!reply.headers.contains_key("preference-applied"), "{name}: {value}");
    }
    let mut event = binary(b"{}");
    event.headers.insert("prefer", http::HeaderValue::from_bytes(b"wait=\xe9").unwrap());
    assert_eq!(world.send(event).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_must_be_one_is_not_repeated() {
    let world = world().await;
    let repeated = |name: &'static str, values: &[&'static str]| {
        let mut event = binary(b"{}");
        for value in values {
            event.headers.append(name, http::HeaderValue::from_static(value));
        }
        event
    };
    for name in [
        "rendezvous-deadline-ms",
        "rendezvous-key",
        "idempotency-key",
        "content-type",
        "content-encoding",
    ] {
        let reply = world.send(repeated(name, &["100", "200"])).await;
        assert!(reply.text.contains(name), "{reply:?}");
        refused(&world, &reply, 400, "must not be repeated").await;
    }
    // Preferences may be on several lines; the first of a kind counts.
    let reply = world.send(repeated("prefer", &["respond-async", "wait=1", "wait=9"])).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.headers["rendezvous-deadline-ms"], "1000");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_a_404_and_a_wrong_method_names_the_right_one() {
    let world = world().await;
    let id = RequestId::random();
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    for (method, path, words) in [
        (&post, "/v1/endpoints/nobody/requests".to_owned(), "no endpoint nobody"),
        (&post, "/v1/endpoints/No%20Body/requests".to_owned(), "no endpoint"),
        (&get, "/v1/endpoints/nobody".to_owned(), "no endpoint nobody"),
        (&get, format!("/v1/endpoints/e/requests/{id}"), "knows no request"),
        (&get, "/v1/endpoints/e/requests/7".to_owned(), "ids are UUIDs"),
        (&put, format!("/v1/endpoints/nobody/requests/{id}/outcome"), "no endpoint nobody"),
        (&get, "/".to_owned(), "POST /v1/endpoints"),
        (&get, "/v1/endpoints/e/requests/1/2/3".to_owned(), "nothing at this path"),
    ] {
        refused(&world, &world.call(method.clone(), &path, &[], "{}").await, 404, words).await;
    }
    let reply = world.get("/v1/endpoints/e/requests").await;
    assert_eq!(reply.headers["allow"], "POST");
    refused(&world, &reply, 405, "Use POST, not GET").await;
    let reply = world.call(Method::DELETE, "/health", &[], "").await;
    refused(&world, &reply, 405, "Use GET, not DELETE").await;
}

#[tokio::test(start_paused = true)]
async fn head_is_answered_where_get_is_without_a_body() {
    let world = world().await;
    let request = format!("/v1/endpoints/e/requests/{}", world.ask("{}").await.id());
    for path in ["/health", "/v1/endpoints", "/v1/endpoints/e", &request] {
        let (head, get) = (world.call(Method::HEAD, path, &[], "").await, world.get(path).await);
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        assert_eq!(head.headers["content-type"], get.headers["content-type"]);
        assert!(!get.text.is_empty());
    }
    let none = world.call(Method::HEAD, "/v1/endpoints/nobody", &[], "").await;
    assert_eq!((none.status, none.text.as_str()), (404, ""));
    let wrong = world.call(Method::HEAD, "/v1/endpoints/e/requests", &[], "").await;
    assert_eq!((wrong.status, &wrong.headers["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn percent_encoded_names_and_ids_are_decoded() {
    let world = world().await;
    let reply = world.call(Method::POST, "/v1/endpoints/%65/requests", &[], "{}").await;
    reply.is("a@1 preferred", 10.0..=15.0);
    let id = reply.id().to_string().replace('-', "%2D");
    world.get(&format!("/v1/endpoints/e/requests/{id}")).await.is("a@1 preferred", 0.0..=1.0);
    let path = format!("/v1/endpoints/%65/requests/{id}/outcome");
    assert_eq!(world.call(Method::PUT, &path, &[], "1").await.status, 204);
    refused(&world, &world.get("/v1/endpoints/%ff").await, 400, "percent-encoded").await;
    // An encoded slash separates nothing.
    refused(&world, &world.get("/v1%2Fendpoints").await, 404, "nothing at this path").await;
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_are_listed() {
    let world = world().await;
    assert_eq!(world.get("/v1/endpoints").await.body, json!({"endpoints": ["e"]}));
    let configuration = Configuration::parse(CONFIGURATION).unwrap();
    let (name, provenance) = ("another".parse().unwrap(), Provenance::new("test", "").unwrap());
    world.system.endpoints.publish(&name, configuration, provenance, None).await.unwrap();
    assert_eq!(world.get("/v1/endpoints").await.body, json!({"endpoints": ["another", "e"]}));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_has_the_truth_where_the_endpoint_says() {
    let outcome = "\"/p\", \"outcome\": \"/flight/late\"";
    let world = World::with(&CONFIGURATION.replace("\"/p\"", outcome), Size::default()).await;
    world.model("a@1", Does::Score(10));
    let id = world.ask("{}").await.id();
    let path = format!("/v1/endpoints/e/requests/{id}/outcome");
    for outcome in ["true", "{\"late\": true}", "{\"flight\": {}}", "[]"] {
        let reply = world.call(Method::PUT, &path, &[], outcome).await;
        refused(&world, &reply, 400, "nothing at \"/flight/late\"").await;
    }
    assert!(world.system.outcomes.get(&endpoint(), id).is_none());
    let outcome = "{\"flight\": {\"late\": null}}";
    assert_eq!(world.call(Method::PUT, &path, &[], outcome).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_one_endpoint_is_not_read_under_another() {
    let world = world().await;
    let reply = world.ask("{}").await;
    let path = format!("/v1/endpoints/other/requests/{}", reply.id());
    refused(&world, &world.get(&path).await, 404, "knows no request").await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_request() {
    let world = world().await;
    let reply = world.ask("{").await;
    assert_ne!(reply.id(), world.ask("{").await.id());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_described_and_health_is_ok() {
    let world = world().await;
    let reply = world.get("/v1/endpoints/e").await;
    assert_eq!((reply.status, &reply.body["config"]), (200, &json!(1)));
    assert_eq!(reply.body["schedule"]["choices"][1], json!({"model": "b@1", "after_ms": 100}));
    assert_eq!(reply.body["observers"][0], json!({"model": "d@1", "role": "challenger"}));
    let health = world.get("/health").await;
    assert_eq!(health.body, json!({"status": "ok"}));
    assert_eq!(health.headers["server-timing"], "total;dur=0");
    let mut event = binary(b"");
    event.request_context.http.method = Method::GET;
    event.request_context.http.path = Some("/health".to_owned());
    event.request_context.stage = Some("he".to_owned());
    assert_eq!(world.send(event).await.status, 200, "a path that begins like the stage");
}

#[tokio::test(start_paused = true)]
async fn the_last_outcome_of_a_request_counts() {
    let world = world().await;
    let id = world.ask("{}").await.id();
    let path = format!("/v1/endpoints/e/requests/{id}/outcome");
    for outcome in ["{\"late\": false}", "{\"late\":  true}"] {
        let reply = world.call(Method::PUT, &path, &[], outcome).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    }
    let kept = world.system.outcomes.get(&endpoint(), id).unwrap();
    assert_eq!(kept.outcome, Json::parse("{\"late\":  true}").unwrap());
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(world.call(Method::PUT, &path, &[], &text(16_384)).await.status, 204);
    let reply = world.call(Method::PUT, &path, &[], &text(16_385)).await;
    refused(&world, &reply, 413, "16385 bytes; at most 16384").await;
    let reply = world.call(Method::PUT, &path, &[], "late").await;
    refused(&world, &reply, 400, "not JSON").await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_down_is_a_503_and_one_that_throttles_a_429() {
    use rendezvous_core::memory::Trouble;

    let world = World::new().await;
    let id = RequestId::random();
    for (trouble, status) in
        [(Trouble::Down, 503), (Trouble::Throttled, 429), (Trouble::Hanging, 503)]
    {
        world.system.ledger.outage.set(trouble);
        world.system.outcomes.outage.set(trouble);
        let reply = world.get(&format!("/v1/endpoints/e/requests/{id}")).await;
        assert_eq!((reply.status, &reply.headers["retry-after"]), (status, &"1".parse().unwrap()));
        let path = format!("/v1/endpoints/e/requests/{id}/outcome");
        let reply = world.call(Method::PUT, &path, &[], "1").await;
        assert_eq!((reply.status, reply.id()), (status, id));
    }
    for trouble in [Trouble::Down, Trouble::Hanging] {
        world.system.endpoints.outage.set(trouble);
        assert_eq!(world.get("/v1/endpoints/unknown").await.status, 503);
    }
}
