//! What the archive and the endpoints table know of an endpoint's past.

use chrono::{DateTime, NaiveDate};
use rendezvous_archive::{
    ScanError,
    join::{Requests, Wanted, join},
};
use rendezvous_core::{
    EndpointName, Timestamp, Unavailable,
    ports::{ArchiveFiles, EndpointTable},
};
use rendezvous_evidence::whatif::Configurations;

use crate::progress::Bar;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The command line is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

impl From<ScanError> for Problem {
    fn from(error: ScanError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::Failed(error.to_string())
    }
}

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
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// A day, or an instant by RFC 3339.
fn instant(text: &str) -> Result<Timestamp, String> {
    let micros = match text.parse::<NaiveDate>() {
        Ok(day) => day.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc().timestamp_micros()),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros()),
    };
    let advice = || "not a time: write 2026-11-26, or 2026-11-26T07:00:00Z".to_owned();
    micros.map(Timestamp::from_micros).ok_or_else(advice)
}

/// Every version of the endpoint's configuration.
pub(crate) async fn configurations(
    table: &impl EndpointTable,
    endpoint: &EndpointName,
) -> Result<Configurations, Problem> {
    let mut configurations = Configurations::new();
    for publication in table.history(endpoint).await? {
        if let Some(version) = table.version(endpoint, publication.version).await? {
            configurations.insert(publication.version, version.configuration.clone());
        }
    }
    if configurations.is_empty() {
        let known: Vec<String> = table.list().await?.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        return Err(Problem::Usage(format!("there is no endpoint {endpoint}: known are {known}")));
    }
    Ok(configurations)
}

/// Reads the requests in the range.
pub(crate) async fn requests(
    files: &impl ArchiveFiles,
    range: &Range,
    bar: &mut Bar,
) -> Result<Requests, Problem> {
    let all = Wanted::all(range.endpoint.clone());
    let wanted =
        Wanted { from: range.from.unwrap_or(all.from), to: range.to.unwrap_or(all.to), ..all };
    if wanted.from >= wanted.to {
        return Err(Problem::Usage("--from must be before --to".to_owned()));
    }
    Ok(join(files, &wanted, |progress| bar.show(&progress)).await?)
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
