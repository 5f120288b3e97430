//! What a minute's run looks at for alarms.
//!
//! | every | looks at | against |
//! | --- | --- | --- |
//! | minute | arrivals of the last 2, 3 and 30 minutes | the same minutes a day and a week ago |
//! | minute | scores, failures and pairs of the last 5 minutes | requests that arrived, the baseline's same hour of the day |
//! | hour | values and features of the last 24 hours; pairs | the baseline |
//! | hour | values of the last hour | the baseline's same hour of the day, and the canary |
//! | minute | verdicts of guards | |
//!
//! A drift of a model's values says what the canary's values do in the same time. The last minute that is looked at
//! is the one before the last: a batch is collected for up to a minute. Windows that come later are missing from
//! the minute's figures and are in those of the hour.
//!
//! **Reads**, of an endpoint with four models, one shard, entries of 1.2 KB, in units of 8 KB (half a unit of 4 KB each): a minute 30 units:
//! arrivals 5, models and pairs of 5 minutes 10, the series of alarms, hours and baselines 0.5 each, endpoints 1, the rest is for what
//! more shards have; an hour 130 units to merge it, 70 for the hours of a day and 45 for the baseline, twice where a model has
//! enough scores for the minute's look, which keeps its hour of the baseline in memory. Merging minutes adds 3 units a minute,
//! and an entry for each arm and model that is written ([`minutes`](crate::minutes)).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Minute, ModelId, Role, Share, Timestamp, Unavailable,
    now,
    ports::{EndpointTable, Ledger, Telemetry, WindowTable},
};
use rendezvous_evidence::{
    alarms::{ENOUGH, Observation, Over, alarms},
    callers,
    drift::{self, Drift},
    window::{Features, Pairs, Window},
};

use crate::{
    Monitor, MonitorReport,
    alarms::Found,
    baselines::{baseline, hour_of},
    features::{ARRIVALS, by_minute},
    hours::Merged,
    minutes::MergedMinutes,
    series::HOUR,
    windows::series,
};

/// Windows of so many of the last minutes may not be complete.
const BEHIND: u32 = 1;

/// How many minutes a minute's look covers.
const RECENT: u32 = 5;

const DAY: u32 = 24 * HOUR;
const WEEK: u32 = 7 * DAY;

/// How many entries of arrivals a read returns.
const MAX_ENTRIES: usize = 10_000;

/// Of so many endpoints the baseline is kept in memory.
const MAX_BASELINES: usize = 100;

/// What stopped ramps say, by endpoint.
pub(crate) type Stopped = BTreeMap<EndpointName, Vec<Found>>;

/// The windows of each model in a baseline, at one hour of the day.
type OfHour = Arc<BTreeMap<ModelId, Window>>;

/// One hour of each baseline is kept in memory, by endpoint. A version may name another baseline.
#[derive(Default)]
pub(crate) struct Baselines(Mutex<HashMap<EndpointName, (u64, u8, OfHour)>>);

