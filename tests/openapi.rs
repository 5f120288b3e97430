//! `GET /openapi.json` says what the interface is: every route and no other, and for each call a status,
//! a media type, headers and a body that the document has.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{collections::BTreeSet, fs, time::Duration};

use http::Method;
use jsonschema::Validator;
use rendezvous_core::memory::Trouble;
use rendezvous_ingress::http::routes;
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Echo, Fail, Score},
    Reply, World,
    tools::root,
};
use serde_json::{Value, json};

/// Statuses that come before ingress: of `rendezvous-local serve`, whose own tests are in `http.rs`.
const BEFORE_INGRESS: [&str; 4] = ["408", "414", "421", "431"];

/// The same for one path, whose body ingress does not look at.
const BODY_BEFORE_INGRESS: &str = "POST /v2/models/{endpoint}/versions/{version}/infer 413";

async fn document(world: &World) -> Value {
    world.get("/openapi.json").await.body
}

/// The object that a reference in the document leads to.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// The operations: method, path, and what is said of them.
fn operations(document: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
        operations.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    })
}

#[tokio::test(start_paused = true)]
async fn the_document_has_every_route_and_no_other() {
    let document = document(&World::new().await).await;
    let documented: BTreeSet<String> =
        operations(&document).map(|(method, path, _)| format!("{method} {path}")).collect();
    let mut expected: BTreeSet<String> =
        routes().map(|(method, path)| format!("{method} {path}")).collect();
    // The stack has a route for each of them, and for HEAD where there is one for GET.
    let template = fs::read_to_string(root().join("template.yaml")).unwrap();
    let keys = template.lines().filter_map(|line| line.trim().strip_prefix("RouteKey: "));
    let keys: BTreeSet<String> = keys.map(str::to_owned).collect();
    let heads = expected.iter().filter_map(|route| route.strip_prefix("GET "));
    let heads: Vec<String> = heads.map(|path| format!("HEAD {path}")).collect();
    assert_eq!(keys, expected.iter().cloned().chain(heads).collect());
    expected.insert("GET /ready".to_owned());
    assert_eq!(documented, expected);
}

#[tokio::test(start_paused = true)]
async fn the_document_is_openapi_of_this_version() {
    let document = document(&World::new().await).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
    }
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        resolved(&document, value);
        match value {
            Value::Object(members) => left.extend(members.values()),
            Value::Array(list) => left.extend(list),
            _ => {}
        }
    }
}

/// What the calls of a test have met, as `METHOD path status`.
struct Met<'a> {
    document: &'a Value,
    seen: BTreeSet<String>,
}

impl Met<'_> {
    /// Asserts that the reply is what the document says of this operation.
    #[track_caller]
    fn add(&mut self, method: &Method, path: &str, reply: &Reply) {
        let (_, _, operation) = operations(self.document)
            .find(|(name, documented, _)| name == method.as_str() && *documented == path)
            .unwrap();
        let status = reply.status.to_string();
        let what = format!("{method} {path} {status}");
        let response = operation["responses"].get(&status);
        let response = response.unwrap_or_else(|| panic!("{what} is not documented: {reply:?}"));
        let response = resolved(self.document, response);
        if let Some(headers) = response["headers"].as_object() {
            for (name, header) in headers {
                let header = resolved(self.document, header);
                let value = reply.headers.get(name.to_lowercase());
                assert!(value.is_some() || header["required"] != true, "{what} has no {name}");
            }
        }
        let Some(content) = response["content"].as_object() else {
            assert_eq!(reply.text, "", "{what}");
            self.seen.insert(what);
            return;
        };
        let media_type = reply.headers["content-type"].to_str().unwrap();
        let schema =
            &content.get(media_type).unwrap_or_else(|| panic!("{what}: {media_type}"))["schema"];
        // The schema with what it refers to.
        let whole = json!({ "components": self.document["components"], "allOf": [schema] });
        let validator: Validator = jsonschema::validator_for(&whole).unwrap();
        if let Err(error) = validator.validate(&reply.body) {
            panic!("{what}: {error} in {}", reply.text);
        }
        self.seen.insert(what);
    }
}

const ASK: &str = "/v1/endpoints/{endpoint}/requests";
const READ: &str = "/v1/endpoints/{endpoint}/requests/{id}";
const INFER: &str = "/v2/models/{endpoint}/infer";

fn configuration(change: impl FnOnce(&mut Value)) -> String {
    let mut configuration: Value = serde_json::from_str(CONFIGURATION).unwrap();
    configuration["schedule"]["fallback"] = json!({ "n": 0 });
    configuration["tensors"] = json!({
        "inputs": [{ "name": "n", "datatype": "INT64", "shape": [-1, 1], "field": "/n" }],
        "outputs": [{ "name": "n", "datatype": "INT64", "shape": [-1, 1], "field": "/n" }]
    });
    change(&mut configuration);
    configuration.to_string()
}

