//! Every day: how good the models were, for the day whose outcomes are known by now.
//!
//! | series | minute | holds |
//! | --- | --- | --- |
//! | `{endpoint}/days` | the first of the day, UTC | [`KeptDay`]; does not expire |
//!
//! A day is computed from the archive when its `outcome_horizon_days` have passed, and once more after [`AGAIN`]
//! times as long, for the outcomes that came later. A run computes what is due, the oldest day first, as long
//! as there is time. A day whose run was missed, or whose archive could not be read, is due again in the next
//! run. A day that is older than [`BACK`] times the horizon is not computed any more: `rendezvousctl compare`
//! and the saved queries can.
//!
//! **Limits.** In memory are at most 50 MiB for sorting and the selected columns of 32 row groups, whatever the
//! day's size. A temporary file holds some 60 to 120 bytes for each of the day's requests, scores, decisions and outcomes,
//! for a moment twice that: 2 GB are enough for a million requests of five models. The files of the day, of
//! [`LATE`] after it, and of all outcomes since are listed and their ends are read.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_archive::{
    ScanError,
    join::{Wanted, join},
};
use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Minute, ModelId, Timestamp, Unavailable, now,
    ports::{ArchiveFiles, EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
};
use rendezvous_evidence::{
    Confidence,
    alarms::{Observation, alarms},
    bytes::{from_bytes, to_bytes},
    day::{Day, ModelDay, Values},
    whatif::Configurations,
    window::Merge,
};
use serde::{Deserialize, Serialize};

use crate::{Monitor, MonitorReport, alarms::Found, windows::series};

/// The series of an endpoint's days.
pub const DAYS: &str = "days";

/// After how many horizons a day is computed once more, and how many horizons old it may be to be computed.
pub const AGAIN: u32 = 4;
pub const BACK: u32 = 8;

/// Scores and decisions count that came so long after their day at most.
pub const LATE: Duration = Duration::from_hours(24);

/// Over how many days the calibration is judged.
const JUDGED: u32 = 7;

/// For how long a run begins to compute days.
const BUDGET: Duration = Duration::from_mins(8);

const DAY: Duration = Duration::from_hours(24);
const MINUTES: u32 = 24 * 60;

/// A day as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptDay {
    /// When it was computed.
    pub computed: Timestamp,
    pub day: Day,
}

/// The figures of a model on a day.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOfDay {
    pub endpoint: EndpointName,
    pub model: ModelId,
    /// Requests with a value and an outcome.
    pub outcomes: u64,
    pub brier: f64,
    pub log_loss: f64,
    /// Mean value less mean outcome.
    pub excess: f64,
    /// Requests without a score and without a failure, although they were expected.
    pub missing: u64,
}

/// The days of an endpoint that are kept and begin in some minutes, each by its first minute.
pub async fn kept(
    windows: &impl WindowTable,
    endpoint: &EndpointName,
    minutes: std::ops::Range<Minute>,
) -> Result<BTreeMap<Minute, KeptDay>, Unavailable> {
    let entries = windows.read(&series(endpoint, DAYS), minutes, usize::MAX).await?;
    let readable = |entry: &Entry| {
        let unreadable = |invalid: &_| {
            tracing::error!(%endpoint, %invalid, "a day cannot be read and is computed again");
        };
        Some((entry.key.minute, from_bytes(&entry.body).inspect_err(unreadable).ok()?))
    };
    Ok(entries.iter().filter_map(readable).collect())
}

/// The first minute of the day that an instant is in.
pub fn day_of(at: Timestamp) -> Minute {
    const DAY_US: i64 = 24 * 3_600_000_000;
    let at = at.as_micros();
    Minute::of(Timestamp::from_micros(at - at.rem_euclid(DAY_US)))
}

/// How often a day is computed by an instant.
fn times(day: Minute, at: Timestamp, horizon: Duration) -> u32 {
    let age = at.since(day.start() + DAY);
    u32::from(age >= horizon) + u32::from(age >= horizon * AGAIN)
}

