//! What operators do with a running system, whatever it runs on: read its figures, weigh evidence,
//! change configurations. `rendezvousctl` prints it, the console shows it; each figure is computed here.
//!
//! Nothing here needs an AWS SDK: everything is generic over the ports.

pub mod baseline;
pub mod change;
pub mod compare;
pub mod difference;
pub mod endpoints;
pub mod failure;
pub mod gaps;
pub mod models;
pub mod output;
pub mod past;
pub mod progress;
pub mod status;
pub mod up;
pub mod whatif;
