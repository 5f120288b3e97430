//! The payloads of a batch: each is read once, and only so many bytes are held at a time.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use rendezvous_core::{
    Envelope, Json, Payload, PayloadRef, RequestMessage, Unavailable,
    limits::MAX_PAYLOAD_BYTES,
    now,
    payloads::{FetchError, PAYLOAD_STORE, fetch},
    ports::Payloads,
};
use tokio::time::timeout;

use crate::{
    Model,
    work::{Fetched, Request, Work},
};

/// The most bytes of stored payloads that a function holds at a time: four of the largest.
const MAX_HELD_BYTES: u64 = 4 * MAX_PAYLOAD_BYTES as u64;

/// How many payloads are read at a time, and how long one may take.
const READS_AT_ONCE: usize = 16;
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The requests that are scored with a payload in their message, and those with a stored payload in portions
/// that are held one after the other.
pub(crate) fn portions<'a, M: Model>(
    works: &[Work<'a, M>],
    messages: &'a [(usize, RequestMessage<'a>)],
) -> (Vec<Request<'a>>, Vec<Vec<Request<'a>>>) {
    let (mut inline, mut stored) = (Vec::new(), Vec::new());
    let mut held = 0;
    for (position, message) in messages {
        let request = (*position, message);
        if !works.iter().any(|work| work.has(*position)) {
            continue;
        }
        match &message.payload {
            Payload::Inline(_) => inline.push(request),
            Payload::Stored(reference) => {
                held += reference.bytes;
                match stored.last_mut() {
                    Some(portion) if held <= MAX_HELD_BYTES => Vec::push(portion, request),
                    _ => {
                        held = reference.bytes;
                        stored.push(vec![request]);
                    }
                }
            }
        }
    }
    (inline, stored)
}

/// Reads the payloads of some requests. Those that no model scores any more are not read.
pub(crate) async fn fetched<'a, M: Model>(
    payloads: &impl Payloads,
    works: &[Work<'a, M>],
    requests: &[Request<'a>],
) -> Fetched<'a> {
    let start = now();
    // The usual case waits for nothing.
    let inline = requests.iter().map(|request| match &request.1.payload {
        Payload::Inline(json) => Some((*request, Ok(Json::from(*json)))),
        Payload::Stored(_) => None,
    });
    if let Some(payloads) = inline.collect() {
        return Fetched { start, end: start, payloads };
    }
    // In a vector, because the compiler cannot show that a stream of them is `Send`.
    let reads = requests.iter().map(|request| async move {
        let payload = match &request.1.payload {
            Payload::Inline(json) => Ok(Json::from(*json)),
            Payload::Stored(reference) => {
                let scoring = works.iter().filter(|work| work.scores(*request, start));
                let limit = scoring.map(|work| work.patience(request.1)).max().unwrap_or_default();
                read(payloads, &request.1.envelope, reference, limit.min(READ_WITHIN)).await
            }
        };
        (*request, payload)
    });
    let reads: Vec<_> = reads.collect();
    let payloads = stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
    Fetched { start, end: now(), payloads }
}

async fn read(
    payloads: &impl Payloads,
    envelope: &Envelope,
    reference: &PayloadRef,
    limit: Duration,
) -> Result<Json, FetchError> {
    let Envelope { id, endpoint, .. } = envelope;
    let late = || Unavailable::timed_out(PAYLOAD_STORE, format!("no answer within {limit:?}"));
    if limit.is_zero() {
        return Err(late().into());
    }
    let fetched = timeout(limit, fetch(payloads, endpoint, *id, reference)).await;
    let fetched = fetched.unwrap_or_else(|_| Err(late().into()));
    if let Err(cause) = &fetched {
        tracing::warn!(request = %id, %cause, "a payload was not read");
    }
    fetched
}
