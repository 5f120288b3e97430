//! The whole system in one process: the functions' own handlers over the ports in memory, called by
//! event source mappings with the events that AWS Lambda would send, with faults on demand.
//!
//! Nothing here listens, prints or reads files: that is `infra/local`.

pub mod counters;
pub mod events;
pub mod faults;
pub mod mapping;
mod system;

pub use counters::Counters;
pub use system::{Size, System};
