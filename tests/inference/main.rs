//! The Open Inference Protocol: tensors become requests, scores become tensors.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod options;
mod refusals;
mod rows;

use http::Method;
use rendezvous_sim::Size;
use rendezvous_tests::{CONFIGURATION, Reply, World};
use serde_json::{Value, json};

/// The usual endpoint with tensors of every form.
fn configuration() -> String {
    let mut configuration: Value = serde_json::from_str(CONFIGURATION).unwrap();
    configuration["schedule"]["fallback"] = json!({
        "n": 0, "m": [[0, 0], [0, 0]], "x": { "a": 0.5, "b": 0.5 }, "words": { "first/last": "?" }
    });
    configuration["tensors"] = json!({
        "inputs": [
            { "name": "n", "datatype": "INT64", "shape": [-1, 1], "field": "/n" },
            { "name": "word", "datatype": "BYTES", "shape": [-1], "field": "/words/first~1last" },
            { "name": "m", "datatype": "FP32", "shape": [-1, 2, 2], "field": "/m" },
            { "name": "x", "datatype": "FP64", "shape": [-1, 2], "fields": ["/x/a", "/x/b"] }
        ],
        "outputs": [
            { "name": "n", "datatype": "INT64", "shape": [-1, 1], "field": "/n" },
            { "name": "m", "datatype": "FP32", "shape": [-1, 2, 2], "field": "/m" },
            { "name": "swapped", "datatype": "FP64", "shape": [-1, 2], "fields": ["/x/b", "/x/a"] },
            { "name": "word", "datatype": "BYTES", "shape": [-1], "field": "/words/first~1last" }
        ]
    });
    configuration.to_string()
}

fn without_fallback() -> String {
    let mut configuration: Value = serde_json::from_str(&configuration()).unwrap();
    configuration["schedule"].as_object_mut().unwrap().remove("fallback");
    configuration.to_string()
}

async fn world() -> World {
    World::with(&configuration(), Size::default()).await
}

/// A request of so many rows, row `i` with `n` = `i`.
fn rows(rows: usize) -> Value {
    let each = |of: &dyn Fn(usize) -> Value| (0..rows).map(of).collect::<Vec<Value>>();
    json!({ "id": "mine", "inputs": [
        { "name": "n", "datatype": "INT64", "shape": [rows, 1], "data": each(&|i| json!(i)) },
        { "name": "word", "datatype": "BYTES", "shape": [rows], "data": each(&|i| json!(format!("w{i}"))) },
        { "name": "m", "datatype": "FP32", "shape": [rows, 2, 2],
          "data": each(&|i| json!([[i, 2], [3, 4]])) },
        { "name": "x", "datatype": "FP64", "shape": [rows, 2],
          "data": each(&|i| json!([i, 0.25])) },
    ] })
}

async fn infer(world: &World, body: &Value) -> Reply {
    infer_with(world, body, &[]).await
}

async fn infer_with(world: &World, body: &Value, headers: &[(&str, &str)]) -> Reply {
    world.call(Method::POST, "/v2/models/e/infer", headers, &body.to_string()).await
}

fn output<'a>(reply: &'a Reply, name: &str) -> &'a Value {
    let outputs = reply.body["outputs"].as_array().unwrap_or_else(|| panic!("{}", reply.text));
    outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("{}", reply.text))
}

/// A refusal in the form of the protocol.
#[track_caller]
fn refused(reply: &Reply, status: i64, words: &str) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.body.as_object().unwrap().len(), 1, "{}", reply.text);
    let error = reply.body["error"].as_str().unwrap();
    assert!(error.contains(words), "{words:?} is not in {error:?}");
    assert!(reply.text.len() < 600, "a long refusal: {}", reply.text);
}
