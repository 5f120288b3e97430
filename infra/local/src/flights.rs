//! Real requests: flights out of New York in 2013, in order of departure, with what became of them.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::options::Error;

/// One line of `sample.ndjson`.
#[derive(Deserialize)]
pub(crate) struct Flight {
    /// Scheduled departure, local time: `2013-07-01T05:15`.
    at: String,
    /// The outcome: arrived more than 15 minutes late, or not at all.
    pub(crate) late: bool,
    pub(crate) payload: Box<RawValue>,
}

/// The flights from July on: those that no model has learnt from.
pub(crate) fn unseen(folder: &Path) -> Result<Vec<Flight>, Error> {
    const TRAINED_UNTIL: &str = "2013-07-01";
    let path = folder.join("sample.ndjson");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut flights = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let flight: Flight = serde_json::from_str(line)
            .map_err(|error| format!("{}, line {}: {error}", path.display(), number + 1))?;
        if flight.at.as_str() >= TRAINED_UNTIL {
            flights.push(flight);
        }
    }
    if flights.is_empty() {
        return Err(format!("{}: no flight from July 2013 on", path.display()).into());
    }
    Ok(flights)
}
