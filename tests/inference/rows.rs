//! What becomes of the rows of a call.

use std::time::Duration;

use http::Method;
use rendezvous_core::{Json, memory::Trouble};
use rendezvous_sim::Size;
use rendezvous_tests::{
    Does::{Echo, Fail, Hang},
    World,
};
use serde_json::{Value, json};

use crate::{configuration, infer, output, refused, rows, without_fallback, world};

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
    let mut asked: Vec<&str> = asked.iter().map(Json::as_str).collect();
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
