//! The command `gaps`: what is missing in the archive.

use std::fmt::Write;

use clap::Args;
use rendezvous_core::ports::{ArchiveFiles, EndpointTable};
use rendezvous_evidence::gaps::Gaps;

use crate::{
    failure::Failure,
    output::Output,
    past::{self, Range},
    progress::Bar,
};

#[derive(Args, Clone, Debug)]
pub struct GapsOptions {
    #[command(flatten)]
    pub range: Range,
}

/// Looks for what is missing in the archive.
pub async fn gaps(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    options: &GapsOptions,
) -> Result<Output, Failure> {
    let configurations = past::configurations(endpoints, &options.range.endpoint).await?;
    let requests = past::live(files, &options.range, Bar::shows()).await?;
    let mut gaps = Gaps::default();
    requests.each(|request| {
        gaps.push(&request, &configurations);
        Ok(())
    })?;
    Output::of(&gaps, table)
}

/// A table for people.
fn table(gaps: &Gaps) -> String {
    let mut text = String::new();
    let mut row = |what: &str, count: u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{what:<52} {count:>12}");
    };
    row("requests", gaps.requests);
    row("  without score or failure", gaps.without_scores);
    row("  without decision", gaps.undecided);
    row("  whose row is missing", gaps.without_request);
    row("  whose configuration is not known", gaps.no_configuration);
    row("decisions without score or failure", gaps.decisions_without_scores);
    row("pairs of request and model", gaps.pairs);
    row("  without score or failure", gaps.missing.values().sum());
    for (model, count) in &gaps.missing {
        row(&format!("    {model}"), *count);
    }
    text
}
