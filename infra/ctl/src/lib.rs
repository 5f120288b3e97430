//! What `rendezvousctl` does with a running system, whatever it runs on. Nothing here needs an AWS
//! SDK: the program connects it to a stack.

pub mod change;
pub mod compare;
pub mod difference;
pub mod endpoints;
pub mod failure;
pub mod gaps;
pub mod models;
pub mod output;
pub mod past;
mod progress;
pub mod query;
pub mod redrive;
pub mod replay;
pub mod status;
pub mod up;
pub mod verify;
pub mod whatif;
