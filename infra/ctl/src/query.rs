//! The saved queries of `infra/analytics.yaml`: which there are, and what one of them answers, from
//! Athena or from the archive of a data folder.

pub mod athena;
pub mod duckdb;
pub mod rows;
pub mod saved;
mod settings;
