//! The tests of the package, one executable: each costs seconds to link.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod catalog;
mod claims;
mod join;
mod rewrite;
mod round_trip;
mod walk;
