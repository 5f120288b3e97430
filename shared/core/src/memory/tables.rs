use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use super::{Change, Journal, MemoryStream, lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    configuration::Configuration,
    endpoint::{Endpoint, Provenance, Publication},
    error::Unavailable,
    json::Json,
    names::{EndpointName, RequestId},
    ports::{EndpointTable, OutcomeTable, PublishError},
};

/// The names of the dependencies in errors.
const ENDPOINTS: &str = "endpoints table";
const OUTCOMES: &str = "outcomes table";

/// Configurations in memory: version *n* is the *n*-th published.
#[derive(Debug, Default)]
pub struct MemoryEndpoints {
    pub outage: Outage,
    versions: Mutex<BTreeMap<EndpointName, Vec<Version>>>,
}

type Version = (Arc<Endpoint>, Publication);

impl MemoryEndpoints {
    /// Every endpoint's current version, by name.
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        let versions = lock(&self.versions);
        let current = versions.values().filter_map(|versions| versions.last());
        current.map(|(endpoint, _)| endpoint.clone()).collect()
    }
}

impl EndpointTable for MemoryEndpoints {
    async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        self.outage.check(ENDPOINTS).await?;
        Ok(lock(&self.versions).keys().cloned().collect())
    }

    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        self.outage.check(ENDPOINTS).await?;
        let versions = lock(&self.versions);
        Ok(versions.get(name).and_then(|all| all.last()).map(|(endpoint, _)| endpoint.version))
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        self.outage.check(ENDPOINTS).await?;
        let versions = lock(&self.versions);
        let all = versions.get(name).into_iter().flatten();
        let mut endpoints = all.map(|(endpoint, _)| endpoint);
        Ok(endpoints.find(|endpoint| endpoint.version == version).cloned())
    }

    async fn history(&self, name: &EndpointName) -> Result<Vec<Publication>, Unavailable> {
        self.outage.check(ENDPOINTS).await?;
        let versions = lock(&self.versions);
        let all = versions.get(name).into_iter().flatten();
        Ok(all.map(|(_, publication)| publication.clone()).collect())
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        self.outage.check(ENDPOINTS).await?;
        let versions = &mut *lock(&self.versions);
        let last = versions.get(name).and_then(|all| all.last());
        let current = last.map(|(endpoint, _)| endpoint.version);
        if current != expected {
            return Err(PublishError::Conflict { expected, current });
        }
        let version = current.unwrap_or(0) + 1;
        let endpoint = Endpoint { name: name.clone(), version, configuration };
        let publication = Publication {
            version,
            provenance: Some(provenance),
            published: now(),
            replaced: current,
        };
        versions.entry(name.clone()).or_default().push((Arc::new(endpoint), publication));
        Ok(version)
    }
}

/// The most bytes of outcomes kept in memory; the oldest are forgotten first.
const MAX_OUTCOME_BYTES: usize = 4 * 1024 * 1024;

/// What an entry takes beside its JSON, roughly.
const ENTRY_BYTES: usize = 200;

/// A reported outcome as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOutcome {
    pub outcome: Json,
    pub reported: Timestamp,
}

impl StoredOutcome {
    fn bytes(&self) -> usize {
        self.outcome.as_str().len() + ENTRY_BYTES
    }
}

/// Outcomes in memory, at most 4 MiB of them: of a request whose outcome is forgotten another one is as the first.
/// Whoever needs all of them reads the changes.
#[derive(Debug)]
pub struct MemoryOutcomes {
    pub outage: Outage,
    /// Every put.
    pub changes: MemoryStream<Change>,
    outcomes: Mutex<Outcomes>,
}

impl Default for MemoryOutcomes {
    fn default() -> Self {
        Self::kept_in(None)
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    by_request: HashMap<(EndpointName, RequestId), StoredOutcome>,
    /// The keys of `by_request`, in the order in which they came.
    by_age: VecDeque<(EndpointName, RequestId)>,
    bytes: usize,
}

impl Outcomes {
    /// Returns the outcome that it replaces.
    fn put(&mut self, key: (EndpointName, RequestId), new: StoredOutcome) -> Option<StoredOutcome> {
        self.bytes += new.bytes();
        let old = self.by_request.insert(key.clone(), new);
        match &old {
            Some(old) => self.bytes -= old.bytes(),
            None => self.by_age.push_back(key),
        }
        while self.bytes > MAX_OUTCOME_BYTES
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.bytes -= self.by_request.remove(&oldest).map_or(0, |outcome| outcome.bytes());
        }
        old
    }
}

impl MemoryOutcomes {
    /// Hands every put to `journal`, too.
    pub fn kept_in(journal: Option<Arc<Journal>>) -> Self {
        Self {
            outage: Outage::default(),
            changes: MemoryStream::of_table("outcomes").kept_in(journal),
            outcomes: Mutex::default(),
        }
    }

    pub fn get(&self, endpoint: &EndpointName, id: RequestId) -> Option<StoredOutcome> {
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
        self.outage.check(OUTCOMES).await?;
        self.changes.room()?;
        let new = StoredOutcome { outcome, reported };
        let outcomes = &mut *lock(&self.outcomes);
        let old = outcomes.put((endpoint.clone(), id), new.clone());
        // While the table is locked, so that changes are in the order of the puts.
        self.changes.tell(|| Change::Outcome { endpoint: endpoint.clone(), id, old, new });
        Ok(())
    }
}
