//! HTTP over real sockets: malformed input, and how the server ends.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rendezvous_core::{RequestId, Unavailable, clock, memory::Trouble, now};
use rendezvous_local::{http, ready::not_ready};
use rendezvous_tests::{Does, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

struct Server {
    world: World,
    /// What trying to store a file gives.
    archive: Arc<Mutex<Result<(), Unavailable>>>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

async fn server() -> Server {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let (system, archive) = (world.system.clone(), Arc::new(Mutex::new(Ok(()))));
    let ready = {
        let (system, archive) = (system.clone(), archive.clone());
        move || {
            let (system, archive) = (system.clone(), archive.lock().unwrap().clone());
            async move { not_ready(&system, archive).await }
        }
    };
    let served = tokio::spawn(http::serve(system, ready, listener, stopped));
    Server { world, archive, address, stop, served }
}

impl Server {
    /// Sends bytes on a connection of their own and reads until the server closes it.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may refuse and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/endpoints/e/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

#[tokio::test]
async fn bad_bytes_get_a_status_and_good_ones_still_an_answer() {
    let server = server().await;
    server.world.model("a@1", Does::Score(0));
    let long_header = |bytes| format!("X: {}\r\n", "x".repeat(bytes));
    for (bytes, expected, words) in [
        (b"this is no HTTP\r\n\r\n".to_vec(), "400", ""),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(), "400", ""),
        // The library refuses a head of so many bytes itself, without a body.
        (post(&long_header(1_000_000), b"{}"), "431", ""),
        (post(&long_header(10_300), b"{}"), "431", "larger than 10240 bytes"),
        (get(&"x".repeat(10_300)), "414", "longer than 10240 bytes"),
        (post("Bad Header\r\n", b"{}"), "400", ""),
        (post("", &vec![b'1'; 10_000_000]), "413", "larger than 5000000 bytes"),
        (post("", &vec![b'1'; 5_000_001]), "413", "larger than 5000000 bytes"),
        (post("", b"{\"a\": \"\xff\xfe\"}"), "400", "not UTF-8"),
        (post("", b"\x00"), "400", "not JSON"),
        (post("Rendezvous-Deadline-Ms: 0\r\n", b"{}"), "400", "whole number"),
        (post("Rendezvous-Key: ä\r\n", b"{}"), "200", "champion"),
    ] {
        let answer = server.send(&bytes).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains(words), "{words:?} is not in {answer}");
        if !words.is_empty() && expected != "200" {
            assert!(answer.contains("application/problem+json"), "{answer}");
            assert!(answer.contains("\"request\":\"0"), "it names the request: {answer}");
        }
        let good = server.send(&post("", b"{}")).await;
        assert_eq!(status(&good), "200", "{good}");
        assert!(good.contains("\"reason\":\"preferred\""), "{good}");
    }
}

#[tokio::test]
async fn what_a_page_of_another_site_could_send_is_refused() {
    let server = server().await;
    server.world.model("a@1", Does::Score(0));
    let good = String::from_utf8(post("", b"{}")).unwrap();
    let foreign = good.replace("Host: localhost", "Host: evil.example:8080");
    assert_eq!(status(&server.send(foreign.as_bytes()).await), "421");
    let form = good.replace("Content-Type: application/json\r\n", "");
    assert_eq!(status(&server.send(form.as_bytes()).await), "415");
    let outcome = format!("PUT /v1/endpoints/e/requests/{}/outcome", RequestId::random());
    let outcome = form.replace("POST /v1/endpoints/e/requests", &outcome);
    assert_eq!(status(&server.send(outcome.as_bytes()).await), "415");
    // A method that is not allowed is that, whatever the body is.
    let health = form.replace("POST /v1/endpoints/e/requests", "POST /health");
    assert_eq!(status(&server.send(health.as_bytes()).await), "405");
    for host in ["127.0.0.1:8080", "localhost:1", "[::1]:8080"] {
        let local = good.replace("Host: localhost", &format!("Host: {host}"));
        assert_eq!(status(&server.send(local.as_bytes()).await), "200", "{host}");
    }
}

/// The usual clients of the Open Inference Protocol send no content type; a page in a browser cannot
/// leave out the origin.
#[tokio::test]
async fn a_call_of_the_inference_protocol_need_not_declare_json_unless_a_page_makes_it() {
    let server = server().await;
    let infer = String::from_utf8(post("", b"{}")).unwrap();
    let infer = infer.replace("/v1/endpoints/e/requests", "/v2/models/e/infer");
    let undeclared = infer.replace("Content-Type: application/json\r\n", "");
    let answer = server.send(undeclared.as_bytes()).await;
    assert!(status(&answer) == "400" && answer.contains("/inputs is missing"), "{answer}");
    for origin in ["https://evil.example", "null"] {
        let with = format!("Origin: {origin}\r\nContent-Length");
        let answer = server.send(undeclared.replace("Content-Length", &with).as_bytes()).await;
        assert!(status(&answer) == "415" && answer.contains("{\"error\":\"Send"), "{answer}");
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let form = infer.replace("Content-Type: application/json\r\n", form);
    assert_eq!(status(&server.send(form.as_bytes()).await), "415");
}

#[tokio::test]
async fn what_is_refused_before_ingress_has_the_form_of_its_protocol() {
    let server = server().await;
    let large = post("", &vec![b'1'; 5_000_001]);
    let head = b"POST /v1/endpoints/e/requests".len();
    let infer = [b"POST /v2/models/e/infer", &large[head..]].concat();
    let answer = server.send(&infer).await;
    assert!(status(&answer) == "413" && answer.contains("{\"error\":\"The body"), "{answer}");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    let answer = server.send(&get(&format!("v2/{}", "x".repeat(10_300)))).await;
    assert!(status(&answer) == "414" && answer.contains("{\"error\":"), "{answer}");
    assert!(server.send(&get("v2x")).await.contains("application/problem+json"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_lost_to_its_client_alone() {
    let server = server().await;
    let a = server.world.model("a@1", Does::Score(0));
    let whole = post("", b"{\"n\": 1}");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&whole[..whole.len() - 3]).await.unwrap();
    drop(stream);
    assert_eq!(status(&server.send(&post("", b"{}")).await), "200");
    assert_eq!(a.asked().len(), 1, "an incomplete body is not sent to the models");
}

#[tokio::test]
async fn a_server_that_ends_answers_what_is_in_flight() {
    let server = server().await;
    let a = server.world.model("a@1", Does::Score(50));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&post("", b"{}")).await.unwrap();
    while a.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    server.stop.send(true).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), "200", "{answer}");
    server.served.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn the_deadline_of_a_body_that_arrives_slowly_begins_when_it_has_arrived() {
    clock::simulate(now());
    let server = server().await;
    server.world.model("a@1", Does::Score(0));
    let whole = post("", b"{\"n\": 1}");
    let (first, rest) = whole.split_at(whole.len() - 3);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(first).await.unwrap();
    // The head has been read, as this answer shows.
    assert_eq!(status(&server.send(&post("", b"{}")).await), "200");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    tokio::time::resume();
    stream.write_all(rest).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.contains("\"reason\":\"preferred\""), "{answer}");
}

#[tokio::test]
async fn a_server_is_ready_when_models_ledger_and_archive_work() {
    let server = server().await;
    let ask = async || server.send(&get("ready")).await;
    let answer = ask().await;
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(answer.contains("a@1 of e is not up"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let answer = server.send(&get("v2/health/ready")).await;
    assert!(status(&answer) == "503" && answer.contains("{\"error\":\"Not ready: a@1"), "{answer}");
    for model in ["a@1", "b@1", "c@1", "d@1"] {
        server.world.model(model, Does::Score(0));
    }
    let answer = ask().await;
    assert!(status(&answer) == "200" && answer.ends_with("{\"status\":\"ready\"}"), "{answer}");
    let answer = server.send(&get("v2/health/ready")).await;
    assert!(status(&answer) == "200" && answer.ends_with("{\"ready\":true}"), "{answer}");

    *server.archive.lock().unwrap() = Err(Unavailable::throttled("archive", "disk full"));
    let answer = ask().await;
    assert!(status(&answer) == "503" && answer.contains("disk full"), "{answer}");
    *server.archive.lock().unwrap() = Ok(());

    let model = "a@1".parse().unwrap();
    server.world.system.faults(&model).unwrap().kill(true);
    assert!(ask().await.contains("a@1 of e is stopped"));
    server.world.system.faults(&model).unwrap().kill(false);

    server.world.system.ledger.outage.set(Trouble::Down);
    let answer = ask().await;
    assert!(status(&answer) == "503" && answer.contains("ledger"), "{answer}");
}

#[tokio::test]
async fn a_model_that_scores_nothing_is_not_ready() {
    let server = server().await;
    let a = server.world.model("a@1", Does::Fail(0));
    for model in ["b@1", "c@1", "d@1"] {
        server.world.model(model, Does::Score(0));
    }
    assert_eq!(status(&server.send(&post("", b"{}")).await), "200");
    while a.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let answer = server.send(&get("ready")).await;
    assert!(answer.contains("a@1 of e scored none of its last requests"), "{answer}");
}

#[tokio::test]
async fn the_counters_are_answered_in_the_format_of_prometheus() {
    let server = server().await;
    server.world.model("a@1", Does::Score(0));
    assert_eq!(status(&server.send(&post("", b"{\"p\":1}")).await), "200");
    let answer = server.send(&get("metrics")).await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    for line in [
        "rendezvous_ingress_answers_total{kind=\"champion\"} 1",
        "rendezvous_ingress_answers_total{kind=\"none\"} 0",
        "# TYPE rendezvous_model_scored_total counter",
        "rendezvous_model_scored_total{model=\"a@1\"} 1",
        "rendezvous_model_failing{model=\"a@1\"} 0",
        "# TYPE rendezvous_decoy_longest_lag_seconds gauge",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} is missing in {body}");
    }
    // Each metric has its help and its type before its samples, once.
    let mut family = "";
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
            assert_eq!(body.matches(&format!("# HELP {family} ")).count(), 1, "{family}");
        } else if let Some(type_) = line.strip_prefix("# TYPE ") {
            let (name, kind) = type_.split_once(' ').unwrap();
            assert_eq!((name, kind == "counter"), (family, family.ends_with("_total")));
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next().unwrap(), family);
            value.parse::<f64>().unwrap();
        }
    }
    let posted =
        server.send(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&posted.await), "405");
}
