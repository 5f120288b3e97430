//! Trouble on demand: every port in memory can be made to fail as its cloud counterpart can.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::ports::Unavailable;

/// What is wrong with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Every call is refused: too many.
    Throttled,
    /// Every call fails at once.
    Down,
    /// No call ever returns.
    Hanging,
}

/// A switch that a test or a demonstration may turn at any time.
#[derive(Debug, Default)]
pub struct Outage(AtomicU8);

impl Outage {
    pub fn set(&self, trouble: Trouble) {
        self.0.store(trouble as u8, Ordering::Relaxed);
    }

    /// Passes, fails or hangs, as the switch stands.
    pub(crate) async fn check(&self, port: &'static str) -> Result<(), Unavailable> {
        match self.0.load(Ordering::Relaxed) {
            throttled if throttled == Trouble::Throttled as u8 => {
                Err(Unavailable::Throttled(port.into()))
            }
            down if down == Trouble::Down as u8 => Err(Unavailable::Down(port.into())),
            hanging if hanging == Trouble::Hanging as u8 => std::future::pending().await,
            _ => Ok(()),
        }
    }
}
