//! The Open Inference Protocol: tensors become requests, scores become tensors.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::time::Duration;

use http::Method;
use rendezvous_core::memory::{Position, Trouble};
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Echo, Fail, Hang},
    Reply, World,
};
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

#[tokio::test(start_paused = true)]
async fn each_row_is_a_request_and_its_elements_keep_their_bytes() {
    let world = world().await;
    let a = world.model("a@1", Echo(10, ""));
    // Numbers that a parser would write in another way, flat and nested.
    let body = r#"{"id":"mine","inputs":[
        {"name":"x","shape":[2,2],"datatype":"FP64","data":[[0.10,1e2],[ -0.0,12345678901234567890]]},
        {"name":"n","shape":[2,1],"datatype":"INT64","data":[-9007199254740993,7]},
        {"name":"m","shape":[2,2,2],"datatype":"FP32","data":[1,2,3,4.50,[],6,7,8]},
        {"name":"word","shape":[2],"datatype":"BYTES","data":["\u00e4\"","b"]}]}"#;
    let reply = world.call(Method::POST, "/v2/models/e/infer", &[], body).await;
    refused(&reply, 400, "input \"m\" row 1, element 0 is an array");
    let body = body.replace("[],", "5,");
    let reply = world.call(Method::POST, "/v2/models/e/infer", &[], &body).await;
    assert_eq!((reply.status, &reply.body["id"]), (200, &json!("mine")), "{}", reply.text);
    let asked = a.asked();
    let mut asked: Vec<&str> = asked.iter().map(|payload| payload.as_str()).collect();
    asked.sort_unstable();
    let first = r#"{"n":-9007199254740993,"words":{"first/last":"\u00e4\""},"m":[[1,2],[3,4.50]],"x":{"a":0.10,"b":1e2}}"#;
    let second = r#"{"n":7,"words":{"first/last":"b"},"m":[[5,6],[7,8]],"x":{"a":-0.0,"b":12345678901234567890}}"#;
    assert_eq!(asked, [first, second]);
    for (name, datatype, shape, data) in [
        ("n", "INT64", "[2,1]", "[-9007199254740993,7]"),
        ("m", "FP32", "[2,2,2]", "[1,2,3,4.50,5,6,7,8]"),
        ("swapped", "FP64", "[2,2]", "[1e2,0.10,12345678901234567890,-0.0]"),
        ("word", "BYTES", "[2]", r#"["\u00e4\"","b"]"#),
        ("model", "BYTES", "[2,1]", r#"["a@1","a@1"]"#),
        ("kind", "BYTES", "[2,1]", r#"["champion","champion"]"#),
        ("reason", "BYTES", "[2,1]", r#"["preferred","preferred"]"#),
    ] {
        let expected =
            format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"data":{data}}}"#);
        assert!(reply.text.contains(&expected), "{expected} is not in {}", reply.text);
    }
    assert_eq!(
        (&reply.body["model_name"], &reply.body["model_version"]),
        (&json!("e"), &json!("a@1"))
    );
    let parameters = json!({ "kind": "champion", "reason": "preferred", "settled": true, "config": 1,
        "elapsed_ms": 10.0 });
    assert_eq!(reply.body["parameters"], parameters);
    for (i, word) in ["\u{e4}\"", "b"].into_iter().enumerate() {
        let id = output(&reply, "request")["data"][i].as_str().unwrap().parse().unwrap();
        let read = world.read(id).await;
        assert_eq!(read.body["score"]["words"]["first/last"], word, "{}", read.text);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_a_call_are_asked_at_the_same_time() {
    let world = world().await;
    world.model("a@1", Echo(50, ""));
    let reply = infer(&world, &rows(100)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!((50.0..60.0).contains(&reply.took_ms), "{}", reply.took_ms);
    let expected: Vec<usize> = (0..100).collect();
    assert_eq!(output(&reply, "n")["data"], json!(expected));
    assert_eq!(world.system.counters.totals().ingress.answers["champion"], 100);
    for (count, words) in [(0, "have 0 rows"), (101, "have 101 rows; a call has 1 to 100")] {
        refused(&infer(&world, &rows(count)).await, 400, words);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_several_models_answered_say_who_answered_each() {
    let world = world().await;
    world.model("a@1", Echo(10, "w1"));
    world.model("b@1", Echo(10, ""));
    let reply = infer(&world, &rows(3)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.body.get("model_version"), None);
    assert_eq!(output(&reply, "model")["data"], json!(["a@1", "b@1", "a@1"]));
    assert_eq!(output(&reply, "kind")["data"], json!(["champion", "stand_in", "champion"]));
    assert_eq!(output(&reply, "reason")["data"], json!(["preferred", "survivor", "preferred"]));
    let parameters = reply.body["parameters"].as_object().unwrap();
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    assert_eq!(names, ["config", "elapsed_ms", "settled"]);
}

#[tokio::test(start_paused = true)]
async fn one_row_has_its_request_among_the_parameters_and_a_fallback_names_no_model() {
    let world = world().await;
    for model in ["a@1", "b@1", "c@1"] {
        world.model(model, Fail(10));
    }
    let reply = infer(&world, &rows(1)).await;
    assert_eq!(reply.body["parameters"]["request"], output(&reply, "request")["data"][0]);
    assert_eq!(reply.body["parameters"]["reason"], "exhausted");
    assert_eq!(output(&reply, "model")["data"], json!([""]));
    assert_eq!(output(&reply, "swapped")["data"], json!([0.5, 0.5]));
    assert_eq!(reply.body.get("model_version"), None);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_nobody_answers_fails_the_call_and_is_named() {
    let world = World::with(&without_fallback(), Size::default()).await;
    world.model("a@1", Echo(10, "w1"));
    world.model("b@1", Fail(10));
    world.model("c@1", Hang);
    let reply = infer(&world, &rows(3)).await;
    refused(&reply, 504, "Row 1 (request 0");
    let why = "No model answered within 1000 ms. The endpoint has no fallback. a@1 failed: as told; \
               b@1 failed: as told; c@1 silent.";
    refused(&reply, 504, why);
    // The other rows are counted as answered, and the call once.
    let totals = world.system.counters.totals().ingress;
    assert_eq!((totals.answers["champion"], totals.answers["none"]), (2, 1));
    assert_eq!((totals.refused, totals.unanswered), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_is_counted_once() {
    let world = world().await;
    world.model("a@1", Echo(10, ""));
    infer(&world, &json!({})).await;
    let totals = world.system.counters.totals().ingress;
    assert_eq!((totals.answers.len(), totals.refused, totals.unanswered), (0, 1, 0));
    // Without a fallback no row of a call whose requests cannot be sent is decided.
    world.publish(&without_fallback()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.system.input.outage.set(Trouble::Down);
    let reply = infer(&world, &rows(5)).await;
    refused(&reply, 503, "Row 0 (request 0");
    assert_eq!(reply.headers["retry-after"], "1");
    let totals = world.system.counters.totals().ingress;
    assert_eq!((totals.answers.len(), totals.refused, totals.unanswered), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_input_is_named_with_its_row() {
    let world = world().await;
    world.model("a@1", Echo(10, ""));
    for (pointer, wrong, words) in [
        (
            "/inputs/0/name",
            json!("N"),
            r#"There is no input "N"; there are "n", "word", "m", "x"."#,
        ),
        ("/inputs/0/name", json!("word"), r#"The input "word" is there twice."#),
        ("/inputs/0/name", json!(7), "/inputs/0/name must be a string."),
        (
            "/inputs/0/datatype",
            json!("INT32"),
            r#""n" has the datatype "INT32"; it must be INT64."#,
        ),
        ("/inputs/0/shape", json!([3]), r#""n" has the shape [3]; it must be [-1, 1]."#),
        ("/inputs/0/shape", json!([3, 2]), r#""n" has the shape [3, 2]; it must be [-1, 1]."#),
        ("/inputs/0/shape", json!([-3, 1]), "/inputs/0/shape must be an array of whole numbers"),
        ("/inputs/0/shape", json!([2, 1]), r#""n" has 3 elements; its shape is [2, 1]."#),
        ("/inputs/0/data", json!([1, 2]), r#""n" has 2 elements; its shape is [3, 1]."#),
        ("/inputs/0/data", json!([[1], [2]]), r#""n" has data of 2 rows; its shape is [3, 1]."#),
        ("/inputs/0/data", json!([[1], [2, 2], [3]]), r#""n" row 1, has 2 elements where"#),
        (
            "/inputs/0/data",
            json!([[1], 2, [3]]),
            r#""n" row 1, is a number where the shape has an"#,
        ),
        ("/inputs/0/data", json!("1"), r#""n" has data that are not an array."#),
        (
            "/inputs/0/data",
            json!([1, "2", 3]),
            r#""n" row 1, element 0 is a string; INT64 is a number"#,
        ),
        (
            "/inputs/0/data/2",
            json!(1.5),
            r#""n" row 2, element 0 is not written as a whole number"#,
        ),
        (
            "/inputs/0/data/2",
            json!(1e300),
            r#""n" row 2, element 0 is not written as a whole number"#,
        ),
        (
            "/inputs/0/data/2",
            json!(u64::MAX),
            r#""n" row 2, element 0 is out of the range of INT64"#,
        ),
        ("/inputs/1/data/1", json!(null), r#""word" row 1, element 0 is null; BYTES is a string"#),
        (
            "/inputs/2/data/1/1/0",
            json!(1e39),
            r#""m" row 1, element 2 is out of the range of FP32"#,
        ),
        ("/inputs/3/shape", json!([2, 2]), r#""x" has data of 3 rows"#),
        (
            "/inputs/3",
            json!({"name": "x", "datatype": "FP64", "shape": [3, 2]}),
            "has no data. Send each",
        ),
        ("/inputs", json!([]), r#"The input "n" is missing."#),
        ("/inputs", json!({}), "/inputs must be an array."),
        ("/inputs/3", json!(1), "/inputs/3 must be an object."),
        ("/id", json!(1), "/id must be a string."),
        ("", json!([]), "The body must be an object."),
        ("", json!({"id": "x"}), "/inputs is missing."),
    ] {
        let mut body = rows(3);
        *body.pointer_mut(pointer).unwrap() = wrong.clone();
        let reply = infer(&world, &body).await;
        refused(&reply, 400, words);
    }
    let mut fewer = rows(3);
    fewer["inputs"][3] = rows(2)["inputs"][3].clone();
    refused(&infer(&world, &fewer).await, 400, r#"The input "x" has 2 rows, "n" has 3."#);
    assert_eq!(infer(&world, &rows(3)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn outputs_are_those_that_are_asked_for() {
    let world = world().await;
    world.model("a@1", Echo(10, ""));
    let mut body = rows(2);
    let ask = |outputs: Value, body: &mut Value| body["outputs"] = outputs;
    ask(json!([{ "name": "kind" }, { "name": "n" }]), &mut body);
    let reply = infer(&world, &body).await;
    let outputs = reply.body["outputs"].as_array().unwrap();
    let names: Vec<&str> = outputs.iter().map(|output| output["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["kind", "n"]);
    for (outputs, words) in [
        (json!([{ "name": "y" }]), r#"There is no output "y"; there are "n", "m", "swapped""#),
        (json!([{ "name": "n" }, { "name": "n" }]), r#"The output "n" is asked for twice."#),
        (json!([{}]), "/outputs/0/name is missing."),
        (json!(["n"]), "/outputs/0 must be an object."),
    ] {
        ask(outputs, &mut body);
        refused(&infer(&world, &body).await, 400, words);
    }
    ask(json!([]), &mut body);
    assert_eq!(infer(&world, &body).await.body["outputs"].as_array().unwrap().len(), 8);
}

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
async fn a_score_that_does_not_fit_the_outputs_is_the_servers_mistake() {
    let world = world().await;
    for (fallback, words) in [
        (
            json!({ "n": 0 }),
            r#"of the fallback does not fit the output "m": it has nothing at "/m"."#,
        ),
        (json!({ "n": 0.5 }), r#"output "n": "/n" is not written as a whole number"#),
        (
            json!({ "n": 0, "m": [[1, 2]] }),
            r#"output "m": "/m" has 1 elements where the shape has 2"#,
        ),
    ] {
        let mut unfit: Value = serde_json::from_str(&configuration()).unwrap();
        unfit["schedule"]["fallback"] = fallback;
        unfit["schedule"]["deadline_ms"] = json!(300);
        world.publish(&unfit.to_string()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        refused(&infer(&world, &rows(1)).await, 500, words);
    }
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

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_tensors_says_so() {
    let world = World::new().await;
    world.model("a@1", Echo(10, ""));
    refused(&infer(&world, &rows(1)).await, 400, "its configuration has no \"tensors\"");
    refused(&world.get("/v2/models/e/ready").await, 400, "no \"tensors\"");
    let metadata = json!({ "name": "e", "versions": [], "platform": "rendezvous", "inputs": [],
        "outputs": [] });
    assert_eq!(world.get("/v2/models/e").await.body, metadata);
}

#[tokio::test(start_paused = true)]
async fn server_and_models_are_described() {
    let world = world().await;
    let server = world.get("/v2").await.body;
    assert_eq!((&server["name"], &server["extensions"]), (&json!("rendezvous"), &json!([])));
    assert_eq!(world.get("/v2/").await.body, server);
    assert_eq!(world.get("/v2/health/live").await.body, json!({ "live": true }));
    assert_eq!(world.get("/v2/health/ready").await.body, json!({ "ready": true }));
    assert_eq!(world.get("/v2/models/e/ready").await.body, json!({ "name": "e", "ready": true }));
    let metadata = world.get("/v2/models/e").await.body;
    let m = json!({ "name": "m", "datatype": "FP32", "shape": [-1, 2, 2] });
    assert_eq!((&metadata["inputs"][2], &metadata["outputs"][1]), (&m, &m));
    let model = json!({ "name": "model", "datatype": "BYTES", "shape": [-1, 1] });
    assert_eq!(metadata["outputs"][4], model);
    let head = world.call(Method::HEAD, "/v2/models/e", &[], "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    world.system.endpoints.outage.set(Trouble::Down);
    tokio::time::sleep(Duration::from_secs(2)).await;
    refused(&world.get("/v2/health/ready").await, 503, "Try again in a second");
    assert_eq!(world.get("/v2/health/live").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_an_error_of_the_protocol() {
    let world = world().await;
    world.model("a@1", Echo(10, ""));
    let body = rows(1).to_string();
    for path in ["/v2/models/nobody/infer", "/v2/models/No%20Body/infer"] {
        refused(&world.call(Method::POST, path, &[], &body).await, 404, "There is no endpoint");
    }
    for path in ["/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/nobody/versions/1"] {
        refused(&world.get(path).await, 404, "There is no endpoint nobody.");
    }
    for (method, path) in [
        (Method::GET, "/v2/models/e/versions/1"),
        (Method::GET, "/v2/models/e/versions/a@1/ready"),
        (Method::POST, "/v2/models/e/versions/a@1/infer"),
    ] {
        let reply = world.call(method, path, &[], &body).await;
        refused(&reply, 404, "e has no versions that can be asked for");
    }
    refused(&world.get("/v2/models").await, 404, "POST /v2/models/{endpoint}/infer");
    refused(&world.get("/v2/models/%ff").await, 400, "percent-encoded");
    let reply = world.get("/v2/models/e/infer").await;
    assert_eq!(reply.headers["allow"], "POST");
    refused(&reply, 405, "Use POST, not GET");
    let reply = world.call(Method::DELETE, "/v2", &[], "").await;
    assert_eq!(reply.headers["allow"], "GET, HEAD");
    // tritonclient's asynchronous client declares bytes.
    let bytes = [("content-type", "application/octet-stream")];
    assert_eq!(infer_with(&world, &rows(1), &bytes).await.status, 200);
    let other = [("content-type", "text/plain")];
    refused(&infer_with(&world, &rows(1), &other).await, 415, "application/json");
    refused(&world.call(Method::POST, "/v2/models/e/infer", &[], "{").await, 400, "not JSON");
}
