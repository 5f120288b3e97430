//! The endpoints as a function sees them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rendezvous_core::{
    Configuration, Endpoint, EndpointCache, EndpointName, Provenance, Publication, Unavailable,
    UnavailableKind, clock,
    conformance::samples,
    memory::{MemoryEndpoints, Trouble},
    now,
    ports::{EndpointTable, PublishError},
};

#[tokio::test(start_paused = true)]
async fn a_version_that_cannot_be_read_yet_leaves_the_old_one_in_use() {
    clock::simulate(now());
    let table =
        Arc::new(Halting { inner: MemoryEndpoints::default(), halted: AtomicBool::new(false) });
    let configuration = samples::endpoint().configuration;
    let name = "sample".parse().unwrap();
    let endpoints = EndpointCache::new(table.clone());
    publish(&*table, &name, &configuration).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);
    publish(&*table, &name, &configuration).await;
    table.halted.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);
    assert_eq!(before.elapsed().as_millis(), 250, "a request waits for a quarter of its deadline");
    table.halted.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 2);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_takes_longer_than_a_request_waits_is_there_for_the_next_one() {
    clock::simulate(now());
    let table = Arc::new(MemoryEndpoints::default());
    let configuration = samples::endpoint().configuration;
    let name = "sample".parse().unwrap();
    let endpoints = EndpointCache::new(table.clone());
    publish(&*table, &name, &configuration).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);
    assert!(endpoints.catch_up(&name).is_none(), "there is nothing to catch up with");
    publish(&*table, &name, &configuration).await;
    // The pointer and the version: more than a quarter of the deadline.
    table.outage.set(Trouble::Slow(Duration::from_millis(200)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);
    let catching_up = endpoints.catch_up(&name).unwrap();
    assert!(endpoints.catch_up(&name).is_none(), "one caller is enough");
    catching_up.await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 2);
}

/// A table whose pointers can be read while its versions hang.
struct Halting {
    inner: MemoryEndpoints,
    halted: AtomicBool,
}

impl EndpointTable for Halting {
    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        self.inner.current(name).await
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        if self.halted.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.version(name, version).await
    }

    async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        self.inner.list().await
    }

    async fn history(&self, name: &EndpointName) -> Result<Vec<Publication>, Unavailable> {
        self.inner.history(name).await
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        self.inner.publish(name, configuration, provenance, expected).await
    }
}

/// Publishes the configuration as the next version.
async fn publish(table: &impl EndpointTable, name: &EndpointName, configuration: &Configuration) {
    let provenance = Provenance::new("test", "").unwrap();
    let current = table.current(name).await.unwrap();
    table.publish(name, configuration.clone(), provenance, current).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_promotion_is_seen_within_a_second_and_a_table_that_is_down_is_not_missed() {
    clock::simulate(now());
    let table = Arc::new(MemoryEndpoints::default());
    let configuration = samples::endpoint().configuration;
    let name = "sample".parse().unwrap();
    let endpoints = EndpointCache::new(table.clone());
    assert!(endpoints.current(&name).await.unwrap().is_none());
    publish(&*table, &name, &configuration).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);

    publish(&*table, &name, &configuration).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);
    tokio::time::sleep(Duration::from_millis(999)).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 2);

    table.outage.set(Trouble::Down);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(endpoints.current(&name).await.unwrap().unwrap().version, 2, "stale, but known");
    let unknown = "unknown".parse().unwrap();
    let down = endpoints.current(&unknown).await.unwrap_err();
    assert_eq!((down.dependency, down.kind), ("endpoints table", UnavailableKind::Down));

    table.outage.set(Trouble::Hanging);
    let begin = tokio::time::Instant::now();
    assert!(endpoints.current(&unknown).await.is_err());
    assert!(endpoints.version(&unknown, 1).await.is_err());
    assert!(endpoints.list().await.is_err());
    assert_eq!(begin.elapsed().as_secs(), 6, "two seconds each");
}

#[tokio::test]
async fn a_thousand_versions_are_kept_and_then_read_again() {
    let table = Arc::new(MemoryEndpoints::default());
    let (name, configuration) = ("sample".parse().unwrap(), samples::endpoint().configuration);
    let endpoints = EndpointCache::new(table.clone());
    for version in 1..=1_001 {
        publish(&*table, &name, &configuration).await;
        if version <= 1_000 {
            assert!(endpoints.version(&name, version).await.unwrap().is_some());
        }
    }
    table.outage.set(Trouble::Down);
    for version in [1, 1_000] {
        let kept = endpoints.version(&name, version).await.unwrap();
        assert_eq!(kept.unwrap().version, version);
    }
    table.outage.set(Trouble::None);
    endpoints.version(&name, 1_001).await.unwrap();
    table.outage.set(Trouble::Down);
    assert!(endpoints.version(&name, 1_001).await.is_ok());
    assert!(endpoints.version(&name, 1).await.is_err(), "no more than a thousand are kept");
}
