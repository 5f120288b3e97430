//! The archive: tables in S3, or in a folder, that hold every request, score, decision and outcome,
//! and the scores of replays.
//!
//! Each table is described once, as a row type in [`tables`]: its columns, their types and their
//! comments. From this description files are written ([`write()`]) and read ([`read()`]), and a test of
//! this crate checks the Glue tables and the views of `infra/analytics.yaml` against it. To add a
//! column, add a field to its row type, of a type that may be absent (`Option` or `Vec`): files
//! that were written before lack it, and read as null.
//!
//! [`files`] names the files, [`views`] says which rows the analysts' views show, [`rewrite`] makes files that take the place of
//! others, [`tombstones`] says of which requests no row may be written any more.

pub mod activity;
mod claims;
mod deltas;
pub mod files;
mod group;
pub mod join;
mod joined;
pub mod latest;
pub mod layout;
mod lines;
pub mod one;
mod pages;
mod part;
pub mod payloads;
mod read;
pub mod rewrite;
mod row_group;
pub mod scan;
mod sort;
mod sparse;
pub mod tables;
mod thrift;
pub mod tombstones;
mod value;
pub mod views;
pub mod walk;
mod write;

pub use {
    joined::{Asked, Decided, Joined, Reported, Scored},
    layout::{Column, EncodingHint, Layout, Row, Select},
    part::Extent,
    read::read,
    row_group::Unreadable,
    scan::ScanError,
    tables::{DecisionRow, OutcomeRow, ReplayRow, RequestRow, ScoreRow, layouts},
    value::{Scalar, Type, Value},
    write::{Unwritable, write},
};
