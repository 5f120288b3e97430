//! The tests of the package, one executable: each costs seconds to link.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod alarms;
mod callers;
mod chance;
mod comparison;
mod drift;
mod flights;
mod guard;
mod sketch;
mod streams;
mod whatif;
mod window;
