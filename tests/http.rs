//! HTTP over real sockets: malformed input, and how the server ends.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::net::SocketAddr;

use rendezvous_local::http;
use rendezvous_tests::{Does, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

struct Server {
    world: World,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

async fn server() -> Server {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(http::serve(world.system.clone(), listener, stopped));
    Server { world, address, stop, served }
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

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

#[tokio::test]
async fn bad_bytes_get_a_status_and_good_ones_still_an_answer() {
    let server = server().await;
    server.world.model("a@1", Does::Score(0));
    let long_header = format!("X: {}\r\n", "x".repeat(1_000_000));
    for (bytes, expected, words) in [
        (b"this is no HTTP\r\n\r\n".to_vec(), "400", ""),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(), "400", ""),
        (post(&long_header, b"{}"), "431", ""),
        (post("Bad Header\r\n", b"{}"), "400", ""),
        (post("", &vec![b'1'; 10_000_000]), "413", "larger than 1000000 bytes"),
        (post("", &vec![b'1'; 2_000_000]), "413", "larger than 1000000 bytes"),
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
    for host in ["127.0.0.1:8080", "localhost:1", "[::1]:8080"] {
        let local = good.replace("Host: localhost", &format!("Host: {host}"));
        assert_eq!(status(&server.send(local.as_bytes()).await), "200", "{host}");
    }
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
