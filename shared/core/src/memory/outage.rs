//! Faults on demand: every port in memory can be made to fail as its counterpart on AWS can.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::Unavailable;

/// How a port fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Every call is rate-limited.
    Throttled,
    /// Every call fails at once.
    Down,
    /// No call ever returns.
    Hanging,
}

/// Sets how a port fails, at any time.
#[derive(Debug, Default)]
pub struct Outage(AtomicU8);

impl Outage {
    pub fn set(&self, trouble: Trouble) {
        self.0.store(trouble as u8, Ordering::Relaxed);
    }

    /// Returns, fails or never returns, as set.
    pub(crate) async fn check(&self, port: &'static str) -> Result<(), Unavailable> {
        match self.0.load(Ordering::Relaxed) {
            throttled if throttled == Trouble::Throttled as u8 => {
                Err(Unavailable::throttled(port, "on purpose"))
            }
            down if down == Trouble::Down as u8 => Err(Unavailable::down(port, "on purpose")),
            hanging if hanging == Trouble::Hanging as u8 => std::future::pending().await,
            _ => Ok(()),
        }
    }
}
