//! The tests of the package, one executable: each costs seconds to link.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;
mod function;
mod payloads;
mod time;