impl Baselines {
    fn get(&self, endpoint: &Endpoint, hour: u8) -> Option<OfHour> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, of, models) = kept.get(&endpoint.name)?;
        (*version == endpoint.version && *of == hour).then(|| models.clone())
    }

    fn keep(&self, endpoint: &Endpoint, hour: u8, models: OfHour) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_BASELINES {
            kept.clear();
        }
        kept.insert(endpoint.name.clone(), (endpoint.version, hour, models));
    }
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Looks at every endpoint, and raises alarms. After `end` it begins to look at none.
    pub(crate) async fn look(
        &self,
        mut stopped: Stopped,
        end: Timestamp,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        for name in self.endpoints.list().await? {
            if now() > end {
                tracing::error!(endpoint = %name, "there was no time to look at all endpoints");
                break;
            }
            let stopped = stopped.remove(&name).unwrap_or_default();
            let looked = match self.endpoints.current(&name).await {
                Ok(Some(endpoint)) => self.look_at(&endpoint, stopped, report).await,
                Ok(None) => Ok(()),
                Err(unavailable) => Err(unavailable),
            };
            if let Err(unavailable) = looked {
                tracing::error!(endpoint = %name, %unavailable, "an endpoint is looked at in the next minute");
            }
        }
        Ok(())
    }

    async fn look_at(
        &self,
        endpoint: &Endpoint,
        mut found: Vec<Found>,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let last = Minute::of(now()).minus(BEHIND + 1);
        let expected = self.callers(endpoint, last, &mut found).await?;
        let (merged, late) = self.merge_minutes(&endpoint.name).await?;
        self.minutes(endpoint, &merged, last, expected, &mut found).await?;
        let hour = self.merge_hours(&endpoint.name, &merged, &late).await?;
        if let Some(hour) = hour {
            self.hour(endpoint, hour, &mut found).await?;
        }
        let looked = |over: Option<Over>| match over {
            Some(Over::Hour | Over::Day) => hour.is_some(),
            // Another entrance looks at outcomes.
            Some(Over::Week) => false,
            Some(Over::Minutes) | None => true,
        };
        self.raise(endpoint, found, looked, report).await
    }

    /// Compares the arrivals with those of earlier days. Returns how many requests of the current version
    /// arrived in the last minutes.
    async fn callers(
        &self,
        endpoint: &Endpoint,
        last: Minute,
        found: &mut Vec<Found>,
    ) -> Result<u64, Unavailable> {
        let series = series(&endpoint.name, ARRIVALS);
        let longest = callers::SPANS.into_iter().max().unwrap_or(0);
        let [longest, around] = [longest, callers::AROUND].map(|n| u32::try_from(n).unwrap_or(0));
        let (first, end) = (last.plus(1).minus(longest), last.plus(1));
        let recent = self.windows.read(&series, first..end, MAX_ENTRIES).await?;
        let mut counts = by_minute(&recent);
        for back in [DAY, WEEK] {
            let past = first.minus(back + around)..end.plus(around).minus(back);
            counts.extend(by_minute(&self.windows.read(&series, past, MAX_ENTRIES).await?));
        }
        // What is older has expired, but may not be deleted yet: a read would go through all of it.
        let kept = Minute::of(now() - self.keep);
        let oldest = self.windows.read(&series, kept..end, 1).await?;
        let Some(oldest) = oldest.first() else { return Ok(0) };
        let requests = |minute| counts.get(&minute_of(minute)).copied().unwrap_or(0);
        let unusual = callers::judge(number(last), number(oldest.key.minute), requests);
        found.extend(alarms(unusual.map(Observation::Callers)).into_iter().map(Found::from));
        let current = format!("{}/", endpoint.version);
        let since = end.minus(RECENT);
        let of_current = recent
            .iter()
            .filter(|entry| entry.key.minute >= since && entry.key.part.starts_with(&current));
        Ok(by_minute(of_current).values().sum())
    }

    /// Looks at the models' last minutes.
    async fn minutes(
        &self,
        endpoint: &Endpoint,
        merged: &MergedMinutes,
        last: Minute,
        expected: u64,
        found: &mut Vec<Found>,
    ) -> Result<(), Unavailable> {
        let end = last.plus(1);
        let Merged { models, agreement, .. } =
            self.without_features(merged, end.minus(RECENT)..end).await?;
        let configuration = &endpoint.configuration;
        let model = |model| {
            let expected = expected_of(configuration, model, expected);
            Observation::Model { model, expected, window: models.get(model) }
        };
        found.extend(alarms(configuration.models().map(model)).into_iter().map(Found::from));
        pairs(configuration, &agreement, Over::Minutes, found);
        // Fewer values than these are no drift of minutes.
        if models.values().any(|window| window.values().count() >= ENOUGH)
            && let Some(baseline) = self.of_hour(endpoint, hour_of(last.start())).await?
        {
            values(configuration, &baseline, &models, Over::Minutes, found);
        }
        Ok(())
    }

    /// Looks at an hour, and at the 24 hours that it ends.
    async fn hour(
        &self,
        endpoint: &Endpoint,
        hour: Minute,
        found: &mut Vec<Found>,
    ) -> Result<(), Unavailable> {
        let hours = self.hours(&endpoint.name, hour.minus(DAY - HOUR)..hour.plus(1)).await?;
        let day = Merged::of_hours(&hours);
        let last = Merged::of_hours(hours.iter().filter(|entry| entry.key.minute == hour));
        let configuration = &endpoint.configuration;
        pairs(configuration, &day.agreement, Over::Day, found);
        let Some(baseline) = baseline(&*self.windows, endpoint).await? else { return Ok(()) };
        let whole = configuration.models();
        let whole = whole.filter_map(|model| Some((model.clone(), baseline.model(model)?)));
        values(configuration, &whole.collect(), &day.models, Over::Day, found);
        features(configuration, baseline.features().as_ref(), day.features.as_ref(), found);
        if let Some(same) = baseline.at(hour_of(hour.start())) {
            values(configuration, &same.models, &last.models, Over::Hour, found);
        }
        Ok(())
    }

    /// The values of each model in the baseline, at an hour of the day. A baseline never changes.
    async fn of_hour(&self, endpoint: &Endpoint, hour: u8) -> Result<Option<OfHour>, Unavailable> {
        if let Some(kept) = self.baselines.get(endpoint, hour) {
            return Ok(Some(kept));
        }
        let baseline = baseline(&*self.windows, endpoint).await?;
        let Some(mut baseline) = baseline else { return Ok(None) };
        let models = baseline.hours.remove(&hour).map(|hour| hour.models).unwrap_or_default();
        let models = Arc::new(models);
        self.baselines.keep(endpoint, hour, Arc::clone(&models));
        Ok(Some(models))
    }
}

