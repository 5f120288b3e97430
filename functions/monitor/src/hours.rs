//! Hours: the windows of a complete hour, merged, so that a day is 24 entries of a model and not some thousands.
//!
//! | series | part | holds |
//! | --- | --- | --- |
//! | `{endpoint}/hours` | `models/{model}` | the [`Window`] of a model in all arms and versions |
//! | `{endpoint}/hours` | `features` | [`Features`] |
//! | `{endpoint}/hours` | `agreement` | [`Pairs`] |
//! | `{endpoint}/hours`, first minute | `until`, `first` | before which minute all hours are merged; the first hour with scores |
//!
//! The minute of an entry is the first of its hour. A run merges what is complete and sets `until` last: after
//! a crash the next one writes the same entries again. The minutes of an hour that ends are read once, so
//! that a read of a day, or of the seven days of the first baseline, costs 24 or 168 entries for each model.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use rendezvous_core::{
    EndpointName, Minute, ModelId, Timestamp, Unavailable,
    ports::{EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    window::{Features, Merge, Pairs, Window, add_to},
};
use serde::Serialize;

use crate::{
    Monitor, MonitorReport,
    agreement::AGREEMENT,
    baselines::{self, Baseline, FIRST_DAYS, Hour, Period, hour_of},
    features::FEATURES,
    freeze::freeze,
    minutes::MergedMinutes,
    series::{HOUR, read},
    windows::{MODELS, model, series},
};

/// The series of an endpoint's hours.
pub const HOURS: &str = "hours";

/// The length of the first baseline, in minutes.
const FIRST: u32 = 7 * 24 * HOUR;

/// For how long hours are kept: longer than the week of the first baseline and a month.
const KEPT: Duration = Duration::from_hours(24 * 35);

/// How many hours a run merges at most.
const AT_ONCE: usize = 24;

/// How many entries a read returns.
const PAGE: usize = 5_000;

/// What is merged of some time.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) models: BTreeMap<ModelId, Window>,
    pub(crate) features: Option<Features>,
    pub(crate) agreement: Pairs,
}

/// How far the hours of an endpoint are merged.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    until: Option<Minute>,
    /// The first hour with scores.
    first: Option<Minute>,
}

impl Merged {
    fn is_empty(&self) -> bool {
        self.models.is_empty() && self.features.is_none()
    }

    /// Adds an entry of the series of hours.
    fn add_hour(&mut self, entry: &Entry) {
        match entry.key.part.split_once('/') {
            Some(("models", of)) => {
                if let (Ok(model), Some(window)) = (of.parse(), read(entry)) {
                    add_to(&mut self.models, model, window);
                }
            }
            _ if entry.key.part == FEATURES => add_some(&mut self.features, read(entry)),
            _ if entry.key.part == AGREEMENT => {
                if let Some(pairs) = read(entry) {
                    self.agreement.merge(&pairs);
                }
            }
            _ => {}
        }
    }

    /// The hours in these entries of the series of hours.
    pub(crate) fn of_hours<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let mut merged = Self::default();
        entries.into_iter().for_each(|entry| merged.add_hour(entry));
        merged
    }

    fn entries(&self, endpoint: &EndpointName, hour: Minute) -> Vec<Entry> {
        let models = self
            .models
            .iter()
            .map(|(model, window)| entry(endpoint, hour, format!("models/{model}"), window));
        let features = self
            .features
            .iter()
            .map(|features| entry(endpoint, hour, FEATURES.to_owned(), features));
        let agreement = (!self.agreement.is_empty())
            .then(|| entry(endpoint, hour, AGREEMENT.to_owned(), &self.agreement));
        models.chain(features).chain(agreement).flatten().collect()
    }
}

fn add_some<M: Merge>(to: &mut Option<M>, window: Option<M>) {
    match (to.as_mut(), window) {
        (Some(sum), Some(window)) => sum.merge(&window),
        (None, Some(window)) => *to = Some(window),
        (_, None) => {}
    }
}

fn entry(
    endpoint: &EndpointName,
    minute: Minute,
    part: String,
    window: &impl Serialize,
) -> Option<Entry> {
    let key = EntryKey { series: series(endpoint, HOURS), minute, part };
    let body = to_bytes(window)?.into();
    Some(Entry { key, body, expires: Some(minute.start() + KEPT) })
}

