//! The functions as their mappings see them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use rendezvous::Rendezvous;
use rendezvous_aws::batch::{Batch, Content, Response, StreamBatch, TableBatch};
use rendezvous_core::{
    memory::{Change, Journal, MemoryLedger, MemoryStream},
    ports::{Archive, ArchiveFiles, EndpointTable, Payloads, WindowTable},
};
use rendezvous_decoy::{Decoy, Stream, Table};
use rendezvous_model::{Model, ModelFunction};
use rendezvous_monitor::Monitor;

use crate::{
    Actor, Conditions, Counters, Link,
    fault::Fault,
    faults::{Faults, Faulty},
    fleet::{Fleet, Instance},
    mapping::Function,
    step::Step,
};

pub(crate) type ModelOf<M, L> = ModelFunction<Faulty<M>, Link<MemoryStream>, Link<L>, Counters>;
pub(crate) type RendezvousOf<E> = Rendezvous<Link<E>, Link<MemoryLedger>, Counters>;
pub(crate) type DecoyOf<A, E, L> = Decoy<Link<A>, Link<E>, Link<L>, Counters>;
pub(crate) type MonitorOf<E, W> = Monitor<Link<E>, Link<MemoryLedger>, Link<W>, Counters>;

/// What the draws about an invocation are keyed by: its first record.
fn subject<'a, C: Content<'a>>(function: &str, event: &Batch<'a, C>) -> u64 {
    let mut hasher = DefaultHasher::new();
    function.hash(&mut hasher);
    if let Some(Ok(record)) = event.records().first() {
        (&*record.event_id, &*record.sequence).hash(&mut hasher);
    }
    hasher.finish()
}

pub(crate) struct ModelHandler<M, L> {
    pub(crate) fleet: Fleet<ModelOf<M, L>>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) conditions: Conditions,
}

impl<M: Model, L: Payloads> Function for ModelHandler<M, L> {
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: StreamBatch<'a>) -> Result<Response, String> {
        if self.faults.is_killed() {
            if let Some(weather) = &self.conditions.weather {
                weather.tally().met(Fault::SilentModel, Step::ModelBatch);
            }
            return Err("killed".to_owned());
        }
        let subject = subject(self.actor().name(), &event);
        let handle = |instance: Arc<Instance<ModelOf<M, L>>>| async move {
            instance.function.handle(event).await
        };
        Ok(self.fleet.invoke(Step::ModelBatch, subject, handle).await?)
    }
}

pub(crate) struct RendezvousHandler<E> {
    pub(crate) fleet: Fleet<RendezvousOf<E>>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) conditions: Conditions,
}

impl<E: EndpointTable> Function for RendezvousHandler<E> {
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: StreamBatch<'a>) -> Result<Response, String> {
        let subject = subject(self.actor().name(), &event);
        let (witness, ledger) = (self.conditions.witness.clone(), self.ledger.clone());
        let conditions = self.conditions.clone();
        let handle = |instance: Arc<Instance<RendezvousOf<E>>>| async move {
            let Some(witness) = witness else { return instance.function.handle(event).await };
            let delivered = witness.hears(&instance.actor, &event);
            conditions.trace(&instance.actor, || &delivered);
            let response = instance.function.handle(event).await;
            witness.acknowledges(&ledger, &instance.actor, &delivered, &response);
            response
        };
        Ok(self.fleet.invoke(Step::RendezvousBatch, subject, handle).await?)
    }
}

/// The decoy as the function of a stream's mapping.
pub(crate) struct DecoyOfStream<A, E, L> {
    pub(crate) fleet: Arc<Fleet<DecoyOf<A, E, L>>>,
    pub(crate) source: Stream,
}

impl<A: Archive + ArchiveFiles, E: EndpointTable, L: Payloads> Function for DecoyOfStream<A, E, L> {
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: StreamBatch<'a>) -> Result<Response, String> {
        let source = self.source;
        let subject = subject(source.as_str(), &event);
        let handle = |instance: Arc<Instance<DecoyOf<A, E, L>>>| async move {
            instance.function.handle_stream(source, event).await
        };
        Ok(self.fleet.invoke(Step::DecoyBatch, subject, handle).await?)
    }
}

/// The decoy as the function of the mapping of a table's changes.
pub(crate) struct DecoyOfTable<A, E, L> {
    pub(crate) fleet: Arc<Fleet<DecoyOf<A, E, L>>>,
    pub(crate) source: Table,
    pub(crate) journal: Option<Arc<Journal>>,
}

impl<A: Archive + ArchiveFiles, E: EndpointTable, L: Payloads> Function<Change>
    for DecoyOfTable<A, E, L>
{
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: TableBatch<'a>) -> Result<Response, String> {
        if let Some(journal) = &self.journal {
            // A decision in the archive and not in the log would be made again, perhaps differently, by the next
            // process. One that cannot be written there is told to nobody, and archived all the same.
            let _ = journal.written().await;
        }
        let source = self.source;
        let subject = subject(source.as_str(), &event);
        let handle = |instance: Arc<Instance<DecoyOf<A, E, L>>>| async move {
            instance.function.handle_changes(source, event).await
        };
        Ok(self.fleet.invoke(Step::DecoyBatch, subject, handle).await?)
    }
}

/// The monitor as the function of the mapping of a table's changes: those of the ledger or of the outcomes.
pub(crate) struct MonitorOfTable<E, W> {
    pub(crate) fleet: Arc<Fleet<MonitorOf<E, W>>>,
    pub(crate) source: Table,
}

impl<E: EndpointTable, W: WindowTable> Function<Change> for MonitorOfTable<E, W> {
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: TableBatch<'a>) -> Result<Response, String> {
        let source = self.source;
        let subject = subject(source.as_str(), &event);
        let handle = |instance: Arc<Instance<MonitorOf<E, W>>>| async move {
            match source {
                Table::Ledger => instance.function.handle_ledger(event).await,
                Table::Outcomes => instance.function.handle_outcomes(event).await,
            }
        };
        Ok(self.fleet.invoke(Step::MonitorBatch, subject, handle).await?)
    }
}

/// The monitor as the function of the mapping of the stream `scores`.
pub(crate) struct MonitorOfScores<E, W> {
    pub(crate) fleet: Arc<Fleet<MonitorOf<E, W>>>,
}

impl<E: EndpointTable, W: WindowTable> Function for MonitorOfScores<E, W> {
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: StreamBatch<'a>) -> Result<Response, String> {
        let subject = subject("scores of the monitor", &event);
        let handle = |instance: Arc<Instance<MonitorOf<E, W>>>| async move {
            instance.function.handle_scores(event).await
        };
        Ok(self.fleet.invoke(Step::MonitorBatch, subject, handle).await?)
    }
}

/// The monitor as the function of the mapping of the stream `input`.
pub(crate) struct MonitorOfInput<E, W> {
    pub(crate) fleet: Arc<Fleet<MonitorOf<E, W>>>,
}

impl<E: EndpointTable, W: WindowTable> Function for MonitorOfInput<E, W> {
    fn actor(&self) -> &Actor {
        &self.fleet.actor
    }

    async fn invoke<'a>(&'a self, event: StreamBatch<'a>) -> Result<Response, String> {
        let subject = subject("input of the monitor", &event);
        let handle = |instance: Arc<Instance<MonitorOf<E, W>>>| async move {
            instance.function.handle_input(event).await
        };
        Ok(self.fleet.invoke(Step::MonitorBatch, subject, handle).await?)
    }
}
