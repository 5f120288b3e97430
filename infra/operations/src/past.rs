//! What the archive and the endpoints table know of an endpoint's past.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate};
use rendezvous_archive::{
    join::{Requests, Wanted, join},
    scan::Progress,
};
use rendezvous_core::{
    Configuration, EndpointName, ModelId, Timestamp,
    ports::{ArchiveFiles, EndpointTable},
};
use rendezvous_evidence::whatif::Configurations;

use crate::failure::Failure;

/// Which requests of an endpoint.
#[derive(Clone, Debug, clap::Args)]
pub struct Range {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Only requests received at or after this: 2026-11-26, or 2026-11-26T07:00:00Z. A day begins at
    /// midnight UTC.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Only requests received before this.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<Timestamp>,
}

impl Range {
    /// The requests in the range.
    pub fn wanted(&self) -> Result<Wanted, Failure> {
        let all = Wanted::all(self.endpoint.clone());
        let (from, to) = (self.from.unwrap_or(all.from), self.to.unwrap_or(all.to));
        if from >= to {
            return Err(Failure::Usage("--from must be before --to".to_owned()));
        }
        Ok(Wanted { from, to, ..all })
    }
}

/// A day, or an instant by RFC 3339.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let micros = match text.parse::<NaiveDate>() {
        Ok(day) => day.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc().timestamp_micros()),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros()),
    };
    let advice = || "not a time: write 2026-11-26, or 2026-11-26T07:00:00Z".to_owned();
    micros.map(Timestamp::from_micros).ok_or_else(advice)
}

/// Every version of the endpoint's configuration.
pub async fn configurations(
    table: &impl EndpointTable,
    endpoint: &EndpointName,
) -> Result<Configurations, Failure> {
    let mut configurations = Configurations::new();
    for publication in table.history(endpoint).await? {
        if let Some(version) = table.version(endpoint, publication.version).await? {
            configurations.insert(publication.version, version.configuration.clone());
        }
    }
    if configurations.is_empty() {
        let known: Vec<String> = table.list().await?.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        return Err(Failure::Failed(format!("there is no endpoint {endpoint}: known are {known}")));
    }
    Ok(configurations)
}

/// Fails when no version of the endpoint's configuration lists the model, and the archive does not name it
/// either, as it does once the model has scored a replay.
pub(crate) fn require_known(
    configurations: &Configurations,
    requests: &Requests,
    endpoint: &EndpointName,
    model: &ModelId,
) -> Result<(), Failure> {
    let listed: BTreeSet<&ModelId> =
        configurations.values().flat_map(Configuration::models).collect();
    if listed.contains(model) || requests.name(model) {
        return Ok(());
    }
    let listed: Vec<&str> = listed.into_iter().map(ModelId::as_str).collect();
    Err(Failure::Failed(format!(
        "no version of {endpoint} lists {model}, and no replay is of it; they list {}",
        listed.join(", ")
    )))
}

/// Reads the requests in the range, without replays.
pub(crate) async fn live(
    files: &impl ArchiveFiles,
    range: &Range,
    progress: impl FnMut(Progress),
) -> Result<Requests, Failure> {
    Ok(join(files, &range.wanted()?, progress).await?)
}

/// Reads the requests in the range. A model that has sent no score of a request live has that of its replay.
pub(crate) async fn requests(
    files: &impl ArchiveFiles,
    range: &Range,
    segment: Option<String>,
    progress: impl FnMut(Progress),
) -> Result<Requests, Failure> {
    let wanted = Wanted { segment, replays: true, ..range.wanted()? };
    Ok(join(files, &wanted, progress).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_an_instant() {
        let day = Timestamp::from_micros(1_385_078_400_000_000);
        assert_eq!(instant("2013-11-22"), Ok(day));
        assert_eq!(instant("2013-11-22T01:00:00+01:00"), Ok(day));
        for wrong in ["", "22.11.2013", "2013-11-22T00:00", "2013-13-01"] {
            assert!(instant(wrong).unwrap_err().contains("write 2026-11-26"), "{wrong}");
        }
    }
}
