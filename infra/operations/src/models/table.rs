//! What `models` prints for people.

use rendezvous_core::Artifact;

use super::{Listing, Row};
use crate::output::{instant, table as aligned};

/// The tables, and the warnings below them.
pub(super) fn table(found: &Listing) -> String {
    let head =
        ["endpoint", "model", "role", "up since", "last score", "scored", "failed", "artefact"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(found.models.iter().map(line));
    let mut text = format!(
        "Scores that arrived from {} to {}\n\n",
        instant(found.from_us),
        instant(found.to_us)
    );
    text += &aligned(&lines, &[5, 6]);
    if !found.functions.is_empty() {
        let head = ["model", "function", "package (sha256)", "modified", "mapping", "last batch"];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        lines.extend(found.functions.iter().map(|(model, function)| {
            vec![
                model.to_string(),
                function.name.clone(),
                function.package.clone(),
                function.modified.map(instant).unwrap_or_default(),
                function.mapping.clone(),
                function.last_batch.clone(),
            ]
        }));
        text = text + "\n" + &aligned(&lines, &[]);
    }
    if !found.warnings.is_empty() {
        let warnings = found.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        text = text + "\n" + &warnings.collect::<String>();
    }
    text
}

fn line(row: &Row) -> Vec<String> {
    let roles =
        if row.roles.is_empty() { "not configured".to_owned() } else { row.roles.join(", ") };
    let since = match (row.up, row.since_us) {
        (Some(true), since) => since.map_or_else(|| "up".to_owned(), instant),
        (Some(false), _) => "not up".to_owned(),
        (None, _) => "not known".to_owned(),
    };
    let artifacts: Vec<String> =
        row.artifacts.iter().map(|version| short(&version.artifact)).collect();
    vec![
        row.endpoint.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string),
        row.model.to_string(),
        roles,
        since,
        row.last_us.map_or_else(|| "none".to_owned(), instant),
        row.scored.to_string(),
        row.failed.to_string(),
        artifacts.join(", "),
    ]
}

/// A hash is cut; JSON has all of it.
pub(super) fn short(artifact: &Artifact) -> String {
    const SHOWN: usize = "sha256:0123456789ab".len();
    match artifact.as_str().get(..SHOWN) {
        Some(begin) if begin.starts_with("sha256:") && artifact.as_str().len() > SHOWN => {
            format!("{begin}…")
        }
        _ => artifact.to_string(),
    }
}
