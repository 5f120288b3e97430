use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Json, Minute, Provenance, Publication, RequestId,
    Timestamp, Unavailable,
    ports::{
        Archive, ArchiveFiles, EndpointTable, Entry, EntryKey, OutcomeTable, PublishError, Secrets,
        StackSecret, Stored, StoredFile, WindowTable,
    },
};

use super::{Link, subject};
use crate::{Role, step::Step, weather::Occasion};

pub(super) fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl<P> Link<P> {
    pub(super) fn occasion(
        &self,
        step: Option<Step>,
        subject: impl FnOnce() -> u64,
    ) -> Option<Occasion<'_>> {
        Some(self.weather()?.occasion(step?, subject()))
    }

    /// The read of a configuration, as a step of this actor.
    fn endpoint_read(&self) -> Option<Occasion<'_>> {
        self.occasion(Step::endpoint(self.actor.role()), || self.actor.key())
    }
}

impl<P: EndpointTable> EndpointTable for Link<P> {
    async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        if self.is_plain() {
            return self.port.list().await;
        }
        let make = || {
            let port = self.port.clone();
            async move { port.list().await }
        };
        self.call(self.endpoint_read(), || "endpoints.list".to_owned(), make, |cause| cause).await
    }

    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        if self.is_plain() {
            return self.port.current(name).await;
        }
        let make = || {
            let (port, name) = (self.port.clone(), name.clone());
            async move { port.current(&name).await }
        };
        let shown = || format!("endpoints.current {name}");
        self.call(self.endpoint_read(), shown, make, |cause| cause).await
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        if self.is_plain() {
            return self.port.version(name, version).await;
        }
        let make = || {
            let (port, name) = (self.port.clone(), name.clone());
            async move { port.version(&name, version).await }
        };
        let shown = || format!("endpoints.version {name} {version}");
        self.call(self.endpoint_read(), shown, make, |cause| cause).await
    }

    async fn history(&self, name: &EndpointName) -> Result<Vec<Publication>, Unavailable> {
        if self.is_plain() {
            return self.port.history(name).await;
        }
        let make = || {
            let (port, name) = (self.port.clone(), name.clone());
            async move { port.history(&name).await }
        };
        let shown = || format!("endpoints.history {name}");
        self.call(self.endpoint_read(), shown, make, |cause| cause).await
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        if self.is_plain() {
            return self.port.publish(name, configuration, provenance, expected).await;
        }
        let make = || {
            let (port, name) = (self.port.clone(), name.clone());
            let (configuration, provenance) = (configuration.clone(), provenance.clone());
            let witness = self.conditions.witness.clone();
            async move {
                let version =
                    port.publish(&name, configuration.clone(), provenance, expected).await?;
                // It is current from now on, whether or not the caller hears of it.
                if let Some(witness) = witness {
                    witness.published(&Arc::new(Endpoint { name, version, configuration }));
                }
                Ok(version)
            }
        };
        let shown = || format!("endpoints.publish {name} in place of {expected:?}");
        let step = (self.actor.role() == Role::Monitor).then_some(Step::Publish);
        let occasion = self.occasion(step, || hash((name, expected)));
        self.call(occasion, shown, make, PublishError::Unavailable).await
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
        if self.is_plain() {
            return self.port.put(endpoint, id, outcome, reported).await;
        }
        let make = || {
            let (port, endpoint, outcome) = (self.port.clone(), endpoint.clone(), outcome.clone());
            async move { port.put(&endpoint, id, outcome, reported).await }
        };
        let name = || format!("outcomes.put {endpoint} {id} {reported}");
        let occasion = self.occasion(Some(Step::Outcome), || subject(id));
        self.call(occasion, name, make, |cause| cause).await
    }
}

impl<P: WindowTable> WindowTable for Link<P> {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        if self.is_plain() || entries.is_empty() {
            return self.port.put(entries).await;
        }
        let about = hash(entries.iter().map(|entry| &entry.key).collect::<Vec<_>>());
        let shown = || {
            let keys: Vec<_> = entries.iter().map(|entry| &entry.key).collect();
            format!("windows.put {keys:?}")
        };
        let make = || {
            let (port, entries) = (self.port.clone(), entries.clone());
            async move { port.put(entries).await }
        };
        let occasion = self.occasion(Some(Step::WriteWindows), || about);
        self.call(occasion, shown, make, |cause| cause).await
    }

    async fn delete(&self, keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        if self.is_plain() || keys.is_empty() {
            return self.port.delete(keys).await;
        }
        let about = hash(&keys);
        let shown = || format!("windows.delete {keys:?}");
        let make = || {
            let (port, keys) = (self.port.clone(), keys.clone());
            async move { port.delete(keys).await }
        };
        let occasion = self.occasion(Some(Step::WriteWindows), || about);
        self.call(occasion, shown, make, |cause| cause).await
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        if self.is_plain() {
            return self.port.read(series, minutes, limit).await;
        }
        let about = hash((series, minutes.end));
        let shown = || format!("windows.read {series} before {}", minutes.end);
        let make = || {
            let (port, series) = (self.port.clone(), series.to_owned());
            let minutes = minutes.clone();
            async move { port.read(&series, minutes, limit).await }
        };
        let occasion = self.occasion(Some(Step::ReadWindows), || about);
        self.call(occasion, shown, make, |cause| cause).await
    }
}

impl<P: Archive> Archive for Link<P> {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        if self.is_plain() {
            return self.port.put(name, body).await;
        }
        let bytes = body.len();
        let make = || {
            let (port, name, body) = (self.port.clone(), name.to_owned(), body.clone());
            async move { port.put(&name, body).await }
        };
        let shown = || format!("archive.put {name}, {bytes} bytes");
        // What Lambda itself stores is no step.
        let step = Step::endpoint(self.actor.role()).map(|_| Step::Store);
        let occasion = self.occasion(step, || hash(name));
        self.call(occasion, shown, make, |cause| cause).await
    }
}

/// What the decoy reads is its tombstones, at most once a minute: no step, and without faults of its own. A
/// file that is not stored has the same consequence as tombstones that are not read. The day's run reads
/// nothing: within a simulated history no day's outcomes become known.
impl<P: ArchiveFiles> ArchiveFiles for Link<P> {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.port.folders(folder).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        self.port.list(folder).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.port.read(name, range).await
    }
}

impl<P: Secrets> Secrets for Link<P> {
    async fn idempotency(&self) -> Result<StackSecret, Unavailable> {
        if self.is_plain() {
            return self.port.idempotency().await;
        }
        let make = || {
            let port = self.port.clone();
            async move { port.idempotency().await }
        };
        let occasion = self.occasion(Some(Step::Secret), || self.actor.key());
        self.call(occasion, || "secrets.idempotency".to_owned(), make, |cause| cause).await
    }
}
