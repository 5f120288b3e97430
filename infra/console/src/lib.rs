//! The web console: what a running system does, and what is done about it.
//!
//! [`Console`] answers what is below `/console`: the page, its JSON interface, and a stream of what is
//! live. It is generic over the ports, so that `rendezvous-local serve` mounts it on its own server and
//! `rendezvousctl console` serves it for a stack or a data folder ([`serve()`]). Every figure is computed by
//! [`rendezvous_operations`], as for `rendezvousctl --json`.
//!
//! **Access.** It is for 127.0.0.1. A request with another `Host` is refused, and so is one that a page of
//! another origin makes a browser send. What changes something, and the payload of a request, need the token
//! that is in the printed URL.

mod access;
mod answer;
mod assets;
mod body;
mod call;
mod decisions;
mod events;
mod ports;
mod reads;
mod refusal;
mod server;
mod worker;
mod writes;

use std::{fmt::Write, sync::Arc};

use rendezvous_core::random;
use tokio::sync::{Semaphore, watch};

pub use {
    body::Body,
    ports::{Counters, ModelCounters, Ports, Running},
    server::serve,
    worker::Worker,
};

/// How many streams of events there are at most.
const STREAMS: usize = 16;

/// What the console is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which system it is about: `stack NAME` or `data folder DIR`.
    pub name: String,
    /// Who publishes, where a request does not say.
    pub author: String,
    /// Nothing can be changed.
    pub read_only: bool,
}

/// The console of one system.
pub struct Console<E, W, A, R> {
    ports: Arc<Ports<E, W, A, R>>,
    settings: Settings,
    token: String,
    worker: Worker,
    streams: Arc<Semaphore>,
    /// Streams of events end when it is true.
    stop: watch::Receiver<bool>,
}

impl<E, W, A, R> Console<E, W, A, R> {
    /// `worker` computes; streams of events end when `stop` becomes true.
    pub fn new(
        ports: Ports<E, W, A, R>,
        settings: Settings,
        worker: Worker,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let bytes: [u8; 16] = random::bytes("console", "token");
        let token = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let streams = Arc::new(Semaphore::new(STREAMS));
        Self { ports: Arc::new(ports), settings, token, worker, streams, stop }
    }

    /// The address of the page on a server. The token is in the fragment, which browsers do not send.
    pub fn url(&self, server: &str) -> String {
        if self.settings.read_only {
            return format!("{server}/console");
        }
        format!("{server}/console#token={}", self.token)
    }
}
