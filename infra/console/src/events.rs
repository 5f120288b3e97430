//! Server-sent events: what is live.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use rendezvous_archive::latest;
use rendezvous_core::{
    EndpointName, Timestamp, now,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Console, Running,
    body::Body,
    call::{Query, parsed},
    decisions::line,
    ports::Shared,
    refusal::Refusal,
};

/// How often counters are sent.
const TICK: Duration = Duration::from_secs(1);
/// Of so many ticks one looks for new versions and decisions.
const SLOW: u32 = 2;
/// How many events wait for a slow reader. Then the stream waits, and figures are skipped.
const WAITING: usize = 16;
/// The most decisions that are sent at a time.
const DECISIONS: usize = 50;
/// How late decisions arrive in the archive at most, for a stream that begins.
const BACK: Duration = Duration::from_mins(5);

impl<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running> Console<E, W, A, R> {
    /// A stream of events, until the reader closes it or the console ends:
    ///
    /// | event | data |
    /// | --- | --- |
    /// | `counters` | each second, where they can be read: what the functions have counted since they started |
    /// | `versions` | at the start and when it changes: the current version of each endpoint |
    /// | `decisions` | where `decisions=ENDPOINT` asks for them: the new ones, the latest first, at most 50 |
    /// | `alive` | each second |
    pub(crate) fn events(&self, query: &Query) -> Result<Response<Body>, Refusal> {
        let decisions: Option<EndpointName> = query.optional("decisions", parsed)?;
        let Ok(place) = self.streams.clone().try_acquire_owned() else {
            let detail = "too many pages are open: close some";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut stop = self.stop.clone();
        let mut stream = Stream {
            ports: self.ports.clone(),
            sender,
            versions: BTreeMap::new(),
            decisions,
            after: now() - BACK,
        };
        self.worker.spawn(async move {
            tokio::select! {
                () = stream.run() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
        let mut response = Response::new(Body::from(receiver));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

struct Stream<E, W, A, R> {
    ports: Shared<E, W, A, R>,
    sender: mpsc::Sender<Bytes>,
    versions: BTreeMap<EndpointName, u64>,
    decisions: Option<EndpointName>,
    /// Decisions up to this instant of arrival were sent.
    after: Timestamp,
}

/// The reader has closed the stream.
struct Closed;

impl<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running> Stream<E, W, A, R> {
    async fn run(&mut self) {
        // How long the browser waits before it connects again.
        if self.sender.send(Bytes::from_static(b"retry: 1000\n\n")).await.is_err() {
            return;
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u32.. {
            ticks.tick().await;
            if self.tick(tick).await.is_err() {
                return;
            }
        }
    }

    async fn tick(&mut self, tick: u32) -> Result<(), Closed> {
        let at = now();
        match self.ports.running.counters() {
            Some(counters) => {
                self.send("counters", &json!({ "at_us": at, "counters": counters })).await?;
            }
            None => self.send("alive", &json!({ "at_us": at })).await?,
        }
        if tick.is_multiple_of(SLOW) {
            self.send_versions().await?;
            self.send_decisions().await?;
        }
        Ok(())
    }

    /// What cannot be read now is read at the next tick.
    async fn send_versions(&mut self) -> Result<(), Closed> {
        let Ok(names) = self.ports.endpoints.list().await else { return Ok(()) };
        let mut versions = BTreeMap::new();
        for name in names {
            if let Ok(Some(version)) = self.ports.endpoints.current(&name).await {
                versions.insert(name, version);
            }
        }
        if versions == self.versions {
            return Ok(());
        }
        self.versions = versions;
        self.send("versions", &json!(self.versions)).await
    }

    async fn send_decisions(&mut self) -> Result<(), Closed> {
        let Some(name) = &self.decisions else { return Ok(()) };
        let archive = &*self.ports.archive;
        let found = latest::decisions(archive, name, self.after, now(), DECISIONS).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "the archive cannot be read");
                return Ok(());
            }
        };
        let Some(newest) = found.first() else { return Ok(()) };
        self.after = newest.arrived_us;
        let lines: Vec<Value> = found.iter().map(line).collect();
        self.send("decisions", &json!(lines)).await
    }

    async fn send(&self, event: &str, data: &Value) -> Result<(), Closed> {
        let text = format!("event: {event}\ndata: {data}\n\n");
        self.sender.send(Bytes::from(text)).await.map_err(|_| Closed)
    }
}
