//! Parts of the simulated system by themselves.
//!
//! They are not in the library because that would be compiled once more for its tests, for minutes: with the code of all functions.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod actor;
mod events;
mod show;