/// A body for an operation that needs one.
fn body(path: &str) -> String {
    let input = json!({ "name": "n", "datatype": "INT64", "shape": [1, 1], "data": [1] });
    let body = if path == INFER { json!({ "inputs": [input] }) } else { json!({ "n": 1 }) };
    body.to_string()
}

/// Every documented reply of ingress, as `METHOD path status`.
fn documented_of_ingress(document: &Value) -> BTreeSet<String> {
    let documented = operations(document).flat_map(|(method, path, operation)| {
        let statuses = operation["responses"].as_object().unwrap().keys();
        let statuses = statuses.filter(|status| !BEFORE_INGRESS.contains(&status.as_str()));
        statuses.map(move |status| format!("{method} {path} {status}"))
    });
    let here = |what: &String| !what.starts_with("GET /ready ") && what != BODY_BEFORE_INGRESS;
    documented.filter(here).collect()
}

/// Calls every operation with these parameters, headers and, unless there is one given, its usual body.
async fn all(
    world: &World,
    met: &mut Met<'_>,
    endpoint: &str,
    headers: &[(&str, &str)],
    text: Option<&str>,
) {
    for (method, path) in routes() {
        let id = "019aa98c-7c1b-7f3e-9d5a-0b6f2d1c4e5a";
        let to = path.replace("{endpoint}", endpoint).replace("{id}", id).replace("{version}", "1");
        let method: Method = method.parse().unwrap();
        let usual = body(path);
        let reply = world.call(method.clone(), &to, headers, text.unwrap_or(&usual)).await;
        met.add(&method, path, &reply);
    }
}

#[tokio::test(start_paused = true)]
async fn every_reply_is_documented_and_every_documented_reply_is_met() {
    let world = World::with(&configuration(|_| ()), Size::default()).await;
    let a = world.model("a@1", Echo(1, ""));
    let document = document(&world).await;
    let met = &mut Met { document: &document, seen: BTreeSet::new() };

    all(&world, met, "e", &[], None).await;
    all(&world, met, "nobody", &[], None).await;
    all(&world, met, "%ff", &[], None).await;
    all(&world, met, "e", &[], Some("{")).await;
    all(&world, met, "e", &[("content-type", "text/plain")], None).await;
    all(&world, met, "e", &[], Some(&format!("\"{}\"", "x".repeat(5_000_001)))).await;

    // A key that is used again with another payload.
    let key = [("Idempotency-Key", "k"), ("Rendezvous-Deadline-Ms", "500")];
    for payload in ["1", "2"] {
        let reply = world.call(Method::POST, "/v1/endpoints/e/requests", &key, payload).await;
        met.add(&Method::POST, ASK, &reply);
        let reply = body(INFER).replace("[1]", &format!("[{payload}]"));
        let reply = world.call(Method::POST, "/v2/models/e/infer", &key, &reply).await;
        met.add(&Method::POST, INFER, &reply);
    }
    // Decided, by a model and by the fallback, and open.
    for does in [Score(1), Fail(1)] {
        a.to(does);
        let reply = world.ask_with("{}", &[("Prefer", "wait=1")]).await;
        met.add(&Method::POST, ASK, &reply);
        met.add(&Method::GET, READ, &world.read(reply.id()).await);
        let reply = world.call(Method::POST, "/v2/models/e/infer", &[], &body(INFER)).await;
        met.add(&Method::POST, INFER, &reply);
    }
    let reply = world.ask_with("{}", &[("Prefer", "respond-async")]).await;
    met.add(&Method::POST, ASK, &reply);
    met.add(&Method::GET, READ, &world.read(reply.id()).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    met.add(&Method::GET, READ, &world.read(reply.id()).await);

    // Without a fallback there may be no answer, or nobody to ask.
    let without = |configuration: &mut Value| {
        configuration["schedule"].as_object_mut().unwrap().remove("fallback");
        configuration["outcome"] = json!("/late");
    };
    world.publish(&configuration(without)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    all(&world, met, "e", &[], None).await;
    for trouble in [Trouble::Down, Trouble::Throttled] {
        world.system.input.outage.set(trouble);
        world.system.ledger.outage.set(trouble);
        world.system.endpoints.outage.set(trouble);
        all(&world, met, "nobody", &[], None).await;
        all(&world, met, "e", &[], None).await;
    }

    let documented = documented_of_ingress(&document);
    let never: Vec<&String> = documented.difference(&met.seen).collect();
    assert!(never.is_empty(), "documented, but never met: {never:#?}");
}
