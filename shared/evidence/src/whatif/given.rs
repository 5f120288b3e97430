//! What a what-if must know besides the requests.

use std::{collections::HashMap, time::Duration};

use rendezvous_core::Configuration;

/// The configurations of an endpoint, by version.
pub type Configurations = HashMap<u64, Configuration>;

/// How the system works besides its schedule.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// From the arrival of a score until it can be decided on: see [`FilingTime`](super::FilingTime).
    pub filing: Duration,
    /// How long before the deadline ingress settles.
    pub margin: Duration,
}
