//! More requests at a time than the system takes.

use std::time::Duration;

use http::Method;
use rendezvous_core::RequestId;
use rendezvous_sim::Size;
use rendezvous_tests::{
    CONFIGURATION,
    Does::{Hang, Score},
    World,
};
use tokio::time::sleep;

use crate::without_fallback;

/// A world that takes two requests at a time.
async fn world(configuration: &str) -> World {
    let mut size = Size::default();
    size.settings.in_flight = 2;
    World::with(configuration, size).await
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_bound_is_answered_at_once_with_the_fallback() {
    let world = world(CONFIGURATION).await;
    let model = world.model("a@1", Score(50));
    let (first, second, third, fourth) =
        tokio::join!(world.ask("1"), world.ask("2"), world.ask("3"), world.ask("4"));
    first.is("a@1 preferred", 50.0..=60.0);
    second.is("a@1 preferred", 50.0..=60.0);
    for turned_away in [third, fourth] {
        turned_away.is("fallback unavailable unsettled", 0.0..=0.0);
        assert_eq!(turned_away.status, 200);
        assert!(turned_away.body.get("failures").is_none(), "no model was asked");
    }
    world.ask("5").await.is("a@1 preferred", 50.0..=60.0);
    // Requests of different shards are scored in any order.
    let mut asked: Vec<String> =
        model.asked().iter().map(|json| json.as_str().to_owned()).collect();
    asked.sort();
    assert_eq!(asked, ["1", "2", "5"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_it_is_a_429_and_a_second_later_the_repeat_succeeds() {
    let world = world(&without_fallback()).await;
    world.model("a@1", Score(500));
    let key = [("Idempotency-Key", "k")];
    let (_, _, third) = tokio::join!(world.ask("1"), world.ask("2"), world.ask_with("3", &key));
    assert_eq!((third.status, third.took_ms), (429, 0.0), "{third:?}");
    assert_eq!(third.headers["retry-after"], "1");
    assert_eq!(third.body["type"], "urn:rendezvous:problem:busy");
    sleep(Duration::from_secs(1)).await;
    world.ask_with("3", &key).await.is("a@1 preferred", 500.0..=510.0);
}

#[tokio::test(start_paused = true)]
async fn nobody_would_read_a_fallback_of_an_asynchronous_request() {
    let world = world(CONFIGURATION).await;
    world.model("a@1", Hang);
    let asynchronous = [("Prefer", "respond-async")];
    let later = async {
        sleep(Duration::from_millis(10)).await;
        (world.ask_with("3", &asynchronous).await, world.read(RequestId::random()).await)
    };
    let (_, _, (third, read)) = tokio::join!(world.ask("1"), world.ask("2"), later);
    assert_eq!((third.status, third.took_ms), (429, 0.0), "{third:?}");
    assert_eq!(read.status, 404, "reads are not bounded");
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_a_call_are_all_sent_or_none_is() {
    let tensor = |name| {
        format!(r#"[{{"name":"{name}","datatype":"FP64","shape":[-1,1],"field":"/{name}"}}]"#)
    };
    let tensors =
        format!(r#""tensors":{{"inputs":{},"outputs":{}}},"value""#, tensor("x"), tensor("p"));
    let world = world(&without_fallback().replace("\"value\"", &tensors)).await;
    let model = world.model("a@1", Score(50));
    let call = async |rows: usize| {
        let data = vec!["1"; rows].join(",");
        let body = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP64","shape":[{rows},1],"data":[{data}]}}]}}"#
        );
        world.call(Method::POST, "/v2/models/e/infer", &[], &body).await
    };
    let three = call(3).await;
    assert_eq!((three.status, three.took_ms), (429, 0.0), "{three:?}");
    assert!(three.body["error"].as_str().unwrap().contains("As many requests are in work"));
    assert_eq!(model.asked().len(), 0);
    let two = call(2).await;
    assert_eq!(two.status, 200, "{two:?}");
    assert_eq!(model.asked().len(), 2);
}
