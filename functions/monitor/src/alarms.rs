//! Alarms: when they begin and end, and where they are kept.
//!
//! | series | minute | part | holds |
//! | --- | --- | --- | --- |
//! | `{endpoint}/alarms` | the first | `{alarm}/{over}/{subject}` | [`KeptAlarm`] that is active or has held within [`AGAIN`] |
//! | `{endpoint}/alarms` | in which it began | the same | any other; kept for [`KEPT`] |
//!
//! The part of an alarm with a list of subjects ([`Alarm::together`]) ends with the slash.
//!
//! An alarm begins when its rule first holds for any of its subjects. It ends when it was looked at and has not held
//! for [`QUIET`], or for as long as it covers if that is longer: looks that share values have similar figures, and
//! an hour is looked at together with the 24 hours that it ends. One that begins again within
//! [`AGAIN`] is the same alarm. Beginning and end are a line of the log and a metric; a further subject and a
//! beginning again are a line of the log only. Two runs at the same time write the same entries and may report a
//! beginning twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use rendezvous_core::{
    Endpoint, EndpointName, Minute, Timestamp, Unavailable, now,
    ports::{EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
};
use rendezvous_evidence::alarms::{Alarm, Over};
use serde::{Deserialize, Serialize};

use crate::{Monitor, MonitorReport, windows::series};

/// The series of an endpoint's alarms.
pub const ALARMS: &str = "alarms";

/// For how long an alarm must not have held to end, if it covers minutes.
pub const QUIET: Duration = Duration::from_mins(10);

/// An alarm that begins so soon after it last held is the same one.
pub const AGAIN: Duration = Duration::from_hours(24);

/// For how long an alarm is kept that has ended.
pub const KEPT: Duration = Duration::from_hours(24 * 400);

/// How many alarms are read at most.
const MAX_ALARMS: usize = 10_000;

/// An alarm as it is kept, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAlarm {
    pub alarm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
    /// Of what it has held since it began, in the order in which it did.
    pub subjects: Vec<Subject>,
    /// What it means.
    pub meaning: String,
    /// What to do first.
    pub first: String,
    pub begun_us: Timestamp,
    /// When its rule last held.
    pub last_us: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<Timestamp>,
    /// It holds for as long as this version is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub while_config: Option<u64>,
}

/// What an alarm is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The model, feature, arm or pair of models; empty for the endpoint itself.
    pub name: String,
    /// As they were when the alarm first held of it.
    pub figures: String,
    pub begun_us: Timestamp,
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

impl Found {
    /// Findings with the same part are one alarm.
    fn part(&self) -> String {
        let Alarm { name, subject, over, together, .. } = &self.alarm;
        let subject = if *together { "" } else { subject };
        format!("{name}/{}/{subject}", over.map_or("", Over::as_str))
    }
}

impl KeptAlarm {
    /// One that begins, without its subjects.
    fn new(Alarm { name, over, meaning, first, .. }: &Alarm, now: Timestamp) -> Self {
        Self {
            alarm: (*name).to_owned(),
            over: *over,
            subjects: Vec::new(),
            meaning: (*meaning).to_owned(),
            first: (*first).to_owned(),
            begun_us: now,
            last_us: now,
            ended_us: None,
            while_config: None,
        }
    }