/// The days that are to be computed, the oldest first, of an endpoint that there is since `began`.
fn due(
    now: Timestamp,
    horizon: Duration,
    began: Timestamp,
    computed: &BTreeMap<Minute, KeptDay>,
) -> Vec<Minute> {
    let first = day_of(began).max(day_of(now - horizon * BACK));
    let done =
        |day: Minute| computed.get(&day).map_or(0, |kept| times(day, kept.computed, horizon));
    let is_due = |day: &Minute| times(*day, now, horizon) > done(*day);
    let days = std::iter::successors(Some(first), |day| Some(day.plus(MINUTES)));
    days.take_while(|day| day.start() + DAY + horizon <= now).filter(is_due).collect()
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// The work of a day.
    pub async fn day(&self, archive: &impl ArchiveFiles) {
        let mut report = MonitorReport { source: "day", ..MonitorReport::default() };
        if let Err(unavailable) = self.days(archive, &mut report).await {
            tracing::error!(%unavailable, "days are left for the next run");
        }
        self.telemetry.record(&report);
    }

    async fn days(
        &self,
        archive: &impl ArchiveFiles,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let start = now();
        for name in self.endpoints.list().await? {
            let Some(endpoint) = self.endpoints.current(&name).await? else { continue };
            let has_truth = |of: &Configuration| of.value().is_some() && of.outcome().is_some();
            if !has_truth(&endpoint.configuration) {
                continue;
            }
            let history = self.table.history(&name).await?;
            let Some(began) = history.first().map(|publication| publication.published) else {
                continue;
            };
            let horizon = endpoint.configuration.outcome_horizon();
            let back = day_of(start - horizon * BACK)..Minute::of(start);
            let mut days = kept(&*self.windows, &name, back).await?;
            let due = due(start, horizon, began, &days);
            let mut configurations = Configurations::new();
            let mut last = None;
            for (number, day) in due.iter().enumerate() {
                if now().since(start) > BUDGET {
                    let left = due.len() - number;
                    tracing::warn!(endpoint = %name, left, "days are left for the next run");
                    report.left += left;
                    break;
                }
                if configurations.is_empty() {
                    configurations = self.configurations(&name).await?;
                }
                match compute(archive, &name, *day, &configurations).await {
                    Ok(computed) => {
                        self.keep_day(&endpoint, *day, computed, &mut days, report).await?;
                        last = Some(*day);
                    }
                    Err(error) => {
                        tracing::error!(endpoint = %name, day = %day.start(), %error, "a day cannot be computed and is left for the next run");
                        report.left += 1;
                    }
                }
            }
            if last.is_some() {
                self.calibration(&endpoint, &days, report).await?;
            }
        }
        Ok(())
    }

    async fn configurations(&self, name: &EndpointName) -> Result<Configurations, Unavailable> {
        let mut all = Configurations::new();
        for publication in self.table.history(name).await? {
            if let Some(version) = self.endpoints.version(name, publication.version).await? {
                all.insert(publication.version, version.configuration.clone());
            }
        }
        Ok(all)
    }

    async fn keep_day(
        &self,
        endpoint: &Endpoint,
        day: Minute,
        computed: Day,
        days: &mut BTreeMap<Minute, KeptDay>,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let name = &endpoint.name;
        let kept = KeptDay { computed: now(), day: computed };
        let Some(body) = to_bytes(&kept) else { return Ok(()) };
        let key = EntryKey { series: series(name, DAYS), minute: day, part: String::new() };
        self.windows.put(vec![Entry { key, body: body.into(), expires: None }]).await?;
        let Day { requests, with_outcome, .. } = &kept.day;
        tracing::info!(endpoint = %name, day = %day.start(), requests, with_outcome, "a day is computed");
        report.days += 1;
        let figures = kept.day.models.iter().filter_map(|(model, of)| figures(name, model, of));
        report.models.extend(figures);
        days.insert(day, kept);
        Ok(())
    }

    /// Raises the alarm of each model whose calibration was wrong in the last seven days that are computed.
    async fn calibration(
        &self,
        endpoint: &Endpoint,
        days: &BTreeMap<Minute, KeptDay>,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let Some((last, _)) = days.last_key_value() else { return Ok(()) };
        let mut week = Day::default();
        for (_, kept) in days.range(last.minus((JUDGED - 1) * MINUTES)..) {
            week.merge(&kept.day);
        }
        let observed = endpoint.configuration.models().filter_map(|model| {
            let outcomes = &week.models.get(model)?.outcomes;
            Some(Observation::Outcomes { model, outcomes })
        });
        let found = alarms(observed).into_iter().map(Found::from).collect();
        self.raise(endpoint, found, |alarm, _| alarm == "calibration", report).await
    }
}

