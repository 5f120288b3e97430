use std::{fmt::Debug, sync::Arc};

use bytes::Bytes;
use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Envelope, Json, Mailbox, Provenance, Publication,
    RequestId, Timestamp, Unavailable, Write, Written,
    ports::{
        Archive, Consistency, EndpointTable, Ledger, OutcomeTable, PublishError, Record, Rejected,
        Secrets, StackSecret, Stored, Stream, Watch,
    },
};

use crate::{Actor, Chances, Trace, chances};

/// One actor's connection to a port: every call is traced, and the answer to a write may be lost.
///
/// A client of the AWS SDK that receives no answer sends its call again. So the port sees the call
/// twice, and the actor sees the second answer only.
#[derive(Debug)]
pub struct Link<P> {
    port: Arc<P>,
    actor: Arc<Actor>,
    trace: Option<Arc<Trace>>,
    chances: Chances,
}

impl<P> Link<P> {
    pub(crate) fn new(
        port: Arc<P>,
        actor: &Arc<Actor>,
        trace: Option<&Arc<Trace>>,
        chances: Chances,
    ) -> Arc<Self> {
        Arc::new(Self { port, actor: actor.clone(), trace: trace.cloned(), chances })
    }

    /// Makes a call and traces it; `name` is its name with its arguments.
    async fn call<T: Debug>(
        &self,
        name: impl FnOnce() -> String,
        call: impl Future<Output = T>,
    ) -> T {
        let Some(trace) = &self.trace else { return call.await };
        let name = name();
        trace.add(&self.actor, &name);
        let result = call.await;
        trace.add(&self.actor, format_args!("{name} returned {result:?}"));
        result
    }

    /// Whether the first answer to a write is lost.
    fn loses_answer(&self, to: &str, subject: impl FnOnce() -> String) -> bool {
        let subject = || [to, " ", &subject()].concat();
        chances::happens(self.chances.lost_answers, "lost answer", subject)
    }
}

impl<P: Ledger> Ledger for Link<P> {
    async fn read(
        &self,
        id: RequestId,
        consistency: Consistency,
    ) -> Result<Option<Mailbox>, Unavailable> {
        let call = self.port.read(id, consistency);
        self.call(|| format!("ledger.read {id} {consistency:?}"), call).await
    }

    async fn write(&self, write: &Write) -> Result<Written, Unavailable> {
        let name = || format!("ledger.write {write:?}");
        let subject = || format!("{} {:?}", write.envelope.id, write.require);
        if self.loses_answer("ledger.write", subject) {
            self.call(name, self.port.write(write)).await?;
        }
        self.call(name, self.port.write(write)).await
    }

    fn watch(&self, envelope: &Arc<Envelope>) -> impl Watch + '_ {
        LinkWatch { link: self, id: envelope.id, watch: self.port.watch(envelope) }
    }
}

/// A watch whose calls are traced.
struct LinkWatch<'a, P, W> {
    link: &'a Link<P>,
    id: RequestId,
    watch: W,
}

impl<P: Ledger, W: Watch> Watch for LinkWatch<'_, P, W> {
    async fn changed(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        let Self { link, id, watch } = self;
        link.call(|| format!("ledger.watch {id} until {until}"), watch.changed(until)).await
    }
}

impl<P: Stream> Stream for Link<P> {
    async fn put(&self, records: Vec<Record>, until: Timestamp) -> Result<(), Rejected> {
        let shown = self.trace.as_ref().map(|_| format!("stream.put {records:?} until {until}"));
        let name = || shown.clone().unwrap_or_default();
        let subject = || records.iter().map(|record| record.key.as_str()).collect();
        if self.loses_answer("stream.put", subject) {
            self.call(name, self.port.put(records.clone(), until)).await?;
        }
        self.call(name, self.port.put(records, until)).await
    }
}

impl<P: EndpointTable> EndpointTable for Link<P> {
    async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        self.call(|| "endpoints.list".to_owned(), self.port.list()).await
    }

    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        self.call(|| format!("endpoints.current {name}"), self.port.current(name)).await
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let call = self.port.version(name, version);
        self.call(|| format!("endpoints.version {name} {version}"), call).await
    }

    async fn history(&self, name: &EndpointName) -> Result<Vec<Publication>, Unavailable> {
        self.call(|| format!("endpoints.history {name}"), self.port.history(name)).await
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        let call = self.port.publish(name, configuration, provenance, expected);
        self.call(|| format!("endpoints.publish {name} {expected:?}"), call).await
    }
}

impl<P: OutcomeTable> OutcomeTable for Link<P> {
    async fn put(
        &self,
        endpoint: &EndpointName,
        id: RequestId,
        outcome: Json,
        reported: Timestamp,
    ) -> Result<(), Unavailable> {
        let name = || format!("outcomes.put {endpoint} {id} {reported}");
        self.call(name, self.port.put(endpoint, id, outcome, reported)).await
    }
}

impl<P: Archive> Archive for Link<P> {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let bytes = body.len();
        self.call(|| format!("archive.put {name}, {bytes} bytes"), self.port.put(name, body)).await
    }
}

impl<P: Secrets> Secrets for Link<P> {
    async fn idempotency(&self) -> Result<StackSecret, Unavailable> {
        self.call(|| "secrets.idempotency".to_owned(), self.port.idempotency()).await
    }
}
