//! The tests of the package, one executable: each costs seconds to link.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod apply;
mod archived;
mod athena;
mod baseline;
mod compact;
mod compare;
mod configure;
mod erase;
mod models;
mod past;
mod query;
mod replay;
mod status;
mod verify;
