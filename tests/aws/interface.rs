//! The HTTP interface as API Gateway and ingress serve it together.

use rendezvous_tests_aws::Flight;
use serde_json::Value;

use crate::{Asked, REQUESTS, System};

/// The default of the parameter `MaxPayloadBytes`.
const MAX_PAYLOAD_BYTES: usize = 5_000_000;

pub(crate) fn ingress_has_a_generated_secret(system: &System) {
    assert_eq!(system.stack.secret("IDEMPOTENCY_SECRET").chars().count(), 64);
}

pub(crate) async fn an_unknown_endpoint_is_not_found(system: &System) {
    let mut client = system.stack.client().await;
    let reply = client.post("/v1/endpoints/nobody/requests", &[], "{}").await;
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(client.get("/health").await.status, 200);
}

pub(crate) async fn the_endpoint_is_listed_and_head_is_answered_where_get_is(system: &System) {
    let mut client = system.stack.client().await;
    let listed = client.get("/v1/endpoints").await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let names = listed.body["endpoints"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|endpoint| endpoint.as_str().unwrap()).collect();
    assert!(names.contains(&"flight-delay"), "{names:?}");
    for path in ["/health", "/v1/endpoints", "/v1/endpoints/flight-delay"] {
        let head = system.stack.client().await.call("HEAD", path, &[], "").await;
        assert_eq!((head.status, &head.body), (200, &Value::Null), "{path}: {head:?}");
    }
}

pub(crate) async fn a_payload_above_the_stack_s_limit_is_refused(system: &System) {
    let payload = format!("\"{}\"", "x".repeat(MAX_PAYLOAD_BYTES - 1));
    let reply = system.stack.client().await.post(REQUESTS, &[], &payload).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    let detail = reply.text("detail");
    assert!(detail.contains(&MAX_PAYLOAD_BYTES.to_string()), "{detail}");
}

/// API Gateway answers 404 by itself, with another body, where it has no route.
pub(crate) async fn every_route_reaches_ingress(system: &System) {
    let request = format!("{REQUESTS}/0199aa6d-1a5c-7cc8-9b06-4b1c8d0b6c4e");
    for path in ["/health", "/v1/endpoints", "/v1/endpoints/flight-delay", &request] {
        let mut client = system.stack.client().await;
        let reply = client.get(path).await;
        assert!(reply.body.get("message").is_none(), "{path}: {reply:?}");
        let head = client.call("HEAD", path, &[], "").await;
        assert!(head.body.get("message").is_none(), "{path}: {head:?}");
    }
}

/// It is stored, and the message refers to it. The archive is compared later.
pub(crate) async fn a_large_payload_is_answered_by_the_champion(
    system: &System,
    asked: &mut Vec<Asked>,
) {
    println!("a large payload");
    let note = r#"\"é世🛫\\"#.repeat(100_000);
    let Flight { payload, late } = &system.flights[0];
    let payload = payload.replacen('{', &format!("{{ \"note\": \"{note}\","), 1);
    let reply = system.stack.client().await.post(REQUESTS, &[], &payload).await;
    assert_eq!((reply.status, reply.text("model")), (200, "logistic@1"), "{reply:?}");
    asked.push(Asked { payload, late: *late, reply });
}
