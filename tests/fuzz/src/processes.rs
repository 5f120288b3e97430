//! What a function in a process of its own sends: calls of the Runtime API, and of Kinesis.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rendezvous_core::{
    ScoreMessage,
    memory::{MemoryStream, Position},
};
use rendezvous_local::function::{
    kinesis::{self, Put},
    runtime_api::{self, Invocation, Said},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
    join,
    sync::mpsc,
    time::timeout,
};

use crate::system::run;

/// What a client sends.
struct Sent {
    bytes: Vec<u8>,
    /// It is one whole call, which asks the server to close the connection.
    is_whole: bool,
}

/// The first byte says whether the others are calls as they are sent, or the body of a call.
fn calls(bytes: &[u8], heads: &[&str]) -> Option<Sent> {
    let (first, body) = bytes.split_first()?;
    let Some(head) = heads.get(usize::from(*first) % (heads.len() + 1)) else {
        return Some(Sent { bytes: body.to_vec(), is_whole: false });
    };
    let length = body.len();
    let head = format!("POST {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    Some(Sent { bytes: [head.as_bytes(), body].concat(), is_whole: true })
}

/// Sends calls, and returns the status of each answer. Unless the server is to close the connection, the client
/// closes its half, which ends the calls that are not answered yet.
async fn answers(client: DuplexStream, calls: &Sent) -> Vec<u16> {
    let (mut reads, mut writes) = split(client);
    let mut answered = Vec::new();
    let write = async {
        // The server may have closed the connection.
        let _ = writes.write_all(&calls.bytes).await;
        if !calls.is_whole {
            let _ = writes.shutdown().await;
        }
    };
    let read = timeout(Duration::from_mins(5), reads.read_to_end(&mut answered));
    let ((), read) = join!(write, read);
    assert!(read.is_ok(), "the server neither answers nor closes");
    let text = String::from_utf8_lossy(&answered);
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
    let status = |answer: &str| answer.get(2..5).and_then(|status| status.parse().ok());
    text.split("HTTP/1.").filter_map(status).collect()
}

/// A process with one event to handle: what it is told was taken is heard, in order, and nothing else.
pub(crate) fn runtime_api(bytes: &[u8]) {
    let heads = [
        "/2018-06-01/runtime/invocation/i/response HTTP/1.1\r\nHost: h",
        "/2018-06-01/runtime/invocation/i/error HTTP/1.1\r\nHost: h",
        "/2018-06-01/runtime/init/error HTTP/1.1\r\nHost: h",
    ];
    let Some(sent) = calls(bytes, &heads) else { return };
    run(async {
        let (calls, invocations, mut said) = runtime_api::Calls::new();
        let event = Bytes::from_static(b"{}");
        let function = "a@1".to_owned();
        let event = Invocation { id: "i".to_owned(), event, deadline_ms: 1, function };
        invocations.send(event).await.unwrap();
        drop(invocations);
        let (client, server) = duplex(1 << 12);
        let heard = async {
            let mut heard = Vec::new();
            while let Some(each) = said.recv().await {
                heard.push(each);
            }
            heard
        };
        let (statuses, (), heard) = join!(answers(client, &sent), calls.connection(server), heard);
        let known = [200, 202, 400, 404, 410, 413, 414, 431];
        assert!(statuses.iter().all(|status| known.contains(status)), "{statuses:?}");
        let ready = heard.iter().filter(|said| matches!(said, Said::Ready)).count();
        let count = |wanted: &[u16]| statuses.iter().filter(|s| wanted.contains(s)).count();
        // A call that is cut off may be heard and not answered.
        assert!(count(&[202]) <= heard.len() - ready, "{statuses:?} {heard:?}");
        assert!(count(&[200]) <= 1 && count(&[200, 410]) <= ready, "{statuses:?} {heard:?}");
        let body = bytes.split_first().map_or(&[][..], |(_, body)| body);
        match bytes[0] % 4 {
            0 => assert!(
                matches!(&heard[..], [Said::Response { id, body: b }] if id == "i" && b == body)
            ),
            1 => assert!(
                matches!(&heard[..], [Said::Failed { id, error }] if id == "i" && error == body)
            ),
            2 => assert!(matches!(&heard[..], [Said::NotStarted { error }] if error == body)),
            _ => {}
        }
    });
}

/// A function that puts its scores: what it is told was put is on the stream, all of a call or nothing.
pub(crate) fn put_records(bytes: &[u8]) {
    let heads = [
        "/ HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\nAuthorization: AWS4 Credential=a@1/x",
        "/ HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecord",
    ];
    let Some(sent) = calls(bytes, &heads) else { return };
    run(async {
        let stream = Arc::new(MemoryStream::new("scores", 1));
        let subscriptions = stream.subscribe(Position::Latest, 1);
        let (tells, mut told) = mpsc::unbounded_channel();
        let calls = kinesis::Calls::new(stream.clone(), tells);
        let (client, server) = duplex(1 << 12);
        let (statuses, ()) = join!(answers(client, &sent), calls.connection(server));
        let known = [200, 400, 414, 431];
        assert!(statuses.iter().all(|status| known.contains(status)), "{statuses:?}");
        let mut puts = Vec::new();
        while let Some(Put { function, message }) = told.recv().await {
            assert!(!function.is_empty());
            puts.push(format!("{message:?}"));
        }
        assert!(!statuses.contains(&200) || !puts.is_empty(), "{statuses:?}");
        let next = subscriptions[0].next(usize::MAX, usize::MAX, Duration::ZERO);
        let records = timeout(Duration::from_millis(1), next).await.unwrap_or_default();
        let stored =
            records.iter().map(|record| format!("{:?}", ScoreMessage::parse(&record.data).ok()));
        assert_eq!(stored.collect::<Vec<_>>(), puts);
    });
}
