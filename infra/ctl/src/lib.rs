//! What `rendezvousctl` does with a running system, whatever it runs on. Nothing here needs an AWS
//! SDK: the program connects it to a stack. What the console does as well is in
//! [`rendezvous_operations`].

pub mod compact;
pub mod erase;
mod files;
pub mod query;
pub mod redrive;
pub mod replay;
pub mod verify;

pub use rendezvous_operations::{
    baseline, change, compare, difference, endpoints, failure, gaps, models, output, past,
    progress, status, up, whatif,
};
