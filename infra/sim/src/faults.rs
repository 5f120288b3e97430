//! Faults of a model on demand: kill it, slow it down, or let some calls hang.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rendezvous_core::{Artifact, Failure, Json};
use rendezvous_model::{Model, Profile};
use tokio::time::sleep;

use crate::{Link, step::Step};

/// The faults of a model. May be changed at any time.
#[derive(Debug, Default)]
pub struct Faults {
    killed: AtomicBool,
    slow_ms: AtomicU64,
    hang_one_in: AtomicU64,
    scored: AtomicU64,
}

impl Faults {
    /// A killed model's function crashes at every invocation.
    pub fn kill(&self, killed: bool) {
        self.killed.store(killed, Ordering::Relaxed);
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Every call of the model takes this much longer.
    pub fn slow(&self, by: Duration) {
        self.slow_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// One request in `count` hangs for ever, none when `count` is 0. The model is then called with one
    /// request at a time.
    pub fn hang_one_in(&self, count: u64) {
        self.hang_one_in.store(count, Ordering::Relaxed);
    }

    fn hangs_now(&self) -> bool {
        let one_in = self.hang_one_in.load(Ordering::Relaxed);
        one_in > 0 && self.scored.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in)
    }
}

/// A model with its faults.
pub(crate) struct Faulty<M> {
    pub(crate) model: Arc<Link<M>>,
    pub(crate) faults: Arc<Faults>,
}

impl<M: Model> Model for Faulty<M> {
    fn profile(&self) -> &Profile {
        self.model.port().profile()
    }

    fn largest_batch(&self) -> usize {
        let one_by_one = self.faults.hang_one_in.load(Ordering::Relaxed) > 0;
        if one_by_one { 1 } else { self.model.port().largest_batch() }
    }

    fn until_deadline(&self) -> bool {
        self.model.port().until_deadline()
    }

    fn artifact(&self) -> Option<Artifact> {
        self.model.port().artifact()
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        if self.faults.hangs_now() {
            std::future::pending::<()>().await;
        }
        let slow = self.faults.slow_ms.load(Ordering::Relaxed);
        if slow > 0 {
            sleep(Duration::from_millis(slow)).await;
        }
        let score = pin!(self.model.port().score(payloads));
        self.model.step(Step::Score, payloads, score).await
    }
}
