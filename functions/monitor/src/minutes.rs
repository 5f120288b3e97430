//! Minutes: the windows of a complete minute, merged, so that whoever reads some hours reads a few entries of each
//! minute and not one for each batch.
//!
//! | series | minute | part | holds |
//! | --- | --- | --- | --- |
//! | `{endpoint}/minutes/decisions` | | `{config}/{arm}/` | [`Decisions`] |
//! | `{endpoint}/minutes/models` | | `{config}/{arm}/{model}/` | [`Window`] |
//! | `{endpoint}/minutes/agreement` | | `{config}/{arm}/` | [`Pairs`] |
//! | `{endpoint}/minutes` | the first | `from`, `until` | from which minute on, and before which, all are merged |
//! | `{endpoint}/late` | in which it was written | `{minute}/{batch}` | nothing: a batch has written windows of a minute that may be merged already |
//!
//! The windows of batches stay until they expire: a minute that is late is merged again from all of them, and so is its
//! hour. A run sets `until` last: after a crash the next one writes the same entries again.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use bytes::Bytes;
use rendezvous_core::{
    EndpointName, Minute, Timestamp, Unavailable, now,
    ports::{EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    window::{Decisions, Merge, Pairs, Window, add_to},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Monitor, MonitorReport,
    agreement::AGREEMENT,
    series::{HOUR, read},
    windows::{DECISIONS, MODELS, series},
};

/// The series of an endpoint's merged minutes: how far they are merged.
pub const MINUTES: &str = "minutes";

/// What is merged.
const MERGED: [&str; 3] = [DECISIONS, MODELS, AGREEMENT];

/// The series of the windows that came late.
pub(crate) const LATE: &str = "late";

/// Windows of so many of the last minutes may not be complete.
const BEHIND: u32 = 3;

/// How many minutes a run merges at most, and how many again: after a day without runs, some twenty runs come to the
/// present.
const AT_ONCE: u32 = HOUR;

/// How many late batches a run reads at most.
const MAX_LATE: usize = 1_000;

/// How far the minutes of an endpoint are merged.
#[derive(Clone, Debug)]
pub struct MergedMinutes {
    endpoint: EndpointName,
    /// These are; none at the beginning.
    minutes: Range<Minute>,
}

impl MergedMinutes {
    /// How far those of an endpoint are.
    pub async fn find(
        table: &impl WindowTable,
        endpoint: &EndpointName,
    ) -> Result<Self, Unavailable> {
        let mut found = Self { endpoint: endpoint.clone(), minutes: Minute::FIRST..Minute::FIRST };
        for entry in table.read(&series(endpoint, MINUTES), first(), 2).await? {
            let text = std::str::from_utf8(&entry.body).ok();
            let Some(minute) = text.and_then(|text| text.parse().ok()) else { continue };
            match entry.key.part.as_str() {
                "from" => found.minutes.start = minute,
                "until" => found.minutes.end = minute,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Which series hold the windows of [`DECISIONS`], [`MODELS`] or [`AGREEMENT`] in these minutes: of merged minutes
    /// one entry of a part, of others those of batches.
    pub fn series(
        &self,
        of: &str,
        minutes: &Range<Minute>,
    ) -> impl Iterator<Item = (String, Range<Minute>)> + use<> {
        let within = |minute: Minute| minute.clamp(minutes.start, minutes.end);
        // What was merged last may not be read yet.
        let until = self.minutes.end.minus(1).max(self.minutes.start);
        let (from, until) = (within(self.minutes.start), within(until));
        let (batches, merged) = (series(&self.endpoint, of), merged_series(&self.endpoint, of));
        let parts = [
            (batches.clone(), minutes.start..from),
            (merged, from..until),
            (batches, from.max(until)..minutes.end),
        ];
        parts.into_iter().filter(|(_, minutes)| minutes.start < minutes.end)
    }

    /// The windows of [`DECISIONS`] or [`MODELS`] in these minutes.
    pub async fn read(
        &self,
        table: &impl WindowTable,
        of: &str,
        minutes: &Range<Minute>,
    ) -> Result<Vec<Entry>, Unavailable> {
        let mut entries = Vec::new();
        for (series, minutes) in self.series(of, minutes) {
            entries.extend(table.read(&series, minutes, usize::MAX).await?);
        }
        Ok(entries)
    }

    pub(crate) const fn end(&self) -> Minute {
        self.minutes.end
    }
}

fn merged_series(endpoint: &EndpointName, of: &str) -> String {
    format!("{}/{of}", series(endpoint, MINUTES))
}

const fn first() -> Range<Minute> {
    Minute::FIRST..Minute::FIRST.plus(1)
}

/// The part of a window without its batch.
fn without_batch(part: &str) -> Option<&str> {
    part.get(..=part.rfind('/')?)
}

/// What is kept of windows that a batch has written of minutes which may be merged already, or are about to be.
fn marks(windows: &[Entry]) -> Vec<Entry> {
    let written = Minute::of(now());
    let mark = |entry: &Entry| {
        let EntryKey { series: of, minute, part } = &entry.key;
        let (endpoint, of) = of.split_once('/')?;
        let is_late = MERGED.contains(&of) && *minute < written.minus(BEHIND - 1);
        let batch = part.rsplit('/').next()?;
        let key = EntryKey {
            series: format!("{endpoint}/{LATE}"),
            minute: written,
            part: format!("{minute}/{batch}"),
        };
        is_late.then_some((key, entry.expires))
    };
    let marks: BTreeMap<EntryKey, Option<Timestamp>> = windows.iter().filter_map(mark).collect();
    marks.into_iter().map(|(key, expires)| Entry { key, body: Bytes::new(), expires }).collect()
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Writes the windows of a batch.
    pub(crate) async fn put_windows(&self, windows: Vec<Entry>) -> Result<(), Unavailable> {
        let marks = marks(&windows);
        self.windows.put(windows).await?;
        // A run that finds the mark finds the windows.
        if marks.is_empty() { Ok(()) } else { self.windows.put(marks).await }
    }

    /// Merges the minutes of an endpoint that are complete, and again those whose windows came late. Returns how far they
    /// are merged, and which were late.
    pub(crate) async fn merge_minutes(
        &self,
        endpoint: &EndpointName,
    ) -> Result<(MergedMinutes, BTreeSet<Minute>), Unavailable> {
        let complete = Minute::of(now()).minus(BEHIND);
        let mut merged = MergedMinutes::find(&*self.windows, endpoint).await?;
        let Range { start, end } = merged.minutes;
        if end == Minute::FIRST {
            // What was before is not merged: `until` without `from` would say that it is.
            merged.minutes = complete..complete;
            self.set_minute(endpoint, "from", complete).await?;
            self.set_minute(endpoint, "until", complete).await?;
            return Ok((merged, BTreeSet::new()));
        }
        let late = self.late(endpoint, start..end).await?;
        if end < complete {
            let until = complete.min(end.plus(AT_ONCE));
            self.merge(endpoint, end..until).await?;
            merged.minutes.end = until;
            self.set_minute(endpoint, "until", until).await?;
        }
        Ok((merged, late))
    }

    /// Merges the minutes anew whose windows came late.
    async fn late(
        &self,
        endpoint: &EndpointName,
        merged: Range<Minute>,
    ) -> Result<BTreeSet<Minute>, Unavailable> {
        // What was written lately may not be read yet.
        let written = Minute::FIRST..Minute::of(now()).minus(1);
        let marks = self.windows.read(&series(endpoint, LATE), written, MAX_LATE).await?;
        // Of older minutes the windows of batches have expired, or are about to.
        let kept = Minute::of(now() - self.keep).plus(2 * HOUR);
        let minute = |mark: &Entry| mark.key.part.split('/').next()?.parse().ok();
        let is_kept = |minute: &Minute| merged.contains(minute) && *minute >= kept;
        let mut late: BTreeSet<Minute> = marks.iter().filter_map(minute).filter(is_kept).collect();
        // What a run has no time for keeps its marks.
        let first_left = late.iter().nth(AT_ONCE as usize).copied();
        let left = first_left.map(|first| late.split_off(&first)).unwrap_or_default();
        for minute in &late {
            self.merge(endpoint, *minute..minute.plus(1)).await?;
        }
        let is_done = |mark: &Entry| minute(mark).is_none_or(|minute| !left.contains(&minute));
        let done = marks.into_iter().filter(is_done).map(|mark| mark.key);
        self.windows.delete(done.collect()).await?;
        Ok(late)
    }

    async fn merge(
        &self,
        endpoint: &EndpointName,
        minutes: Range<Minute>,
    ) -> Result<(), Unavailable> {
        self.merge_series::<Decisions>(endpoint, DECISIONS, &minutes).await?;
        self.merge_series::<Window>(endpoint, MODELS, &minutes).await?;
        self.merge_series::<Pairs>(endpoint, AGREEMENT, &minutes).await
    }

    async fn merge_series<M: Merge + Serialize + DeserializeOwned + Send + Sync>(
        &self,
        endpoint: &EndpointName,
        of: &str,
        minutes: &Range<Minute>,
    ) -> Result<(), Unavailable> {
        let mut windows: BTreeMap<(Minute, String), M> = BTreeMap::new();
        self.each(&series(endpoint, of), minutes.clone(), |entry| {
            if let (Some(part), Some(window)) = (without_batch(&entry.key.part), read(entry)) {
                add_to(&mut windows, (entry.key.minute, part.to_owned()), window);
            }
        })
        .await?;
        let entry = |((minute, part), window): (_, M)| {
            let key = EntryKey { series: merged_series(endpoint, of), minute, part };
            let (body, expires) = (to_bytes(&window)?.into(), Some(minute.start() + self.keep));
            Some(Entry { key, body, expires })
        };
        self.windows.put(windows.into_iter().filter_map(entry).collect()).await
    }

    async fn set_minute(
        &self,
        endpoint: &EndpointName,
        part: &str,
        minute: Minute,
    ) -> Result<(), Unavailable> {
        let (series, part) = (series(endpoint, MINUTES), part.to_owned());
        let key = EntryKey { series, minute: Minute::FIRST, part };
        self.windows.put(vec![Entry { key, body: minute.to_string().into(), expires: None }]).await
    }
}
