//! Baselines: what drift is measured against.
//!
//! | series | part | holds |
//! | --- | --- | --- |
//! | `{endpoint}/baselines` | `{name}` | [`Period`]: written last, so that a baseline without it is not complete |
//! | `{endpoint}/baselines/{name}` | `{hour}/{model}` | the [`Window`] of the scores of requests received in this hour of the day, UTC |
//! | `{endpoint}/baselines/{name}` | `{hour}/` | the [`Features`] of these requests |
//!
//! All are in the first minute, do not expire, and are never written again: a configuration that names a
//! baseline means the same for ever. Where the configuration names none, the baseline is [`FIRST_DAYS`].

use std::{collections::BTreeMap, fmt};

use rendezvous_core::{
    Endpoint, EndpointName, Invalid, Minute, ModelId, Timestamp, Unavailable, ports::WindowTable,
};
use rendezvous_evidence::{
    bytes::from_bytes,
    window::{Features, Merge, Window},
};
use serde::{Deserialize, Serialize};

use crate::windows::series;

/// The series of an endpoint's baselines.
pub const BASELINES: &str = "baselines";

/// The name of the baseline of an endpoint whose configuration names none: its first seven days with scores.
pub const FIRST_DAYS: &str = "first-7-days";

/// The requests that a baseline is made of: those received from `from` on and before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The windows of a period, merged by the hour of the day.
#[derive(Clone, Debug)]
pub struct Baseline {
    pub name: String,
    pub period: Period,
    /// By hour of the day, 0 to 23, UTC.
    pub hours: BTreeMap<u8, Hour>,
}

/// One hour of the day.
#[derive(Clone, Debug, Default)]
pub struct Hour {
    pub models: BTreeMap<ModelId, Window>,
    pub features: Option<Features>,
}

impl Baseline {
    /// The scores of a model at all hours; `None` where it sent nothing in the period.
    pub fn model(&self, model: &ModelId) -> Option<Window> {
        sum(self.hours.values().filter_map(|hour| hour.models.get(model)))
    }

    /// The features at all hours; `None` where no version of the period lists any.
    pub fn features(&self) -> Option<Features> {
        sum(self.hours.values().filter_map(|hour| hour.features.as_ref()))
    }

    /// The same hour of the day.
    pub fn at(&self, hour: u8) -> Option<&Hour> {
        self.hours.get(&hour)
    }
}

fn sum<'w, T: Merge + Clone + 'w>(mut windows: impl Iterator<Item = &'w T>) -> Option<T> {
    let mut sum = windows.next()?.clone();
    windows.for_each(|window| sum.merge(window));
    Some(sum)
}

/// The hour of the day of an instant, UTC.
pub fn hour_of(at: Timestamp) -> u8 {
    const HOUR_US: i64 = 3_600_000_000;
    // Less than 24.
    u8::try_from(at.as_micros().div_euclid(HOUR_US).rem_euclid(24)).unwrap_or(0)
}

/// The part of an hour of a baseline: of a model, or without one of the features.
pub fn part(hour: u8, model: Option<&ModelId>) -> String {
    format!("{hour:02}/{}", model.map_or("", ModelId::as_str))
}

/// The series of one baseline.
pub fn series_of(endpoint: &EndpointName, name: &str) -> String {
    format!("{}/{name}", series(endpoint, BASELINES))
}

/// Reads the baseline that the configuration names, or else that of the first days. `None` while there is
/// none. It never changes: whoever needs it often keeps it.
pub async fn baseline(
    windows: &impl WindowTable,
    endpoint: &Endpoint,
) -> Result<Option<Baseline>, Unavailable> {
    let name = endpoint.configuration.baseline().unwrap_or(FIRST_DAYS);
    named(windows, &endpoint.name, name).await
}

/// Reads a baseline; `None` where there is none of this name.
pub async fn named(
    windows: &impl WindowTable,
    endpoint: &EndpointName,
    name: &str,
) -> Result<Option<Baseline>, Unavailable> {
    let Some(period) = period(windows, endpoint, name).await? else { return Ok(None) };
    let entries = windows.read(&series_of(endpoint, name), first(), usize::MAX).await?;
    let mut hours: BTreeMap<u8, Hour> = BTreeMap::new();
    for entry in entries {
        let Some((hour, of)) = entry.key.part.split_once('/') else { continue };
        let Ok(hour) = hour.parse() else { continue };
        let hour = hours.entry(hour).or_default();
        if of.is_empty() {
            hour.features = readable(endpoint, name, from_bytes(&entry.body));
        } else if let Ok(model) = of.parse()
            && let Some(window) = readable(endpoint, name, from_bytes(&entry.body))
        {
            hour.models.insert(model, window);
        }
    }
    Ok(Some(Baseline { name: name.to_owned(), period, hours }))
}

/// The period of a baseline; `None` where there is none of this name.
pub async fn period(
    windows: &impl WindowTable,
    endpoint: &EndpointName,
    name: &str,
) -> Result<Option<Period>, Unavailable> {
    let entries = windows.read(&series(endpoint, BASELINES), first(), usize::MAX).await?;
    let entry = entries.iter().find(|entry| entry.key.part == name);
    Ok(entry.and_then(|entry| readable(endpoint, name, from_bytes(&entry.body))))
}

/// Where baselines are.
fn first() -> std::ops::Range<Minute> {
    Minute::FIRST..Minute::FIRST.plus(1)
}

/// What cannot be read is left out.
fn readable<T>(
    endpoint: &EndpointName,
    name: impl fmt::Display,
    read: Result<T, Invalid>,
) -> Option<T> {
    read.inspect_err(|invalid| {
        tracing::error!(%endpoint, baseline = %name, %invalid, "a part of a baseline cannot be read");
    })
    .ok()
}
