//! The functions as their mappings see them.

use std::sync::Arc;

use rendezvous::Rendezvous;
use rendezvous_aws::batch::{Response, StreamBatch, TableBatch};
use rendezvous_core::{
    memory::{Change, MemoryLedger, MemoryStream},
    ports::{Archive, EndpointTable},
};
use rendezvous_decoy::{Decoy, Stream, Table};
use rendezvous_model::{Model, ModelFunction};

use crate::{
    Actor, Counters, Link,
    faults::{Faults, Faulty},
    mapping::Function,
};

pub(crate) struct ModelHandler<M> {
    pub(crate) function: ModelFunction<Faulty<M>, Link<MemoryStream>, Counters>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) actor: Arc<Actor>,
}

impl<M: Model> Function for ModelHandler<M> {
    fn actor(&self) -> &Actor {
        &self.actor
    }

    async fn invoke(&self, event: StreamBatch<'static>) -> Result<Response, String> {
        if self.faults.is_killed() {
            return Err("killed".to_owned());
        }
        Ok(self.function.handle(event).await)
    }
}

pub(crate) struct RendezvousHandler<E> {
    pub(crate) function: Rendezvous<Link<E>, Link<MemoryLedger>, Counters>,
    pub(crate) actor: Arc<Actor>,
}

impl<E: EndpointTable> Function for RendezvousHandler<E> {
    fn actor(&self) -> &Actor {
        &self.actor
    }

    async fn invoke(&self, event: StreamBatch<'static>) -> Result<Response, String> {
        Ok(self.function.handle(event).await)
    }
}

/// The decoy as the function of a stream's mapping.
pub(crate) struct DecoyOfStream<A, E> {
    pub(crate) decoy: Arc<Decoy<Link<A>, Link<E>, Counters>>,
    pub(crate) actor: Arc<Actor>,
    pub(crate) source: Stream,
}

impl<A: Archive, E: EndpointTable> Function for DecoyOfStream<A, E> {
    fn actor(&self) -> &Actor {
        &self.actor
    }

    async fn invoke(&self, event: StreamBatch<'static>) -> Result<Response, String> {
        Ok(self.decoy.handle_stream(self.source, event).await)
    }
}

/// The decoy as the function of the mapping of a table's changes.
pub(crate) struct DecoyOfTable<A, E> {
    pub(crate) decoy: Arc<Decoy<Link<A>, Link<E>, Counters>>,
    pub(crate) actor: Arc<Actor>,
    pub(crate) source: Table,
}

impl<A: Archive, E: EndpointTable> Function<Change> for DecoyOfTable<A, E> {
    fn actor(&self) -> &Actor {
        &self.actor
    }

    async fn invoke(&self, event: TableBatch<'static>) -> Result<Response, String> {
        Ok(self.decoy.handle_changes(self.source, event).await)
    }
}
