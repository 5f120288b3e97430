//! What the message on the stream `input` says of a request, and what a plain request costs.

use std::{sync::Arc, time::Duration};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use http::{HeaderValue, Method};
use rendezvous_archive::ScoreRow;
use rendezvous_core::{
    Envelope, Minute, RequestId, RequestMessage, ScoreMessage, Timestamp,
    conformance::samples,
    memory::{Position, Trouble},
    now,
    ports::WindowTable,
};
use rendezvous_tests::{Does::Score, Reply, World, rows};
use serde_json::value::to_raw_value;
use tokio::time::{advance, sleep};

use crate::{taken, world};

/// A call that API Gateway received then, with this trace context.
fn event(received: Timestamp, traceparent: &str) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    event.request_context.http.method = Method::POST;
    event.request_context.http.path = Some("/v1/endpoints/e/requests".to_owned());
    event.request_context.time_epoch = received.as_micros() / 1_000;
    event.headers.insert("traceparent", HeaderValue::from_str(traceparent).unwrap());
    event.body = Some("{}".to_owned());
    event
}

/// The envelope on the stream, and the answer.
async fn sent(world: &World, event: ApiGatewayV2httpRequest) -> (Arc<Envelope>, Reply) {
    let lanes = world.system.input.subscribe(Position::Latest, 1);
    let reply = world.send(event).await;
    let records = taken(lanes).await;
    assert_eq!(records.len(), 1, "{reply:?}");
    (RequestMessage::parse(&records[0].data).unwrap().envelope, reply)
}

#[tokio::test(start_paused = true)]
async fn a_trace_context_is_handed_on_where_it_is_well_formed() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (envelope, _) = sent(&world, event(now(), good)).await;
    assert_eq!(envelope.traceparent.as_deref(), Some(good));
    for bad in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7a-01",
        "00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bg-01",
        "",
    ] {
        let (envelope, _) = sent(&world, event(now(), bad)).await;
        assert_eq!(envelope.traceparent, None, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_received_when_api_gateway_says_where_that_is_plausible() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    // API Gateway tells whole milliseconds.
    advance(Duration::from_micros(1_000 - now().as_micros().unsigned_abs() % 1_000)).await;
    for plausible in [0, 20, 29_000] {
        let gateway = now() - Duration::from_millis(plausible);
        let (envelope, _) = sent(&world, event(gateway, "")).await;
        assert_eq!(envelope.received, gateway, "{plausible} ms ago");
        assert_eq!(envelope.deadline, gateway + Duration::from_secs(1));
    }
    let implausible: [fn(Timestamp) -> Timestamp; 3] = [
        |now| now - Duration::from_millis(29_001),
        |now| now + Duration::from_millis(1),
        |_| Timestamp::default(),
    ];
    for implausible in implausible {
        let begin = now();
        let (envelope, _) = sent(&world, event(implausible(begin), "")).await;
        assert_eq!(envelope.received, begin, "{}", implausible(begin));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_after_its_deadline_gets_the_time_to_be_sent_and_settled() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    // Twice the margin of 5 ms: the first half to send, the second to settle.
    world.system.input.outage.set(Trouble::Slow(Duration::from_millis(4)));
    let (_, reply) = sent(&world, event(now() - Duration::from_secs(5), "")).await;
    reply.is("fallback deadline", 4.0..=10.0);
}

#[tokio::test(start_paused = true)]
async fn a_plain_request_costs_no_write_of_its_own_and_a_silent_one_two_reads() {
    let (world, _) = world(Score(10), Score(20), Score(30), Score(40)).await;
    let (_, writes) = world.system.ledger.calls();
    world.ask("{}").await.is("a@1 preferred", 10.0..=15.0);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.system.ledger.calls().1, writes + 1, "rendezvous settles it");

    let silent = World::new().await;
    silent.ask("{}").await.is("fallback deadline", 990.0..=1_000.0);
    assert_eq!(silent.system.ledger.calls(), (2, 1), "at the begin and a margin before the end");
}

#[tokio::test(start_paused = true)]
async fn the_score_of_a_replay_that_comes_by_the_live_stream_is_nowhere_but_in_quarantine() {
    let (world, _) = world(Score(10), Score(10), Score(10), Score(10)).await;
    let (envelope, _) = sent(&world, event(now(), "")).await;
    let replay =
        Envelope { id: RequestId::random(), replay: Some(envelope.id), ..(*envelope).clone() };
    let score = samples::score("z@1", "{\"p\":1}");
    let message = ScoreMessage::write(&to_raw_value(&replay).unwrap(), &score, None).unwrap();
    world.put(&world.system.scores, replay.key.as_str(), &message).await;
    world.drain().await;
    let files = world.system.archive.files();
    let scores: Vec<ScoreRow<'_>> = rows(&files);
    assert_eq!(scores.len(), 4);
    assert!(scores.iter().all(|row| row.request_id != replay.id && row.model != score.model));
    assert!(files.iter().any(|(name, _)| name.starts_with("quarantine/scores/")));
    assert_eq!(world.read(replay.id).await.status, 404);
    let minutes = Minute::of(Timestamp::default())..Minute::of(now() + Duration::from_hours(1));
    let windows = world.system.windows.read("e/models", minutes, 100).await.unwrap();
    let of_models: Vec<_> = windows.iter().map(|window| window.key.part.as_str()).collect();
    assert!(!of_models.is_empty() && of_models.iter().all(|part| !part.contains("z@1")));
}
