//! The whole system in one process: the functions' own handlers over the ports in memory, called by
//! event source mappings with the events that AWS Lambda would send, with faults on demand or by
//! chance.
//!
//! Nothing here listens, prints or reads files: that is `infra/local`.
//!
//! With `rendezvous_core::random::seed` and `rendezvous_core::clock::simulate`, on tokio's paused
//! clock and one thread, a run is a function of the seed: its [`Trace`] shows that.

mod actor;
pub mod campaign;
mod conditions;
pub mod counters;
pub mod events;
pub mod fault;
pub mod faults;
mod fleet;
mod functions;
mod ingress;
pub mod invariant;
mod link;
pub mod mapping;
mod minutes;
pub mod run;
pub mod show;
pub mod step;
mod system;
pub mod tally;
mod trace;
pub mod weather;
pub mod witness;

pub use actor::{Actor, Role};
pub use conditions::Conditions;
pub use counters::{Counters, ModelTotals, Totals};
pub use link::Link;
pub use system::{Size, System};
pub use trace::Trace;
