//! Rendezvous on one machine: the system of `rendezvous-sim` over a data folder, with HTTP on
//! 127.0.0.1.

mod archiving;
mod cards;
mod client;
mod console;
mod deaths;
mod endpoints;
mod flights;
mod folder;
mod log;
mod metrics;
mod percentiles;
mod processes;
mod report;
mod server;
mod story;
mod values;
mod workspace;
mod year;

pub mod bench;
pub mod calm;
pub mod check;
pub mod demo;
pub mod function;
pub mod http;
pub mod options;
pub mod ready;
pub mod say;
pub mod serve;
pub mod tables;