/// Reads the requests of a day, with everything that is known of them by now.
async fn compute(
    archive: &impl ArchiveFiles,
    endpoint: &EndpointName,
    day: Minute,
    configurations: &Configurations,
) -> Result<Day, ScanError> {
    let (from, to) = (day.start(), day.start() + DAY);
    let wanted = Wanted { from, to, late: LATE, ..Wanted::all(endpoint.clone()) };
    let requests = join(archive, &wanted, |_| {}).await?;
    let mut values = Values::default();
    requests.each(|request| {
        values.push(&request);
        Ok(())
    })?;
    let mut day = Day::new(&values);
    requests.each(|request| {
        day.push(&request, configurations);
        Ok(())
    })?;
    Ok(day)
}

/// The figures of a model; `None` without outcomes.
fn figures(endpoint: &EndpointName, model: &ModelId, of: &ModelDay) -> Option<ModelOfDay> {
    let (predicted, observed) = of.outcomes.means()?;
    Some(ModelOfDay {
        endpoint: endpoint.clone(),
        model: model.clone(),
        outcomes: of.outcomes.count(),
        brier: of.outcomes.loss().interval(Confidence::DEFAULT)?.estimate,
        log_loss: of.log_loss()?,
        excess: predicted - observed,
        missing: of.missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Duration = Duration::from_hours(7 * 24);

    fn at(days: u32, hours: u32) -> Timestamp {
        Minute::FIRST.plus(days * MINUTES + hours * 60).start()
    }

    fn day(number: u32) -> Minute {
        Minute::FIRST.plus(number * MINUTES)
    }

    fn computed(days: &[(u32, Timestamp)]) -> BTreeMap<Minute, KeptDay> {
        let kept = |&(number, computed): &(u32, Timestamp)| {
            (day(number), KeptDay { computed, day: Day::default() })
        };
        days.iter().map(kept).collect()
    }

    #[test]
    fn a_day_is_due_when_its_horizon_has_passed_and_once_more_later() {
        let began = at(100, 5);
        let due = |now, done: &[(u32, Timestamp)]| due(now, HORIZON, began, &computed(done));
        assert_eq!(due(at(107, 23), &[]), []);
        assert_eq!(due(at(108, 1), &[]), [day(100)]);
        assert_eq!(due(at(109, 1), &[(100, at(108, 1))]), [day(101)]);
        // A run was missed.
        assert_eq!(due(at(110, 1), &[(100, at(108, 1))]), [day(101), day(102)]);
        let all: Vec<_> = (100..122).map(|number| (number, at(number + 8, 1))).collect();
        assert_eq!(due(at(129, 0), &all), [day(100)]);
        let again = [&all[..], &[(100, at(129, 1))]].concat();
        assert_eq!(due(at(129, 2), &again), []);
        // What is too old is not computed.
        let late = due(at(400, 0), &[]);
        assert_eq!((late[0], late.len()), (day(400 - 56), 49));
    }

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!(day_of(at(7, 23)), day(7));
        assert_eq!(day_of(day(7).start()), day(7));
    }
}
