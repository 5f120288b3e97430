//! The tests of the package, one executable: each costs seconds to link.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod broken;
mod exports;
mod flights;
mod graph;
mod rows;
