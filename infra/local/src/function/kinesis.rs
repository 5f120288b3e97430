//! As much of the API of Kinesis as a model needs: `PutRecords` and `PutRecord` on the stream of scores.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming};
use rendezvous_core::{
    ScoreMessage,
    memory::MemoryStream,
    now,
    ports::{Record, Stream},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
    task::AbortHandle,
};

use super::server::{connection, serve};

/// The limits of `PutRecords`: records, bytes of all, bytes of one.
const MAX_RECORDS: usize = 500;
const MAX_CALL: usize = 10 * 1024 * 1024;
const MAX_RECORD: usize = 1024 * 1024;

/// How long the stream may take.
const PUT_WITHIN: Duration = Duration::from_secs(5);

/// A message that was put, and the function that has put it, by the access key that it was given.
#[derive(Debug)]
pub struct Put {
    pub function: String,
    /// None if the record is no score: nobody can read it.
    pub message: Option<ScoreMessage>,
}

/// A server on a free port of the loopback interface, until it is dropped.
pub(crate) struct KinesisApi {
    pub(crate) address: SocketAddr,
    server: AbortHandle,
}

impl Drop for KinesisApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl KinesisApi {
    /// Serves `stream`, and tells of every record that was put.
    pub(crate) async fn start(
        stream: Arc<MemoryStream>,
        tells: mpsc::UnboundedSender<Put>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let calls = Calls::new(stream, tells);
        let answer = move |request| calls.clone().answer(request);
        let server = tokio::spawn(serve(listener, answer)).abort_handle();
        Ok(Self { address, server })
    }
}

/// The calls of functions.
pub struct Calls {
    stream: Arc<MemoryStream>,
    tells: mpsc::UnboundedSender<Put>,
}

/// An error as the SDKs read it.
struct Refused {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refused {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind, message: message.into() }
    }

    fn response(self) -> Response<Full<Bytes>> {
        let Self { status, kind, message } = self;
        rendered(status, &json!({ "__type": kind, "message": message }))
    }
}

fn rendered(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords {
    #[serde(alias = "StreamARN")]
    stream_name: String,
    records: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord {
    #[serde(alias = "StreamARN")]
    stream_name: String,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    data: String,
    partition_key: String,
}

impl Calls {
    /// Calls that put on `stream`, and tell of every record that was put.
    pub fn new(stream: Arc<MemoryStream>, tells: mpsc::UnboundedSender<Put>) -> Arc<Self> {
        Arc::new(Self { stream, tells })
    }

    /// Answers the calls on one connection until it is closed.
    pub async fn connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        connection(stream, |request| self.clone().answer(request)).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.perform(request).await.unwrap_or_else(Refused::response)
    }

    async fn perform(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refused> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_CALL * 4 / 3).collect().await;
        let body = body
            .map_err(|_| Refused::new("ValidationException", "the call is larger than 10 MiB"))?;
        let (body, function) = (body.to_bytes(), function(&head.headers));
        let unread = |error: serde_json::Error| {
            Refused::new("SerializationException", format!("the call cannot be read: {error}"))
        };
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let target = target.unwrap_or_default();
        match target.rsplit('.').next() {
            Some("PutRecords") => {
                let call: PutRecords = serde_json::from_slice(&body).map_err(unread)?;
                let places = self.put(&call.stream_name, call.records, &function).await?;
                let body = json!({ "FailedRecordCount": 0, "Records": places });
                Ok(rendered(StatusCode::OK, &body))
            }
            Some("PutRecord") => {
                let call: PutRecord = serde_json::from_slice(&body).map_err(unread)?;
                let mut places = self.put(&call.stream_name, vec![call.entry], &function).await?;
                Ok(rendered(StatusCode::OK, &places.pop().unwrap_or_default()))
            }
            _ => Err(Refused::new(
                "UnknownOperationException",
                format!("{target:?} is not known here: PutRecords and PutRecord are"),
            )),
        }
    }

    /// Puts records on the stream, all or none, and says where each is.
    async fn put(
        &self,
        name: &str,
        entries: Vec<Entry>,
        function: &str,
    ) -> Result<Vec<Value>, Refused> {
        let name = name.rsplit('/').next().unwrap_or_default();
        let own = self.stream.name();
        if name != own {
            let what = format!("there is no stream {name:?}: a model puts its scores on {own:?}");
            return Err(Refused::new("ResourceNotFoundException", what));
        }
        if entries.is_empty() || entries.len() > MAX_RECORDS {
            let what = format!("{} records; a call has 1 to {MAX_RECORDS}", entries.len());
            return Err(Refused::new("ValidationException", what));
        }
        let records = entries.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let messages = records.iter().map(|record| ScoreMessage::parse(&record.data).ok());
        let messages: Vec<Option<ScoreMessage>> = messages.collect();
        self.stream.put(records, now() + PUT_WITHIN).await.map_err(|rejected| Refused {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "InternalFailure",
            message: rejected.cause.to_string(),
        })?;
        let place = json!({ "SequenceNumber": "0", "ShardId": "shardId-000000000000" });
        let places = vec![place; messages.len()];
        for message in messages {
            // Nobody listens any more at the end of the system.
            let _ = self.tells.send(Put { function: function.to_owned(), message });
        }
        Ok(places)
    }
}

/// A record of a call.
fn record(entry: Entry) -> Result<Record, Refused> {
    let Entry { data, partition_key } = entry;
    let wrong = |what: String| Refused::new("ValidationException", what);
    let data = BASE64_STANDARD.decode(data).map_err(|error| wrong(format!("Data: {error}")))?;
    if data.len() > MAX_RECORD {
        return Err(wrong(format!("a record of {} bytes; at most {MAX_RECORD}", data.len())));
    }
    let key = partition_key.parse().map_err(|error| wrong(format!("PartitionKey: {error}")))?;
    Ok(Record { key, data: data.into() })
}

/// The access key with which a call is signed. Each function was given its own name as its key.
fn function(headers: &HeaderMap) -> String {
    let signed = headers.get("authorization").and_then(|value| value.to_str().ok());
    let credential = signed.and_then(|signed| signed.split_once("Credential="));
    let name = credential.and_then(|(_, rest)| rest.split('/').next());
    name.unwrap_or("an unknown function").to_owned()
}