/// How many of the requests a model is expected to score.
fn expected_of(configuration: &Configuration, model: &ModelId, requests: u64) -> u64 {
    let observer = configuration.observers().iter().find(|observer| observer.model == *model);
    let share = observer.map_or(Share::ALL, |observer| observer.share).as_fraction();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a part of the requests of some minutes"
    )]
    let expected = (requests as f64 * share) as u64;
    expected
}

/// The alarms of pairs of models that the configuration has.
fn pairs(configuration: &Configuration, pairs: &Pairs, over: Over, found: &mut Vec<Found>) {
    let is_known = |model: &ModelId| configuration.models().any(|known| known == model);
    let known = pairs.iter().filter(|(models, _)| models.iter().all(|model| is_known(model)));
    let observed =
        known.map(|([first, second], pair)| Observation::Pair { first, second, over, pair });
    found.extend(alarms(observed).into_iter().map(Found::from));
}

/// The alarms of the models' values against those of a baseline.
fn values(
    configuration: &Configuration,
    baseline: &BTreeMap<ModelId, Window>,
    recent: &BTreeMap<ModelId, Window>,
    over: Over,
    found: &mut Vec<Found>,
) {
    let drift = |model: &ModelId| -> Option<Drift> {
        drift::numbers(baseline.get(model)?.values(), recent.get(model)?.values())
    };
    let drifts = configuration.models().filter_map(|model| Some((model, drift(model)?)));
    let drifts: Vec<(&ModelId, Drift)> = drifts.collect();
    let is_canary = |model: &ModelId| {
        let mut observers = configuration.observers().iter();
        observers.any(|observer| observer.model == *model && observer.role == Role::Canary)
    };
    let canary = drifts.iter().find(|(model, _)| is_canary(model));
    let canary = canary.map(|(model, drift)| (*model, drift));
    let observed = drifts.iter().map(|(model, drift)| Observation::Drift {
        of: model.as_str(),
        over,
        drift,
        canary,
    });
    found.extend(alarms(observed).into_iter().map(Found::from));
}

/// The alarms of the features that the configuration lists, over 24 hours. Of a feature, numbers count first, then
/// texts, then whether there is either.
fn features(
    configuration: &Configuration,
    baseline: Option<&Features>,
    recent: Option<&Features>,
    found: &mut Vec<Found>,
) {
    let (Some(baseline), Some(recent)) = (baseline, recent) else { return };
    for feature in configuration.features() {
        let (Some(before), Some(after)) = (baseline.get(feature), recent.get(feature)) else {
            continue;
        };
        let drift::FeatureDrift { kinds, numbers, texts } = drift::feature(before, after);
        let drifts = [numbers, texts, kinds].into_iter().flatten();
        if let Some(drift) = drifts.into_iter().find(Drift::is_drift) {
            let (drift, over) = (&drift, Over::Day);
            let observed = Observation::Drift { of: feature, over, drift, canary: None };
            found.extend(alarms([observed]).into_iter().map(Found::from));
        }
    }
}

/// The number of a minute.
fn number(minute: Minute) -> u64 {
    u64::try_from(minute.start().as_micros()).unwrap_or(0) / 60_000_000
}

/// The minute of a number.
fn minute_of(number: u64) -> Minute {
    Minute::FIRST.plus(u32::try_from(number).unwrap_or(u32::MAX))
}
