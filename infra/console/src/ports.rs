//! What the console needs of a system.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use rendezvous_core::ModelId;
use rendezvous_operations::up::Up;
use serde::Serialize;

/// The ports of a system.
pub struct Ports<E, W, A, R> {
    pub endpoints: Arc<E>,
    pub windows: Arc<W>,
    pub archive: Arc<A>,
    pub running: R,
}

/// The ports, shared by the calls.
pub(crate) type Shared<E, W, A, R> = Arc<Ports<E, W, A, R>>;

/// What is known of the system beside its tables and its archive.
pub trait Running: Send + Sync + 'static {
    /// The models that are up, or why that is not known.
    fn models_up(&self) -> impl Future<Output = Result<Up, String>> + Send;

    /// What the functions have counted since they started, where that can be read at once.
    fn counters(&self) -> Option<Counters>;

    /// How long before the deadline ingress settles.
    fn margin(&self) -> Duration;
}

/// What the functions have counted since they started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Calls that were answered with a decision, by its kind.
    pub answers: BTreeMap<&'static str, u64>,
    pub late: u64,
    pub unsettled: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub models: BTreeMap<ModelId, ModelCounters>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelCounters {
    pub scored: u64,
    /// Failures of every kind.
    pub failed: u64,
}
