use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{Change, MemoryStream, lock, outage::Outage};
use crate::{
    clock::Timestamp,
    endpoint::{Configuration, Endpoint},
    json::Json,
    names::{EndpointName, RequestId},
    ports::{EndpointTable, OutcomeTable, Unavailable},
};

/// Configurations in memory: version *n* is the *n*-th published.
#[derive(Debug, Default)]
pub struct MemoryEndpoints {
    pub outage: Outage,
    versions: Mutex<HashMap<EndpointName, Vec<Arc<Endpoint>>>>,
}

impl MemoryEndpoints {
    /// Every endpoint's current version, by name.
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        let mut all: Vec<_> =
            lock(&self.versions).values().filter_map(|versions| versions.last().cloned()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

impl EndpointTable for MemoryEndpoints {
    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        self.outage.check("endpoints table").await?;
        let versions = lock(&self.versions);
        Ok(versions.get(name).and_then(|all| all.last()).map(|endpoint| endpoint.version))
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        self.outage.check("endpoints table").await?;
        let versions = lock(&self.versions);
        let found = |all: &Vec<Arc<Endpoint>>| all.iter().find(|e| e.version == version).cloned();
        Ok(versions.get(name).and_then(found))
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
    ) -> Result<u64, Unavailable> {
        self.outage.check("endpoints table").await?;
        let mut versions = lock(&self.versions);
        let all = versions.entry(name.clone()).or_default();
        let version = all.last().map_or(1, |endpoint| endpoint.version + 1);
        all.push(Arc::new(Endpoint { name: name.clone(), version, configuration }));
        Ok(version)
    }
}

/// The most bytes of outcomes kept in memory; beyond it the table refuses, as a full disk would.
const MAX_OUTCOME_BYTES: usize = 64 * 1024 * 1024;

/// What an entry takes beside its JSON, roughly.
const ENTRY_BYTES: usize = 200;

/// What is kept of a reported outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub outcome: Json,
    pub reported: Timestamp,
}

/// Outcomes in memory.
#[derive(Debug)]
pub struct MemoryOutcomes {
    pub outage: Outage,
    /// Tells every outcome that is put.
    pub changes: MemoryStream<Change>,
    outcomes: Mutex<Outcomes>,
}

impl Default for MemoryOutcomes {
    fn default() -> Self {
        Self {
            outage: Outage::default(),
            changes: MemoryStream::of_table("outcomes"),
            outcomes: Mutex::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    by_request: HashMap<(EndpointName, RequestId), Outcome>,
    bytes: usize,
}

impl MemoryOutcomes {
    pub fn get(&self, endpoint: &EndpointName, id: RequestId) -> Option<Outcome> {
        lock(&self.outcomes).by_request.get(&(endpoint.clone(), id)).cloned()
    }
}

impl OutcomeTable for MemoryOutcomes {
    async fn put(
        &self,
        endpoint: &EndpointName,
        id: RequestId,
        outcome: Json,
        reported: Timestamp,
    ) -> Result<(), Unavailable> {
        self.outage.check("outcomes table").await?;
        self.changes.room()?;
        let Outcomes { by_request, bytes } = &mut *lock(&self.outcomes);
        let size = |outcome: &Outcome| outcome.outcome.as_str().len() + ENTRY_BYTES;
        let outcome = Outcome { outcome, reported };
        let former = by_request.get(&(endpoint.clone(), id)).map_or(0, size);
        if *bytes - former + size(&outcome) > MAX_OUTCOME_BYTES {
            return Err(Unavailable::Throttled("outcomes table (full)".into()));
        }
        *bytes += size(&outcome);
        let change =
            || Change::Reported { endpoint: endpoint.clone(), id, outcome: outcome.clone() };
        // While the table is locked, so that of two puts the later one is told later, too.
        self.changes.tell(change);
        if let Some(former) = by_request.insert((endpoint.clone(), id), outcome) {
            *bytes -= size(&former);
        }
        Ok(())
    }
}
