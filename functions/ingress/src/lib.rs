//! The ingress function: takes requests, sends them to the stream `input`, waits on the ledger, and
//! answers in time. It reacts to time; the rendezvous function reacts to scores.
//!
//! The domain layer ([`Ingress::ask`], [`Ingress::ask_all`], [`Ingress::read`], [`Ingress::report`],
//! [`Ingress::describe`], [`Ingress::list`]) takes and returns plain values. A protocol is an adapter around it, which
//! parses and renders and decides nothing: [`http`] has version 1 of the interface and the Open Inference Protocol.

mod ask;
mod asked;
mod describe;
mod failures;
pub mod http;
mod options;
mod read;
mod refusal;
mod report;
mod telemetry;
mod wait;

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    EndpointCache,
    ports::{EndpointTable, Ledger, OutcomeTable, Payloads, Secrets, Stream, Telemetry},
};
use tokio::sync::Semaphore;

pub use crate::{
    asked::{Answer, Ask, Asked, Refused},
    failures::{ChoiceFailure, ChoiceFailureKind},
    options::RequestOptions,
    read::Reading,
    refusal::Refusal,
    telemetry::{Answered, IngressReport},
};

/// How long a call that waits for no decision may wait for a table.
const TABLE_LIMIT: Duration = Duration::from_secs(5);

/// The implementations of the ports that ingress runs on.
pub trait Ports: Send + Sync + 'static {
    type Endpoints: EndpointTable;
    type Input: Stream;
    type Ledger: Ledger;
    type Outcomes: OutcomeTable;
    type Payloads: Payloads;
    type Secrets: Secrets;
    type Telemetry: Telemetry<IngressReport>;
}

/// What ingress depends on.
pub struct Dependencies<P: Ports> {
    pub endpoints: Arc<P::Endpoints>,
    pub input: Arc<P::Input>,
    pub ledger: Arc<P::Ledger>,
    pub outcomes: Arc<P::Outcomes>,
    pub payloads: Arc<P::Payloads>,
    pub secrets: Arc<P::Secrets>,
    pub telemetry: Arc<P::Telemetry>,
}

/// The bounds that a deployment sets.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long before the deadline a request is settled, so that a read, a write and the reply
    /// still fit in.
    pub margin: Duration,
    /// The largest payload, in bytes; at most `rendezvous_core::limits::MAX_PAYLOAD_BYTES`.
    pub max_payload_bytes: usize,
    /// The largest payload that is sent in a message, in bytes; a larger one is stored and the message
    /// refers to it. At most `rendezvous_core::limits::MAX_INLINE_PAYLOAD_BYTES`.
    pub inline_payload_bytes: usize,
    /// How long the ledger keeps a mailbox.
    pub ledger_retention: Duration,
    /// The most requests that are in work at a time. More are not sent: they are answered at once, with the
    /// fallback or by a refusal, so that those in work are answered in time.
    pub in_flight: usize,
}

/// The Lambda function of ingress.
pub struct Ingress<P: Ports> {
    endpoints: EndpointCache<P::Endpoints>,
    input: Arc<P::Input>,
    ledger: Arc<P::Ledger>,
    outcomes: Arc<P::Outcomes>,
    payloads: Arc<P::Payloads>,
    secrets: Arc<P::Secrets>,
    telemetry: Arc<P::Telemetry>,
    settings: Settings,
    /// One for each request that may be in work.
    places: Semaphore,
}

impl<P: Ports> Ingress<P> {
    pub fn new(dependencies: Dependencies<P>, settings: Settings) -> Self {
        let Dependencies { endpoints, input, ledger, outcomes, payloads, secrets, telemetry } =
            dependencies;
        let endpoints = EndpointCache::new(endpoints);
        let places = Semaphore::new(settings.in_flight.min(Semaphore::MAX_PERMITS));
        Self { endpoints, input, ledger, outcomes, payloads, secrets, telemetry, settings, places }
    }

    /// The largest payload that is taken, in bytes.
    pub fn max_payload_bytes(&self) -> usize {
        self.settings.max_payload_bytes
    }

    /// Reports one request or call. An adapter does so once it knows its answer.
    pub fn record(&self, report: &IngressReport) {
        self.telemetry.record(report);
    }
}
