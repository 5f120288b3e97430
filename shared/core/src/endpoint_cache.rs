//! The endpoints as a function sees them: read from the table, kept in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Timestamp, now},
    endpoint::Endpoint,
    error::{Unavailable, within},
    names::{Arm, EndpointName},
    ports::EndpointTable,
};

/// The name of the dependency in errors.
const TABLE: &str = "endpoints table";

/// How long a pointer to the current version may be used without reading it again.
pub const POINTER_AGE: Duration = Duration::from_secs(1);

/// The longest that a read may take. A request waits for it.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// How many versions are kept. Far more than are in flight; old ones are read again when needed.
const VERSIONS_KEPT: usize = 1_000;

/// The endpoints as a function sees them: a version is kept until the cache is full, a pointer for
/// [`POINTER_AGE`].
pub struct EndpointCache<T> {
    table: Arc<T>,
    current: Mutex<HashMap<EndpointName, Current>>,
    versions: Mutex<HashMap<(EndpointName, u64), Arc<Endpoint>>>,
}

#[derive(Clone)]
struct Current {
    endpoint: Arc<Endpoint>,
    /// When the pointer to it was last read, or tried to be.
    asked: Timestamp,
    /// Whether that did not end in time, and nobody catches up yet.
    behind: bool,
}

impl<T: EndpointTable> EndpointCache<T> {
    pub fn new(table: Arc<T>) -> Self {
        Self { table, current: Mutex::default(), versions: Mutex::default() }
    }

    /// The names of all endpoints, always read from the table.
    pub async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        within(TABLE, READ_LIMIT, self.table.list()).await
    }

    /// The current version. A pointer older than [`POINTER_AGE`] is refreshed before use, and used
    /// stale while the table cannot be read, or not within a quarter of the endpoint's deadline; that
    /// is then tried again once a second, and [`catch_up`](Self::catch_up) may take longer.
    pub async fn current(&self, name: &EndpointName) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let known = lock(&self.current).get(name).cloned();
        let limit = match &known {
            Some(known) if now().since(known.asked) < POINTER_AGE => {
                return Ok(Some(known.endpoint.clone()));
            }
            // Cap the refresh at a quarter of the deadline.
            Some(known) => {
                let schedule = known.endpoint.configuration.schedule(&Arm::main());
                (schedule.deadline() / 4).min(READ_LIMIT)
            }
            None => READ_LIMIT,
        };
        let (endpoint, behind) = match (within(TABLE, limit, self.read_current(name)).await, known)
        {
            (Ok(endpoint), _) => (endpoint, false),
            (Err(cause), Some(known)) => {
                tracing::warn!(endpoint = %name, %cause, "the last known version is used");
                (Some(known.endpoint), true)
            }
            (Err(cause), None) => return Err(cause),
        };
        self.keep(name, endpoint.clone(), behind);
        Ok(endpoint)
    }

    /// Reads the current version once more if it could not be read in time, for the next request. A
    /// caller that waits for something else runs it meanwhile: where a new connection takes longer
    /// than requests wait for the table, a new version would never be seen.
    pub fn catch_up(&self, name: &EndpointName) -> Option<impl Future<Output = ()> + use<'_, T>> {
        let is_behind = |known: &mut Current| std::mem::take(&mut known.behind);
        lock(&self.current).get_mut(name).is_some_and(is_behind).then(|| {
            let name = name.clone();
            async move {
                if let Ok(endpoint) = within(TABLE, READ_LIMIT, self.read_current(&name)).await {
                    self.keep(&name, endpoint, false);
                }
            }
        })
    }

    fn keep(&self, name: &EndpointName, endpoint: Option<Arc<Endpoint>>, behind: bool) {
        let mut current = lock(&self.current);
        match endpoint {
            Some(endpoint) => {
                current.insert(name.clone(), Current { endpoint, asked: now(), behind });
            }
            None => drop(current.remove(name)),
        }
    }

    async fn read_current(
        &self,
        name: &EndpointName,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        match self.table.current(name).await? {
            Some(version) => self.version(name, version).await,
            None => Ok(None),
        }
    }

    /// One version, from the table only the first time.
    pub async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let key = (name.clone(), version);
        if let Some(endpoint) = lock(&self.versions).get(&key) {
            return Ok(Some(endpoint.clone()));
        }
        let endpoint = within(TABLE, READ_LIMIT, self.table.version(name, version)).await?;
        if let Some(endpoint) = &endpoint {
            let mut versions = lock(&self.versions);
            if versions.len() >= VERSIONS_KEPT {
                versions.clear();
            }
            versions.insert(key, endpoint.clone());
        }
        Ok(endpoint)
    }
}

/// A poisoned lock is used all the same: every section under these locks is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
