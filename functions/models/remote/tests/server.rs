//! A model on a server that answers well, refuses, hangs, or is not there.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rendezvous_core::{Failure, FailureKind, Json};
use rendezvous_model::Model;
use rendezvous_remote::{RemoteCard, RemoteModel};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A server whose model doubles `x`. What the first `x` of a call is decides what goes wrong.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

const REFUSED: f64 = -1.0;
const HANGING: f64 = -2.0;
const UNAVAILABLE: f64 = -3.0;

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, calls) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (accepted, answered) = (connections.clone(), calls.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, answered.clone()));
            }
        });
        Self { port, connections, calls }
    }

    fn model(&self) -> RemoteModel {
        model(self.port)
    }
}

fn model(port: u16) -> RemoteModel {
    let card = json!({
        "model": "r@1", "about": "A test.", "engine": "remote", "endpoints": ["e"],
        "url": format!("http://127.0.0.1:{port}/v2/models/m"), "timeout_ms": 500,
        "tensors": {
            "inputs": [{ "name": "x", "datatype": "FP64", "shape": [-1, 1], "field": "/x" }],
            "outputs": [{ "name": "y", "datatype": "FP64", "shape": [-1, 1], "field": "/y" }],
        },
    });
    RemoteModel::new(RemoteCard::parse(&card.to_string()).unwrap()).unwrap()
}

async fn serve(stream: TcpStream, calls: Arc<AtomicUsize>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        calls.fetch_add(1, Ordering::Relaxed);
        let call: Value = serde_json::from_slice(&body).unwrap();
        let data: Vec<f64> = serde_json::from_value(call["inputs"][0]["data"].clone()).unwrap();
        let (status, answer) = match data[0] {
            REFUSED => ("400 Bad Request", json!({ "error": "no such input" })),
            UNAVAILABLE => ("503 Service Unavailable", json!({})),
            HANGING => std::future::pending().await,
            _ => {
                let doubled: Vec<f64> = data.iter().map(|x| x * 2.0).collect();
                let output = json!({ "name": "y", "datatype": "FP64", "shape": [data.len(), 1], "data": doubled });
                ("200 OK", json!({ "model_name": "m", "model_version": "3", "outputs": [output] }))
            }
        };
        let answer = answer.to_string();
        let reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        stream.get_mut().write_all(reply.as_bytes()).await.unwrap();
    }
}

async fn score(model: &RemoteModel, payloads: &[&str]) -> Vec<Result<String, Failure>> {
    let payloads: Vec<Json> = payloads.iter().map(|text| Json::parse(text).unwrap()).collect();
    let scores = model.score(&payloads).await;
    scores.into_iter().map(|score| score.map(|json| json.as_str().to_owned())).collect()
}

fn failure(scores: &[Result<String, Failure>]) -> &str {
    let failure = scores[0].as_ref().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Failed);
    &failure.message
}

#[tokio::test]
async fn the_artifact_is_the_version_that_the_server_names() {
    let server = Server::start().await;
    let model = server.model();
    assert_eq!(model.artifact(), None);
    score(&model, &[r#"{"x":1}"#]).await;
    assert_eq!(model.artifact().unwrap().as_str(), "version:3");
}

#[tokio::test]
async fn a_batch_is_one_call_and_a_payload_that_does_not_fit_fails_alone() {
    let server = Server::start().await;
    let scores = score(&server.model(), &[r#"{"x":1}"#, "{}", r#"{"x":2.5}"#]).await;
    assert_eq!(scores[0].as_deref(), Ok(r#"{"y":2.0}"#));
    let missing = scores[1].as_ref().unwrap_err();
    assert_eq!((missing.kind, &*missing.message), (FailureKind::Invalid, "/x is missing"));
    assert_eq!(scores[2].as_deref(), Ok(r#"{"y":5.0}"#));
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::start().await;
    let model = server.model();
    for _ in 0..5 {
        assert!(score(&model, &[r#"{"x":1}"#]).await[0].is_ok());
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn no_more_calls_run_at_a_time_than_the_card_allows() {
    let server = Server::start().await;
    let model = server.model();
    let hanging = format!("{{\"x\":{HANGING}}}");
    let hanging = [&*hanging];
    // The card allows four calls; a fifth waits.
    let calls = (0..5).map(|_| score(&model, &hanging));
    let calls = futures_util::future::join_all(calls);
    assert!(timeout(Duration::from_millis(300), calls).await.is_err());
    assert_eq!(server.calls.load(Ordering::Relaxed), 4);
    // A server that answers no call in time is down.
    let expected = "the server is not called, because it is down: it did not answer in time";
    assert_eq!(failure(&score(&model, &[r#"{"x":1}"#]).await), expected);
}

#[tokio::test]
async fn a_refused_call_says_why_and_the_next_is_made() {
    let server = Server::start().await;
    let model = server.model();
    for _ in 0..5 {
        let refused = score(&model, &[&*format!("{{\"x\":{REFUSED}}}")]).await;
        assert_eq!(failure(&refused), "the server answered 400: no such input");
    }
    assert!(score(&model, &[r#"{"x":1}"#]).await[0].is_ok());
}

#[tokio::test]
async fn a_server_that_is_down_is_not_called() {
    let server = Server::start().await;
    let model = server.model();
    let unavailable = format!("{{\"x\":{UNAVAILABLE}}}");
    for _ in 0..3 {
        let scores = score(&model, &[&*unavailable]).await;
        assert_eq!(failure(&scores), "the server answered 503");
    }
    let scores = score(&model, &[r#"{"x":1}"#]).await;
    let expected = "the server is not called, because it is down: the server answered 503";
    assert_eq!(failure(&scores), expected);
    assert_eq!(server.calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_not_to_be() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let scores = score(&model(free), &[r#"{"x":1}"#]).await;
    assert!(failure(&scores).contains("Connection refused"), "{scores:?}");
}
