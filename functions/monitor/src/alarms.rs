//! Alarms: when they begin and end, and where they are kept.
//!
//! | series | minute | part | holds |
//! | --- | --- | --- | --- |
//! | `{endpoint}/alarms` | the first | `{alarm}/{over}/{subject}` | [`KeptAlarm`] that has not ended |
//! | `{endpoint}/alarms` | in which it began | the same | one that has ended; kept for [`KEPT`] |
//!
//! An alarm begins when its rule first holds and ends when it was looked at and has not held for [`QUIET`], so
//! that a figure close to its limit is one alarm and not many. Both are a line of the log and a metric. Two
//! runs at the same time write the same entries and may report a beginning twice.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::{
    Endpoint, EndpointName, Minute, Timestamp, Unavailable, now,
    ports::{EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
};
use rendezvous_evidence::alarms::{Alarm, Over};
use serde::{Deserialize, Serialize};

use crate::{Monitor, MonitorReport, windows::series};

/// The series of an endpoint's alarms.
pub const ALARMS: &str = "alarms";

/// For how long an alarm must not have held to end.
pub const QUIET: Duration = Duration::from_mins(10);

/// For how long an alarm is kept that has ended.
pub const KEPT: Duration = Duration::from_hours(24 * 400);

/// How many alarms are read at most.
const MAX_ALARMS: usize = 10_000;

/// An alarm as it is kept, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAlarm {
    pub alarm: String,
    /// The model, feature or arm; empty for the endpoint itself.
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
    /// What it means.
    pub meaning: String,
    /// What to do first.
    pub first: String,
    /// As they were when it began.
    pub figures: String,
    pub begun_us: Timestamp,
    /// When its rule last held.
    pub last_us: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<Timestamp>,
    /// It holds for as long as this version is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_config: Option<u64>,
}

/// How many alarms of a name are active, have begun and have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmCounts {
    pub active: usize,
    pub begun: usize,
    pub ended: usize,
}

/// An alarm that a run has found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) alarm: Alarm,
    /// See [`KeptAlarm::while_config`].
    pub(crate) while_config: Option<u64>,
}

impl From<Alarm> for Found {
    fn from(alarm: Alarm) -> Self {
        Self { alarm, while_config: None }
    }
}

impl KeptAlarm {
    fn new(Found { alarm, while_config }: Found, now: Timestamp) -> Self {
        let Alarm { name, subject, over, meaning, first, figures } = alarm;
        Self {
            alarm: name.to_owned(),
            subject,
            over,
            meaning: meaning.to_owned(),
            first: first.to_owned(),
            figures,
            begun_us: now,
            last_us: now,
            ended_us: None,
            while_config,
        }
    }

    fn is(&self, Alarm { name, subject, over, .. }: &Alarm) -> bool {
        self.alarm == *name && self.subject == *subject && self.over == *over
    }

    fn key(&self, endpoint: &EndpointName, minute: Minute) -> EntryKey {
        let over = self.over.map_or("", Over::as_str);
        let part = format!("{}/{over}/{}", self.alarm, self.subject);
        EntryKey { series: series(endpoint, ALARMS), minute, part }
    }

    /// The entry: of an alarm that has ended in the minute in which it began. Every alarm has a text.
    fn entry(&self, endpoint: &EndpointName) -> Option<Entry> {
        let minute = self.ended_us.map_or(Minute::FIRST, |_| Minute::of(self.begun_us));
        let body = serde_json::to_vec(self).ok()?.into();
        let expires = self.ended_us.map(|ended| ended + KEPT);
        Some(Entry { key: self.key(endpoint, minute), body, expires })
    }

    fn read(entry: &Entry) -> Option<Self> {
        let unreadable = |error: &_| tracing::error!(%error, "an alarm cannot be read");
        serde_json::from_slice(&entry.body).inspect_err(unreadable).ok()
    }
}

/// The alarms of an endpoint that are active, and those that have begun since `from` and ended.
pub async fn kept(
    windows: &impl WindowTable,
    endpoint: &EndpointName,
    from: Timestamp,
) -> Result<Vec<KeptAlarm>, Unavailable> {
    let series = series(endpoint, ALARMS);
    let mut entries = windows.read(&series, first(), MAX_ALARMS).await?;
    let since = Minute::of(from).max(Minute::FIRST.plus(1))..Minute::of(now()).plus(1);
    entries.extend(windows.read(&series, since, MAX_ALARMS).await?);
    Ok(entries.iter().filter_map(KeptAlarm::read).collect())
}

/// Where active alarms are.
fn first() -> std::ops::Range<Minute> {
    Minute::FIRST..Minute::FIRST.plus(1)
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Begins the alarms of an endpoint that were found, and ends those that were looked at, by name and by how
    /// much they cover, and no longer hold.
    pub(crate) async fn raise(
        &self,
        endpoint: &Endpoint,
        mut found: Vec<Found>,
        looked: impl Fn(&str, Option<Over>) -> bool + Send,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let (name, now) = (&endpoint.name, now());
        let entries = self.windows.read(&series(name, ALARMS), first(), MAX_ALARMS).await?;
        let mut counts: BTreeMap<String, AlarmCounts> = BTreeMap::new();
        let (mut put, mut ended) = (Vec::new(), Vec::new());
        for mut kept in entries.iter().filter_map(KeptAlarm::read) {
            let count = counts.entry(kept.alarm.clone()).or_default();
            let at = found.iter().position(|found| kept.is(&found.alarm));
            let again = at.map(|at| found.swap_remove(at));
            let holds = kept.while_config == Some(endpoint.version);
            if again.is_some() || holds {
                kept.last_us = now;
                kept.while_config =
                    again.and_then(|found| found.while_config).or(kept.while_config);
                put.extend(kept.entry(name));
                count.active += 1;
            } else if looked(&kept.alarm, kept.over) && now.since(kept.last_us) >= QUIET {
                kept.ended_us = Some(now);
                let KeptAlarm { alarm, subject, figures, .. } = &kept;
                tracing::warn!(endpoint = %name, alarm, subject, figures, "an alarm ends");
                put.extend(kept.entry(name));
                ended.push(kept.key(name, Minute::FIRST));
                count.ended += 1;
            } else {
                count.active += 1;
            }
        }
        for found in found {
            let kept = KeptAlarm::new(found, now);
            let KeptAlarm { alarm, subject, figures, meaning, first, .. } = &kept;
            let over = kept.over.map_or("", Over::as_str);
            tracing::warn!(endpoint = %name, alarm, subject, over, figures, meaning, first, "an alarm begins");
            let count = counts.entry(kept.alarm.clone()).or_default();
            (count.begun, count.active) = (count.begun + 1, count.active + 1);
            put.extend(kept.entry(name));
        }
        self.windows.put(put).await?;
        self.windows.delete(ended).await?;
        let counts = counts.into_iter().map(|(alarm, counts)| ((name.clone(), alarm), counts));
        report.alarms.extend(counts);
        Ok(())
    }
}
