//! The whole system in one process: the functions' own handlers over the ports in memory, called by
//! event source mappings with the events that AWS Lambda would send, with faults on demand or by
//! chance.
//!
//! Nothing here listens, prints or reads files: that is `infra/local`.
//!
//! With `rendezvous_core::random::seed` and `rendezvous_core::clock::simulate`, on tokio's paused
//! clock and one thread, a run is a function of the seed: its [`Trace`] shows that.

mod actor;
mod chances;
pub mod counters;
pub mod events;
pub mod faults;
mod functions;
mod link;
pub mod mapping;
mod system;
mod trace;

pub use actor::Actor;
pub use chances::{CRASHED_WITHIN, Chances};
pub use counters::Counters;
pub use link::Link;
pub use system::{Size, System};
pub use trace::Trace;
