//! Fuzzing targets: one for each place where the system reads bytes that others have made, and two that
//! compare a part of the core with a plain model of it.
//!
//! A target takes any bytes. It panics where the system breaks a rule: a panic, a value that is another one
//! after it was written and read again, a status that no client should see. [`TARGETS`] has them all;
//! `driver` calls one from libFuzzer, and the test of this crate replays the corpora.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "this is test code, and targets are there to panic"
)]

mod archive;
mod batches;
mod cards;
mod decide;
mod edge;
mod functions;
mod http;
mod input;
mod ledger;
mod log;
mod messages;
mod onnx;
mod processes;
mod remote;
mod settings;
mod system;
mod windows;

/// What is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    /// Panics where the system breaks a rule.
    pub run: fn(&[u8]),
    /// The longest input that is worth trying, in bytes.
    pub longest: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), longest: usize) -> Target {
    Target { name, run, longest }
}

/// All targets. The folder of a target's corpus has its name.
pub const TARGETS: &[Target] = &[
    target("request", messages::request, 1_024),
    target("score", messages::score, 1_024),
    target("names", messages::names, 128),
    target("configuration", settings::configuration, 1_024),
    target("card", cards::card, 1_536),
    target("http", http::http, 1_024),
    target("inference", http::inference, 1_024),
    target("edge", edge::connection, 1_024),
    target("gateway", http::gateway, 1_536),
    target("kinesis", batches::kinesis, 1_536),
    target("dynamodb", batches::dynamodb, 2_048),
    target("functions", functions::functions, 2_048),
    target("runtime-api", processes::runtime_api, 512),
    target("put-records", processes::put_records, 1_024),
    target("response", batches::response, 256),
    target("remote", remote::answer, 512),
    target("windows", windows::windows, 1_024),
    target("log", log::read, 512),
    target("archive", archive::read, 8_192),
    target("join", archive::join, 8_192),
    target("onnx", onnx::load, 4_096),
    target("ledger", ledger::differs, 256),
    target("decide", decide::differs, 128),
];
