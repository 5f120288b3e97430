//! The metrics of a batch.

use std::time::Duration;

use metrique::{
    unit::{Byte, Millisecond},
    unit_of_work::metrics,
};
use rendezvous_decoy::Archived;

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Source"]])]
struct Batch {
    stack: String,
    source: &'static str,
    archived: usize,
    quarantined: usize,
    files: usize,
    #[metrics(unit = Byte)]
    archive_bytes: usize,
    #[metrics(unit = Millisecond)]
    archive_lag: Duration,
}

/// The EMF line of one batch.
pub(crate) fn line(stack: &str, source: &'static str, archived: &Archived) -> Vec<u8> {
    rendezvous_aws::metrics::line(Batch {
        stack: stack.to_owned(),
        source,
        archived: archived.rows,
        quarantined: archived.quarantined,
        files: archived.files,
        archive_bytes: archived.bytes,
        archive_lag: archived.lag,
    })
}
