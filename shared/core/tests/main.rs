//! The tests of the package, one executable: each costs seconds to link.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod arms;
mod endpoint_cache;
mod ids;
mod payloads;
mod ports;
mod schedule;
mod settle;
