//! What is described, and what is refused in which words.

use std::time::Duration;

use http::Method;
use rendezvous_core::memory::Trouble;
use rendezvous_tests::{Does::Echo, World};
use serde_json::{Value, json};

use crate::{infer, infer_with, refused, rows, world};

/// Asks for three rows with each of these changes.
async fn changes_are_refused(changes: &[(&str, Value, &str)]) {
    let world = world().await;
    world.model("a@1", Echo(10, ""));
    for (pointer, wrong, words) in changes {
        let mut body = rows(3);
        *body.pointer_mut(pointer).unwrap() = wrong.clone();
        refused(&infer(&world, &body).await, 400, words);
    }
    assert_eq!(infer(&world, &rows(3)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_not_that_of_the_endpoint_is_named() {
    changes_are_refused(&[
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
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_element_is_named_with_its_input_and_row() {
    changes_are_refused(&[
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
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_body_is_named_with_its_place() {
    changes_are_refused(&[
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
    ])
    .await;
    let world = world().await;
    let mut fewer = rows(3);
    fewer["inputs"][3] = rows(2)["inputs"][3].clone();
    refused(&infer(&world, &fewer).await, 400, r#"The input "x" has 2 rows, "n" has 3."#);
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
