//! Rendezvous on one machine: the functions' own handlers, the ports in memory, the archive in a
//! folder, HTTP on 127.0.0.1.

mod client;
mod endpoints;
mod flights;
mod folder;
mod percentiles;
mod report;
mod tables;
mod year;

pub mod bench;
pub mod demo;
pub mod http;
pub mod options;
pub mod serve;

pub use folder::FolderArchive;
