//! Rendezvous on one machine: the system of `rendezvous-sim` over a data folder, with HTTP on
//! 127.0.0.1.

mod client;
mod endpoints;
mod flights;
mod percentiles;
mod report;
mod tables;
mod year;

pub mod bench;
pub mod demo;
pub mod http;
pub mod options;
pub mod serve;
