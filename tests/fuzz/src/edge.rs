//! The HTTP server of the local system, on a connection in memory.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rendezvous_core::{
    Configuration, Json, Provenance, memory::MemoryArchive, ports::EndpointTable,
};
use rendezvous_local::http::answer;
use rendezvous_sim::{Size, System};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::Semaphore,
    time::timeout,
};

use crate::system::run;

/// A request is answered with the fallback at its deadline, in virtual time.
const CONFIGURATION: &str =
    r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100,"fallback":{"p":0.22}}}"#;

/// Any bytes that a client sends before it closes its half of the connection: the answer is HTTP with a status
/// that is not the system's mistake, or there is none.
pub(crate) fn connection(bytes: &[u8]) {
    run(async {
        let system = Arc::new(System::start(Arc::new(MemoryArchive::default()), &Size::default()));
        let configuration = Configuration::parse(CONFIGURATION).unwrap();
        let provenance = Provenance::new("a person", "").unwrap();
        let name = "e".parse().unwrap();
        system.endpoints.publish(&name, configuration, provenance, None).await.unwrap();
        let (client, server) = duplex(1 << 16);
        let (large, peer) = (Arc::new(Semaphore::new(16)), SocketAddr::from(([127, 0, 0, 1], 1)));
        let of_connection = system.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (system, large) = (of_connection.clone(), large.clone());
            async move {
                let ready = async || Vec::new();
                Ok::<_, Infallible>(answer(system, &ready, &large, peer, request).await)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let task = tokio::spawn(connection);
        let (mut reads, mut writes) = tokio::io::split(client);
        // The server may have closed the connection.
        let _ = writes.write_all(bytes).await;
        let _ = writes.shutdown().await;
        let mut answered = Vec::new();
        let read = timeout(Duration::from_mins(5), reads.read_to_end(&mut answered)).await;
        assert!(read.is_ok(), "the server neither answers nor closes");
        check(&answered);
        let _ = task.await;
        system.stop().await;
    });
}

/// Every answer of a connection begins with a status.
fn check(answered: &[u8]) {
    let text = String::from_utf8_lossy(answered);
    if text.is_empty() {
        return;
    }
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    let status: u16 = status.and_then(|status| status.parse().ok()).expect("a status");
    assert!(![500, 502].contains(&status), "{text}");
    if let Some((head, body)) = text.split_once("\r\n\r\n")
        && head.contains("application/problem+json")
        && !text[15..].contains("HTTP/1.")
        && !body.is_empty()
    {
        Json::parse(body).unwrap();
    }
}
