//! What a call may say beside its inputs.

use std::time::Duration;

use rendezvous_core::memory::Position;
use rendezvous_sim::Size;
use rendezvous_tests::{
    Does::{Echo, Hang},
    World,
};
use serde_json::json;

use crate::{configuration, infer, infer_with, output, refused, rows, world};

#[tokio::test(start_paused = true)]
async fn a_call_has_one_deadline_and_the_shortest_counts() {
    let world = world().await;
    world.model("a@1", Hang);
    for (parameters, headers, applied) in [
        (json!({ "deadline_ms": 300 }), &[][..], Some("300")),
        (json!({ "timeout": 250_000 }), &[], Some("250")),
        (json!({ "timeout": 250_000, "deadline_ms": 200 }), &[], Some("200")),
        (json!({ "deadline_ms": 300 }), &[("Rendezvous-Deadline-Ms", "100")], Some("100")),
        (json!({ "deadline_ms": 29_000 }), &[], Some("1000")),
        (json!({ "timeout": 0 }), &[], None),
        (json!({}), &[("Prefer", "respond-async")], None),
    ] {
        let mut body = rows(3);
        body["parameters"] = parameters.clone();
        let reply = infer_with(&world, &body, headers).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let header =
            reply.headers.get("rendezvous-deadline-ms").map(|value| value.to_str().unwrap());
        assert_eq!(header, applied, "{parameters}");
        let deadline: f64 = applied.unwrap_or("1000").parse().unwrap();
        assert!((deadline - 10.0..=deadline).contains(&reply.took_ms), "{parameters}: {reply:?}");
    }
    for (name, value) in [
        ("deadline_ms", json!(0)),
        ("deadline_ms", json!(29_001)),
        ("deadline_ms", json!("9")),
        ("timeout", json!(-1)),
        ("key", json!("")),
        ("key", json!(9)),
    ] {
        let mut body = rows(1);
        body["parameters"] = json!({ name: value });
        refused(&infer(&world, &body).await, 400, &format!("/parameters/{name}"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_row_has_the_key_and_the_trace_of_its_call() {
    let world = world().await;
    world.model("a@1", Echo(1, ""));
    let lanes = world.system.input.subscribe(Position::Latest, 1);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut body = rows(2);
    body["parameters"] = json!({ "key": "tenant-7" });
    let headers = [("traceparent", trace), ("Rendezvous-Key", "tenant-7")];
    assert_eq!(infer_with(&world, &body, &headers).await.status, 200);
    let mut seen = 0;
    for lane in lanes {
        let batch = lane.next(10, usize::MAX, Duration::ZERO);
        let Ok(batch) = tokio::time::timeout(Duration::from_millis(1), batch).await else {
            continue;
        };
        for record in batch {
            assert_eq!(record.key.as_str(), "tenant-7");
            assert!(std::str::from_utf8(&record.data).unwrap().contains(trace));
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
    let other = infer_with(&world, &body, &[("Rendezvous-Key", "tenant-8")]).await;
    refused(&other, 400, "/parameters/key and the header Rendezvous-Key differ.");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_with_the_same_idempotency_key_gets_the_same_requests() {
    let world = world().await;
    let a = world.model("a@1", Echo(10, ""));
    let key = [("Idempotency-Key", "k")];
    let first = infer_with(&world, &rows(3), &key).await;
    let again = infer_with(&world, &rows(3), &key).await;
    assert_eq!(first.body, again.body);
    assert_eq!(a.asked().len(), 3, "a repeat asks no model");
    let mut other = rows(3);
    other["inputs"][0]["data"][2] = json!(99);
    refused(&infer_with(&world, &other, &key).await, 409, "Row 2 (request");
}

#[tokio::test(start_paused = true)]
async fn binary_tensors_are_refused_and_a_wish_for_binary_outputs_is_answered_in_json() {
    let world = world().await;
    world.model("a@1", Echo(10, ""));
    let headers =
        [("Inference-Header-Content-Length", "9"), ("content-type", "application/octet-stream")];
    refused(&infer_with(&world, &rows(1), &headers).await, 415, "set binary_data=False");
    let mut body = rows(1);
    body["inputs"][0] = json!({ "name": "n", "datatype": "INT64", "shape": [1, 1],
        "parameters": { "binary_data_size": 8 } });
    refused(&infer(&world, &body).await, 400, r#"The input "n" has no data. Send each"#);
    // Both clients send this unless they are told otherwise, and read JSON where no header says that
    // there is binary data.
    let mut body = rows(1);
    body["parameters"] = json!({ "binary_data_output": true });
    body["outputs"] = json!([{ "name": "n", "parameters": { "binary_data": true } }]);
    let reply = infer(&world, &body).await;
    assert_eq!((reply.status, &output(&reply, "n")["data"]), (200, &json!([0])));
    assert!(!reply.headers.contains_key("inference-header-content-length"));
}

#[tokio::test(start_paused = true)]
async fn a_payload_of_a_row_has_the_bound_of_a_request() {
    let mut size = Size::default();
    size.settings.max_payload_bytes = 100;
    let world = World::with(&configuration(), size).await;
    world.model("a@1", Echo(10, ""));
    assert_eq!(infer(&world, &rows(3)).await.status, 200);
    let mut body = rows(3);
    body["inputs"][1]["data"][1] = json!("w".repeat(50));
    refused(&infer(&world, &body).await, 413, "Row 1: It has");
}
