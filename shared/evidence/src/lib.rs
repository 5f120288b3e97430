//! Evidence: pure statistics over what the archive holds.
//!
//! Data goes in, figures and verdicts come out. Nothing here reads files or the network.

pub mod gaps;
pub mod times;
pub mod whatif;