    /// The names of its subjects; empty for the endpoint itself.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
        names.join(", ")
    }

    /// The figures of its subjects, where there are several each with its name.
    pub fn figures(&self) -> String {
        match &self.subjects[..] {
            [only] => only.figures.clone(),
            all => {
                let of = |Subject { name, figures, .. }: &Subject| format!("{name}: {figures}");
                all.iter().map(of).collect::<Vec<_>>().join("; ")
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.subjects.iter().any(|subject| subject.name == name)
    }

    /// It holds of what was found.
    fn hold(&mut self, Found { alarm, while_config }: Found, now: Timestamp) {
        (self.last_us, self.ended_us) = (now, None);
        self.while_config = while_config.or(self.while_config);
        if !self.has(&alarm.subject) {
            let Alarm { subject: name, figures, .. } = alarm;
            self.subjects.push(Subject { name, figures, begun_us: now });
        }
    }

    /// For how long it must not have held to end.
    fn quiet(&self) -> Duration {
        let hours = match self.over {
            None | Some(Over::Minutes) => 0,
            Some(Over::Hour | Over::Day) => 24,
            Some(Over::Week) => 7 * 24,
        };
        QUIET.max(Duration::from_hours(hours))
    }

    /// The entry of an alarm of this part. Every alarm has a text.
    fn entry(&self, endpoint: &EndpointName, minute: Minute, part: &str) -> Option<Entry> {
        let key = key(endpoint, minute, part);
        let body = serde_json::to_vec(self).ok()?.into();
        let expires = self.ended_us.map(|ended| ended + KEPT);
        Some(Entry { key, body, expires })
    }

    fn read(entry: &Entry) -> Option<Self> {
        let unreadable = |error: &_| tracing::error!(%error, "an alarm cannot be read");
        serde_json::from_slice(&entry.body).inspect_err(unreadable).ok()
    }
}

fn key(endpoint: &EndpointName, minute: Minute, part: &str) -> EntryKey {
    EntryKey { series: series(endpoint, ALARMS), minute, part: part.to_owned() }
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
    let is_of_then = |alarm: &KeptAlarm| {
        alarm.ended_us.is_none() || Minute::of(alarm.begun_us) >= Minute::of(from)
    };
    Ok(entries.iter().filter_map(KeptAlarm::read).filter(is_of_then).collect())
}

/// Where alarms are that are active, or may begin again.
fn first() -> Range<Minute> {
    Minute::FIRST..Minute::FIRST.plus(1)
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Begins the alarms of an endpoint that were found, and ends those that were looked at, by how much they cover,
    /// and no longer hold.
    pub(crate) async fn raise(
        &self,
        endpoint: &Endpoint,
        found: Vec<Found>,
        looked: impl Fn(Option<Over>) -> bool + Send,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let (name, now) = (&endpoint.name, now());
        let entries = self.windows.read(&series(name, ALARMS), first(), MAX_ALARMS).await?;
        let read = |entry: &Entry| Some((entry.key.part.clone(), KeptAlarm::read(entry)?));
        let mut alarms: BTreeMap<String, KeptAlarm> = entries.iter().filter_map(read).collect();
        let mut counts: BTreeMap<String, AlarmCounts> = BTreeMap::new();
        let mut held = BTreeSet::new();
        for found in found {
            let part = found.part();
            let kept = alarms.get(&part);
            log_beginning(name, &found.alarm, kept);
            if kept.is_none() {
                counts.entry(found.alarm.name.to_owned()).or_default().begun += 1;
            }
            let new = || KeptAlarm::new(&found.alarm, now);
            alarms.entry(part.clone()).or_insert_with(new).hold(found, now);
            held.insert(part);
        }
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for (part, kept) in &mut alarms {
            let quiet = now.since(kept.last_us);
            let count = counts.entry(kept.alarm.clone()).or_default();
            if held.contains(part) || kept.while_config == Some(endpoint.version) {
                kept.last_us = now;
                put.extend(kept.entry(name, Minute::FIRST, part));
            } else if kept.ended_us.is_none() && looked(kept.over) && quiet >= kept.quiet() {
                kept.ended_us = Some(now);
                let (alarm, subjects) = (&kept.alarm, kept.names());
                tracing::warn!(endpoint = %name, alarm, subjects, "an alarm ends");
                count.ended += 1;
                put.extend(kept.entry(name, Minute::FIRST, part));
            } else if kept.ended_us.is_some() && quiet >= AGAIN {
                put.extend(kept.entry(name, Minute::of(kept.begun_us), part));
                removed.push(key(name, Minute::FIRST, part));
            }
            count.active += usize::from(kept.ended_us.is_none());
        }
        self.windows.put(put).await?;
        self.windows.delete(removed).await?;
        let counts = counts.into_iter().filter(|(_, counts)| *counts != AlarmCounts::default());
        report.alarms.extend(counts.map(|(alarm, counts)| ((name.clone(), alarm), counts)));
        Ok(())
    }
}

/// Logs that an alarm begins, begins again, or has a further subject; `kept` is what was kept of it.
fn log_beginning(endpoint: &EndpointName, alarm: &Alarm, kept: Option<&KeptAlarm>) {
    let what = match kept {
        None => "an alarm begins",
        Some(kept) if kept.ended_us.is_some() => "an alarm begins again",
        Some(kept) if !kept.has(&alarm.subject) => "an alarm has a further subject",
        Some(_) => return,
    };
    let Alarm { name, subject, over, figures, meaning, first, .. } = alarm;
    let over = over.map_or("", Over::as_str);
    tracing::warn!(%endpoint, alarm = name, subject, over, figures, meaning, first, "{what}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rendezvous_core::{
        clock::simulate,
        conformance::samples,
        memory::{MemoryEndpoints, MemoryLedger, MemoryWindows},
        ports::NoTelemetry,
    };
    use tokio::time::sleep;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    type InMemory = Monitor<MemoryEndpoints, MemoryLedger, MemoryWindows, NoTelemetry>;

    fn monitor() -> InMemory {
        simulate(now());
        let (windows, keep) = (Arc::<MemoryWindows>::default(), HOUR);
        Monitor::new(Arc::default(), Arc::default(), windows, Arc::new(NoTelemetry), keep)
    }

    fn found(name: &'static str, subject: &str, over: Option<Over>) -> Alarm {
        let (subject, figures) = (subject.to_owned(), format!("figures of {subject}"));
        let (meaning, first, together) = ("", "", over.is_some());
        Alarm { name, subject, over, together, meaning, first, figures }
    }

    /// A run that looks at everything and finds this. How many alarms it has begun, and all since `from`.
    async fn run(monitor: &InMemory, from: Timestamp, found: &[Alarm]) -> (usize, Vec<KeptAlarm>) {
        let (endpoint, mut report) = (samples::endpoint(), MonitorReport::default());
        let found = found.iter().cloned().map(Found::from).collect();
        monitor.raise(&endpoint, found, |_| true, &mut report).await.unwrap();
        let begun = report.alarms.values().map(|counts| counts.begun).sum();
        (begun, kept(&*monitor.windows, &endpoint.name, from).await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn drifts_are_one_alarm_until_none_has_held_for_a_day() {
        let (monitor, start) = (monitor(), now());
        let drift = |subject| found("drift", subject, Some(Over::Day));
        let (begun, all) = run(&monitor, start, &[drift("a@1"), drift("/x")]).await;
        assert_eq!((begun, all.len()), (1, 1));
        assert_eq!(all[0].names(), "a@1, /x");
        assert_eq!(all[0].figures(), "a@1: figures of a@1; /x: figures of /x");
        let begins = all[0].begun_us;
        sleep(HOUR * 23).await;
        assert_eq!(run(&monitor, start, &[]).await.1[0].ended_us, None);
        let (begun, all) = run(&monitor, start, &[drift("b@1")]).await;
        assert_eq!((begun, all[0].begun_us, all.len()), (0, begins, 1));
        assert_eq!(all[0].names(), "a@1, /x, b@1");
        sleep(HOUR * 24).await;
        assert_eq!(run(&monitor, start, &[]).await.1[0].ended_us, Some(now()));
        let (begun, all) = run(&monitor, start, &[]).await;
        assert_eq!((begun, all.len()), (0, 1), "it is kept elsewhere");
        assert_eq!(run(&monitor, start, &[drift("a@1")]).await.1.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_models_are_alarms_of_their_own_that_end_soon_and_may_begin_again() {
        let (monitor, start) = (monitor(), now());
        let silent = |subject| found("model_silent", subject, None);
        let (begun, all) = run(&monitor, start, &[silent("a@1"), silent("b@1")]).await;
        assert_eq!((begun, all.len()), (2, 2));
        sleep(QUIET).await;
        let (_, all) = run(&monitor, start, &[silent("b@1")]).await;
        assert_eq!((all[0].ended_us, all[1].ended_us), (Some(now()), None));
        let since = now();
        sleep(HOUR * 3).await;
        assert_eq!(run(&monitor, since, &[silent("b@1")]).await.1.len(), 1, "a@1 has begun before");
        let (begun, all) = run(&monitor, start, &[silent("a@1"), silent("b@1")]).await;
        assert_eq!((begun, all.len(), all[0].ended_us), (0, 2, None));
        sleep(QUIET).await;
        run(&monitor, start, &[]).await;
        sleep(AGAIN).await;
        run(&monitor, start, &[]).await;
        let (begun, all) = run(&monitor, start, &[silent("a@1")]).await;
        assert_eq!((begun, all.len()), (1, 3));
    }
}
