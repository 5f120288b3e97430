//! What is wrong with the models of a system, and what to do.

use std::ops::Range;

use rendezvous_archive::files::Hour;
use rendezvous_core::{EndpointName, ModelId, Timestamp};

use super::{Row, Version, table::short};
use crate::{
    output::instant,
    up::{self, Up},
};

/// What is wrong, one sentence each.
pub(super) fn warnings(
    rows: &[Row],
    up: &Result<Up, String>,
    arrived: &Range<Timestamp>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(why) = up {
        warnings.push(format!("it is not known which models are up: {why}"));
    }
    for row in rows {
        let Some(endpoint) = &row.endpoint else { continue };
        if !row.roles.is_empty() {
            let absent = up.as_ref().ok().and_then(|up| absent(up, endpoint, &row.model));
            warnings.extend(absent.or_else(|| silent(row, endpoint, rows, arrived)));
        }
        warnings.extend(changed(row, endpoint));
    }
    warnings
}

/// A configured model that receives no requests.
fn absent(up: &Up, endpoint: &EndpointName, model: &ModelId) -> Option<String> {
    let what = up::warning(up, endpoint, model)?;
    let advice = match up.get(model).map(|known| (known.is_up(), &known.function)) {
        Some((false, Some(function))) => format!(
            "its event source mapping is {}: aws lambda update-event-source-mapping --uuid {} --enabled",
            function.mapping, function.mapping_id
        ),
        Some((_, Some(_))) => {
            "deploy its stack again with the endpoint in Endpoints, or remove it from the configuration"
                .to_owned()
        }
        Some((_, None)) => {
            "name the endpoint in its card, under another version, or remove it from the configuration"
                .to_owned()
        }
        None => "put its card into the folder of models, or on AWS deploy functions/models/template.yaml \
                 for it; or remove it from the configuration (rendezvousctl retire)"
            .to_owned(),
    };
    Some(format!("{endpoint}: {what}; {advice}"))
}

/// A configured model that sent nothing while others scored.
fn silent(
    row: &Row,
    endpoint: &EndpointName,
    rows: &[Row],
    arrived: &Range<Timestamp>,
) -> Option<String> {
    if row.last_us.is_some() || !row.scores_all {
        return None;
    }
    let others = rows.iter().filter(|other| other.endpoint.as_ref() == Some(endpoint));
    let busiest = others.max_by_key(|other| other.scored + other.failed)?;
    // What the others sent before the model came up says nothing of it.
    if busiest.last_us? <= row.since_us.unwrap_or(arrived.start) {
        return None;
    }
    let sent = busiest.scored + busiest.failed;
    let (model, other, from) = (&row.model, &busiest.model, instant(arrived.start));
    Some(format!(
        "{endpoint}: {model} has sent neither score nor failure since {from}, while {other} sent {sent}: \
         read its function's log, and run rendezvousctl verify"
    ))
}

/// A model that scored from two artefacts within an hour.
fn changed(row: &Row, endpoint: &EndpointName) -> Option<String> {
    let hours = |version: &Version| (Hour::of(version.first_us), Hour::of(version.last_us));
    let overlap = |a: &Version, b: &Version| {
        let ((first, last), (begin, end)) = (hours(a), hours(b));
        first <= end && begin <= last
    };
    let versions = row.artifacts.iter().enumerate();
    let (one, other) = versions
        .flat_map(|(i, one)| row.artifacts[..i].iter().map(move |other| (other, one)))
        .find(|(one, other)| overlap(one, other))?;
    Some(format!(
        "{endpoint}: {} scored from {} until {} and from {} since {}, under one version and in the same hour: \
         figures of the two are mixed; give a changed model another version",
        row.model,
        short(&one.artifact),
        instant(one.last_us),
        short(&other.artifact),
        instant(other.first_us)
    ))
}
