//! Callers do not trust each other: whose request with an idempotency key it is.

use std::{sync::Arc, time::Duration};

use http::Method;
use rendezvous_core::{
    Arm, RequestId, Write,
    memory::{MemoryLedger, MemorySecrets},
    message::Envelope,
    now,
    ports::{EndpointTable, Ledger},
    settle::{RequestState, settle},
};
use rendezvous_tests::{Does::Score, Reply, World, endpoint};

const KEY: [(&str, &str); 1] = [("Idempotency-Key", "order-7")];

async fn world() -> World {
    let world = World::new().await;
    world.model("a@1", Score(10));
    world
}

async fn report(world: &World, caller: Option<&str>, id: RequestId) -> Reply {
    let path = format!("/v1/endpoints/e/requests/{id}/outcome");
    world.call_as(caller, Method::PUT, &path, &[], "1").await
}

async fn read(world: &World, caller: Option<&str>, id: RequestId) -> Reply {
    let path = format!("/v1/endpoints/e/requests/{id}");
    world.call_as(caller, Method::GET, &path, &[], "").await
}

#[tokio::test(start_paused = true)]
async fn another_callers_request_with_a_key_is_not_found() {
    let world = world().await;
    let id = world.ask_as("ann", "{}", &KEY).await.id();
    let unknown = RequestId::random();
    for caller in [Some("bob"), None] {
        let refused = read(&world, caller, id).await;
        assert_eq!(refused.status, 404, "{caller:?}");
        // In the same words as for an id that does not exist.
        let none = read(&world, caller, unknown).await;
        let words = |reply: &Reply, id: RequestId| reply.text.replace(&id.to_string(), "ID");
        assert_eq!(words(&refused, id), words(&none, unknown));
        assert_eq!(report(&world, caller, id).await.status, 404, "{caller:?}");
    }
    assert!(world.system.outcomes.get(&endpoint(), id).is_none());
    assert_eq!(read(&world, Some("ann"), id).await.status, 200);
    assert_eq!(report(&world, Some("ann"), id).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_id_of_a_request_without_a_key_may_read_it() {
    let world = world().await;
    let id = world.ask_as("ann", "{}", &[]).await.id();
    assert_eq!(read(&world, Some("bob"), id).await.status, 200);
    assert_eq!(report(&world, Some("bob"), id).await.status, 204);
    let id = world.ask_as("ann", "{}", &[("Prefer", "respond-async")]).await.id();
    assert_eq!(read(&world, Some("bob"), id).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn two_callers_with_one_key_have_two_requests() {
    let world = world().await;
    let ann = world.ask_as("ann", "{\"n\": 1}", &KEY).await;
    let bob = world.ask_as("bob", "{\"n\": 2}", &KEY).await;
    assert_eq!((ann.status, bob.status), (200, 200));
    assert_ne!(ann.id(), bob.id());
    assert_eq!(world.ask_as("ann", "{\"n\": 1}", &KEY).await.text, ann.text);
}

/// The id that a version before 0.2 gave to ann's request, which every caller can compute.
fn computable() -> RequestId {
    let arn = "arn:aws:iam::123456789012:user/ann";
    RequestId::from_idempotency_key_before_0_2(arn, &endpoint(), "order-7")
}

#[tokio::test(start_paused = true)]
async fn an_id_cannot_be_computed_without_the_secret_of_the_stack() {
    let mut ids = vec![computable()];
    for _ in 0..2 {
        let id = world().await.ask_as("ann", "{}", &KEY).await.id();
        assert!(!ids.contains(&id), "{id}");
        ids.push(id);
    }
}

/// A world whose secret is `age` old when a version before 0.2 has decided ann's request.
async fn updated_before(age: Duration) -> World {
    let secret = |start| MemorySecrets::new(&[7; 32], start - age).unwrap();
    let world = World::with_secret(secret).await;
    world.model("a@1", Score(10));
    let envelope = envelope_of_before();
    // SHA-256 of "{}".
    let payload = *b"\x44\x13\x6f\xa3\x55\xb3\x67\x8a\x11\x46\xad\x16\xf7\xe8\x64\x9e\
        \x94\xfb\x4f\xc2\x1f\xe7\x7e\x83\x10\xc0\x60\xf6\x1c\xaa\xff\x8a";
    let (ledger, name) = (&*world.system.ledger, endpoint());
    ledger.write(&Write::open(&envelope, payload, None)).await.unwrap();
    ledger.write(&Write::accept(&envelope)).await.unwrap();
    let version = world.system.endpoints.version(&name, 1).await.unwrap().unwrap();
    let late = envelope.deadline;
    let state = settle(ledger, &version, &envelope, None, &[], &[], late).await.unwrap();
    assert!(matches!(state, RequestState::Settled(_)));
    world
}

#[tokio::test(start_paused = true)]
async fn a_new_stack_gives_no_id_that_can_be_computed() {
    let secret = |start| MemorySecrets::new(&[7; 32], start).unwrap();
    let world = World::with_secret(secret).await;
    world.model("a@1", Score(10));
    let id = world.ask_as("ann", "{}", &KEY).await.id();
    assert_ne!(id, computable());

    // Nor where somebody else has had a model score a request of the id that can be computed.
    let world = World::with_secret(secret).await;
    world.model("a@1", Score(10));
    let (id, envelope) = (computable(), envelope_of_before());
    let filed = Write::file(&envelope, &[]);
    world.system.ledger.write(&filed).await.unwrap();
    let asked = world.ask_as("ann", "{}", &KEY).await;
    asked.is("a@1 preferred", 10.0..=15.0);
    assert_ne!(asked.id(), id);
}

/// The envelope of ann's request as a version before 0.2 wrote it.
fn envelope_of_before() -> Arc<Envelope> {
    let (id, received) = (computable(), now());
    Arc::new(Envelope {
        id,
        endpoint: endpoint(),
        config: 1,
        arm: Arm::main(),
        key: id.to_key(),
        received,
        deadline: received + Duration::from_secs(1),
        traceparent: None,
        skip: Vec::new(),
        replay: None,
    })
}

#[tokio::test(start_paused = true)]
async fn ids_of_before_the_secret_work_for_one_retention() {
    let world = updated_before(Duration::from_hours(71)).await;
    let repeat = world.ask_as("ann", "{}", &KEY).await;
    repeat.is("fallback deadline", 0.0..=1.0);
    assert_eq!(repeat.id(), computable());
    assert_ne!(world.ask_as("bob", "{}", &KEY).await.id(), computable());

    let world = updated_before(MemoryLedger::RETENTION).await;
    let anew = world.ask_as("ann", "{}", &KEY).await;
    anew.is("a@1 preferred", 10.0..=15.0);
    assert_ne!(anew.id(), computable());
}