/// The first minute of the hour that a minute is in.
pub(crate) fn hour_of_minute(minute: Minute) -> Minute {
    const HOUR_US: i64 = 3_600_000_000;
    let start = minute.start().as_micros();
    Minute::of(Timestamp::from_micros(start - start.rem_euclid(HOUR_US)))
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Merges the hours of an endpoint that are complete, and again those of minutes whose windows came late; returns the
    /// last complete one that this run has merged.
    pub(crate) async fn merge_hours(
        &self,
        endpoint: &EndpointName,
        minutes: &MergedMinutes,
        late: &BTreeSet<Minute>,
    ) -> Result<Option<Minute>, Unavailable> {
        let complete = hour_of_minute(minutes.end());
        let mut progress = self.progress(endpoint).await?;
        let Some(mut until) = progress.until else {
            // What was before is not merged.
            self.set(endpoint, "until", complete).await?;
            return Ok(None);
        };
        let late: BTreeSet<Minute> = late.iter().copied().map(hour_of_minute).collect();
        for hour in late.into_iter().filter(|hour| *hour < until) {
            let merged = self.merged(minutes, endpoint, hour..hour.plus(HOUR)).await?;
            self.windows.put(merged.entries(endpoint, hour)).await?;
        }
        let mut last = None;
        for _ in 0..AT_ONCE {
            if until >= complete {
                break;
            }
            let merged = self.merged(minutes, endpoint, until..until.plus(HOUR)).await?;
            self.windows.put(merged.entries(endpoint, until)).await?;
            if progress.first.is_none() && !merged.is_empty() {
                self.set(endpoint, "first", until).await?;
                progress.first = Some(until);
            }
            (last, until) = (Some(until), until.plus(HOUR));
            self.set(endpoint, "until", until).await?;
        }
        if let (Some(_), Some(first)) = (last, progress.first)
            && first.plus(FIRST) <= until
        {
            self.first_days(endpoint, first).await?;
        }
        Ok(last)
    }

    async fn progress(&self, endpoint: &EndpointName) -> Result<Progress, Unavailable> {
        let minutes = Minute::FIRST..Minute::FIRST.plus(1);
        let mut progress = Progress::default();
        for entry in self.windows.read(&series(endpoint, HOURS), minutes, PAGE).await? {
            let minute = std::str::from_utf8(&entry.body).ok().and_then(|text| text.parse().ok());
            match entry.key.part.as_str() {
                "until" => progress.until = minute,
                "first" => progress.first = minute,
                _ => {}
            }
        }
        Ok(progress)
    }

    async fn set(
        &self,
        endpoint: &EndpointName,
        part: &str,
        minute: Minute,
    ) -> Result<(), Unavailable> {
        let (series, part) = (series(endpoint, HOURS), part.to_owned());
        let key = EntryKey { series, minute: Minute::FIRST, part };
        let body = minute.to_string().into();
        self.windows.put(vec![Entry { key, body, expires: None }]).await
    }

    /// The windows of some minutes.
    async fn merged(
        &self,
        of: &MergedMinutes,
        endpoint: &EndpointName,
        minutes: Range<Minute>,
    ) -> Result<Merged, Unavailable> {
        let mut merged = self.without_features(of, minutes.clone()).await?;
        self.each(&series(endpoint, FEATURES), minutes, |entry| {
            add_some(&mut merged.features, read(entry));
        })
        .await?;
        Ok(merged)
    }

    /// The same without the features.
    pub(crate) async fn without_features(
        &self,
        of: &MergedMinutes,
        minutes: Range<Minute>,
    ) -> Result<Merged, Unavailable> {
        let mut merged = Merged::default();
        for (series, minutes) in of.series(MODELS, &minutes) {
            self.each(&series, minutes, |entry| {
                if let (Some(model), Some(window)) = (model(&entry.key.part), read(entry)) {
                    add_to(&mut merged.models, model, window);
                }
            })
            .await?;
        }
        for (series, minutes) in of.series(AGREEMENT, &minutes) {
            self.each(&series, minutes, |entry| {
                if let Some(pairs) = read(entry) {
                    merged.agreement.merge(&pairs);
                }
            })
            .await?;
        }
        Ok(merged)
    }

    /// Reads a series in pages of whole minutes. Of a minute with more entries than a page only those count.
    pub(crate) async fn each(
        &self,
        series: &str,
        minutes: Range<Minute>,
        mut each: impl FnMut(&Entry) + Send,
    ) -> Result<(), Unavailable> {
        let mut from = minutes.start;
        while from < minutes.end {
            let page = self.windows.read(series, from..minutes.end, PAGE).await?;
            let next = match page.last() {
                Some(last) if page.len() == PAGE => last.key.minute.max(from.plus(1)),
                _ => minutes.end,
            };
            page.iter().filter(|entry| entry.key.minute < next).for_each(&mut each);
            from = next;
        }
        Ok(())
    }

    /// The hours that begin in some minutes.
    pub(crate) async fn hours(
        &self,
        endpoint: &EndpointName,
        minutes: Range<Minute>,
    ) -> Result<Vec<Entry>, Unavailable> {
        self.windows.read(&series(endpoint, HOURS), minutes, PAGE).await
    }

    /// Keeps the first seven days as the baseline of configurations that name none, unless they are kept.
    async fn first_days(&self, endpoint: &EndpointName, first: Minute) -> Result<(), Unavailable> {
        if baselines::period(&*self.windows, endpoint, FIRST_DAYS).await?.is_some() {
            return Ok(());
        }
        let to = first.plus(FIRST);
        let mut hours: BTreeMap<u8, Merged> = BTreeMap::new();
        self.each(&series(endpoint, HOURS), first..to, |entry| {
            hours.entry(hour_of(entry.key.minute.start())).or_default().add_hour(entry);
        })
        .await?;
        let of_hour = |(hour, Merged { models, features, .. })| (hour, Hour { models, features });
        let hours = hours.into_iter().map(of_hour).collect();
        let period = Period { from: first.start(), to: to.start() };
        let baseline = Baseline { name: FIRST_DAYS.to_owned(), period, hours };
        freeze(&*self.windows, endpoint, &baseline).await?;
        tracing::info!(%endpoint, from = %first, "the first seven days are kept as a baseline");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
