//! Real requests: flights out of New York in 2013, in order of departure, with what became of them.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use chrono::NaiveDateTime;
use rendezvous_core::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::say::Error;

/// The endpoint that the flights are requests of.
pub(crate) const ENDPOINT: &str = "flight-delay";

/// The flights example, as it lies in the repository.
pub(crate) fn folder() -> PathBuf {
    repository().join("functions/models/flights")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().collect()
}

/// One line of `sample.ndjson.zst`.
#[derive(Deserialize)]
pub(crate) struct Flight<'a> {
    /// Scheduled departure, local time: `2013-07-01T05:15`.
    at: &'a str,
    /// The outcome: arrived more than 15 minutes late, or not at all.
    pub(crate) late: bool,
    #[serde(borrow)]
    pub(crate) payload: &'a RawValue,
}

impl Flight<'_> {
    /// Scheduled departure. New York's local time is taken as UTC, so that days and months of the
    /// archive are those of the flights.
    pub(crate) fn departure(&self) -> Timestamp {
        let time = NaiveDateTime::parse_from_str(self.at, "%Y-%m-%dT%H:%M").unwrap_or_default();
        Timestamp::from_micros(time.and_utc().timestamp_micros())
    }

    /// `2013-07`
    pub(crate) fn month(&self) -> &str {
        self.at.get(..7).unwrap_or_default()
    }
}

/// The sample, as text.
pub(crate) struct Flights {
    path: String,
    text: String,
}

impl Flights {
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("sample.ndjson.zst");
        let mut text = String::new();
        let read = File::open(&path)
            .and_then(zstd::Decoder::new)
            .and_then(|mut file| file.read_to_string(&mut text));
        let path = path.display().to_string();
        match read {
            Ok(_) => Ok(Self { path, text }),
            Err(error) => Err(format!("{path}: {error}").into()),
        }
    }

    /// Every flight of the year.
    pub(crate) fn all(&self) -> Result<Vec<Flight<'_>>, Error> {
        self.parse(self.text.lines().enumerate())
    }

    /// Of those flights that no model has learnt from, July to December, at most so many, evenly
    /// spread over the months.
    pub(crate) fn unseen(&self, at_most: usize) -> Result<Vec<Flight<'_>>, Error> {
        const FIRST: &str = "{\"at\":\"2013-07-01";
        let unseen = || self.text.lines().enumerate().filter(|(_, line)| *line >= FIRST);
        let step = (unseen().count() / at_most.max(1)).max(1);
        self.parse(unseen().step_by(step).take(at_most))
    }

    fn parse<'a>(
        &self,
        lines: impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<Vec<Flight<'a>>, Error> {
        let flight = |(number, line): (usize, &'a str)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}, line {}: {error}", self.path, number + 1).into())
        };
        let flights: Vec<Flight> = lines.map(flight).collect::<Result<_, Error>>()?;
        if flights.is_empty() {
            return Err(format!("{}: no flights", self.path).into());
        }
        Ok(flights)
    }
}
