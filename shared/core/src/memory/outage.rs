//! Faults on demand: every port in memory can be made to fail as its counterpart on AWS can.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use crate::error::Unavailable;

/// How a port fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    #[default]
    None,
    /// Every call is rate-limited.
    Throttled,
    /// Every call fails at once.
    Down,
    /// No call ever returns.
    Hanging,
    /// Every call takes this much longer.
    Slow(Duration),
}

/// Sets how a port fails, at any time.
#[derive(Debug, Default)]
pub struct Outage(Mutex<Trouble>);

impl Outage {
    pub fn set(&self, trouble: Trouble) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Returns, fails or never returns, as set.
    pub(crate) async fn check(&self, port: &'static str) -> Result<(), Unavailable> {
        let trouble = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Trouble::None => Ok(()),
            Trouble::Throttled => Err(Unavailable::throttled(port, "on purpose")),
            Trouble::Down => Err(Unavailable::down(port, "on purpose")),
            Trouble::Hanging => std::future::pending().await,
            Trouble::Slow(by) => {
                sleep(by).await;
                Ok(())
            }
        }
    }
}
