//! Guarded arms: each minute their windows are judged, and a verdict other than to wait is published.
//!
//! An arm is judged by the windows of the versions of its step: the current one, and those directly before it that have
//! the same plan of the arm, schedule of `main`, pins, value and outcome. So a version that changes an
//! observer, a feature or another arm does not begin the step anew, and an earlier try of the same name, which a version
//! without the arm has ended, does not count.
//!
//! What the windows say is added up in one entry of the series `{endpoint}/ramps` (see `Ramp`), from the
//! publication of the step's first version on, so that a run reads the last minutes only. It stays `BEHIND` minutes behind,
//! because partial windows are written late; windows that come later still are not counted. The verdict of
//! each minute is kept in the series `{endpoint}/verdicts`, as the text that would be the version's message.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use rendezvous_core::{
    Arm, ArmPlan, Configuration, Endpoint, EndpointName, Guard, Invalid, Minute, Provenance,
    Publication, Timestamp, Unavailable,
    limits::MAX_MESSAGE_CHARS,
    mutation::{Mutation, mutated},
    now,
    ports::{EndpointTable, Entry, EntryKey, Ledger, PublishError, Telemetry, WindowTable},
    promotion,
};
use rendezvous_evidence::{
    alarms::{Observation, alarms},
    bytes::{from_bytes, to_bytes},
    guard::{Action, Since, Verdict, judge},
    window::{Decisions, Merge, Pair, merged},
};
use serde::{Deserialize, Serialize};

use crate::{
    Monitor, MonitorReport,
    alarms::Found,
    looks::Stopped,
    windows::{DECISIONS, GUARDED, PAIRS, RAMPS, VERDICTS, guarded, part, series},
};

/// The author of the versions that are published here.
pub const AUTHOR: &str = "monitor";

/// Windows of so many of the last minutes may not be complete.
const BEHIND: u32 = 3;

/// Endpoints without a decision for so many minutes are not judged: there is nothing new.
const IDLE: u32 = 10;

/// How many entries a read returns. The minutes of what is left are added up by the next runs.
const MAX_ENTRIES: usize = 10_000;

/// How long the sum of an arm is kept after its last change.
const KEPT: Duration = Duration::from_hours(24 * 30);

/// What the windows say of an arm since its step began.
#[derive(Debug, Serialize, Deserialize)]
struct Ramp {
    /// The first version of the step, and when it was published.
    first: u64,
    began: Timestamp,
    /// The windows of minutes before this instant are added up.
    until: Timestamp,
    arm: Decisions,
    main: Decisions,
    pair: Option<Pair>,
}

impl Ramp {
    /// Nothing, of a step that began with a version.
    fn new(Publication { version, published, .. }: &Publication) -> Self {
        let (arm, main) = (Decisions::default(), Decisions::default());
        let until = Minute::of(*published).start();
        Self { first: *version, began: *published, until, arm, main, pair: None }
    }

    /// What a run has left under a version.
    fn find(entries: &[Entry], key: &EntryKey) -> Option<Self> {
        let EntryKey { series, part, .. } = key;
        let unreadable = |invalid: &_| {
            tracing::error!(%series, %part, %invalid, "the figures of a step cannot be read and are added up anew");
        };
        let entry = entries.iter().find(|entry| entry.key == *key)?;
        from_bytes(&entry.body).inspect_err(unreadable).ok()
    }
}

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Judges the guarded arms of every endpoint that had a decision lately; returns which ramps have stopped.
    pub(crate) async fn guards(&self, report: &mut MonitorReport) -> Result<Stopped, Unavailable> {
        let minute = Minute::of(now());
        let lately = minute.minus(IDLE)..minute.plus(1);
        let entries = self.windows.read(GUARDED, lately, MAX_ENTRIES).await?;
        let names: BTreeSet<EndpointName> =
            entries.iter().filter_map(|entry| entry.key.part.parse().ok()).collect();
        let mut stopped = Stopped::new();
        for name in names {
            let Some(endpoint) = self.endpoints.current(&name).await? else { continue };
            let of_endpoint = self.judge(&endpoint, report).await?;
            stopped.insert(name, of_endpoint);
        }
        Ok(stopped)
    }

    /// Publishes the first verdict by which an arm of the endpoint changes. The others are judged anew under
    /// the version that is published.
    async fn judge(
        &self,
        endpoint: &Endpoint,
        report: &mut MonitorReport,
    ) -> Result<Vec<Found>, Unavailable> {
        let mut stopped = Vec::new();
        for (plan, _) in guarded(endpoint) {
            let Some(guard) = &plan.guard else { continue };
            let Some((verdict, began)) = self.verdict(endpoint, plan, guard).await? else {
                continue;
            };
            let (arm, held) = (&plan.name, now().since(began));
            let ramp = alarms([Observation::Ramp { arm, guard, held, verdict: &verdict }]);
            let (name, arm, action) = (&endpoint.name, &plan.name, verdict.action);
            tracing::info!(endpoint = %name, %arm, ?action, because = verdict.because, "an arm is judged");
            if let Some(changed) = changed(&endpoint.configuration, plan, action) {
                let published = self.publish(endpoint, changed, verdict).await?;
                report.published += usize::from(published.is_some());
                // The alarm of a removal holds until the next version.
                let while_config = |alarm| Found { alarm, while_config: published };
                stopped.extend(ramp.into_iter().filter(|_| published.is_some()).map(while_config));
                return Ok(stopped);
            }
            stopped.extend(ramp.into_iter().map(Found::from));
        }
        Ok(stopped)
    }

    async fn verdict(
        &self,
        endpoint: &Endpoint,
        plan: &ArmPlan,
        guard: &Guard,
    ) -> Result<Option<(Verdict, Timestamp)>, Unavailable> {
        let Some(ramp) = self.ramp(endpoint, plan).await? else { return Ok(None) };
        let Ramp { began, arm, main, pair, .. } = &ramp;
        let since = Since { began: *began, arm, main, pair: pair.as_ref() };
        let now = now();
        let verdict = judge(guard, plan, now, &since);
        let entry = Entry {
            key: EntryKey {
                series: series(&endpoint.name, VERDICTS),
                minute: Minute::of(now),
                part: part(endpoint.version, &plan.name),
            },
            body: Bytes::from(verdict.because.clone()),
            expires: Some(now + self.keep),
        };
        self.windows.put(vec![entry]).await?;
        Ok(Some((verdict, *began)))
    }

    /// The sum of the arm's windows, after those of the last minutes were added. `None` where the version
    /// is in no history.
    async fn ramp(&self, endpoint: &Endpoint, plan: &ArmPlan) -> Result<Option<Ramp>, Unavailable> {
        let Some(mut ramp) = self.kept_ramp(endpoint, plan).await? else { return Ok(None) };
        self.add(endpoint, plan, &mut ramp).await?;
        if let Some(body) = to_bytes(&ramp) {
            let (key, expires) = (key(endpoint, endpoint.version, plan), Some(now() + KEPT));
            self.windows.put(vec![Entry { key, body: body.into(), expires }]).await?;
        }
        Ok(Some(ramp))
    }

    /// The sum as the last run has left it, under the current version or another one of the step.
    async fn kept_ramp(
        &self,
        endpoint: &Endpoint,
        plan: &ArmPlan,
    ) -> Result<Option<Ramp>, Unavailable> {
        let key = |version| key(endpoint, version, plan);
        let first = Minute::FIRST..Minute::FIRST.plus(1);
        let entries = self.windows.read(&key(0).series, first, MAX_ENTRIES).await?;
        if let Some(ramp) = Ramp::find(&entries, &key(endpoint.version)) {
            return Ok(Some(ramp));
        }
        let history = self.table.history(&endpoint.name).await?;
        let published = |version| history.iter().find(|found| found.version == version);
        let Some(mut first) = published(endpoint.version) else { return Ok(None) };
        while let Some(before) = first.replaced.and_then(published) {
            let version = self.endpoints.version(&endpoint.name, before.version).await?;
            if !version.is_some_and(|version| is_same_step(&version, endpoint, plan)) {
                break;
            }
            if let Some(ramp) = Ramp::find(&entries, &key(before.version)) {
                return Ok(Some(ramp));
            }
            first = before;
        }
        Ok(Some(Ramp::new(first)))
    }

    /// Adds the windows of the minutes that are complete by now.
    async fn add(
        &self,
        endpoint: &Endpoint,
        plan: &ArmPlan,
        ramp: &mut Ramp,
    ) -> Result<(), Unavailable> {
        let from = Minute::of(ramp.until);
        let complete = Minute::of(now()).minus(BEHIND);
        if complete <= from {
            return Ok(());
        }
        let Endpoint { name, version, .. } = endpoint;
        let read = async |of: &str| {
            self.windows.read(&series(name, of), from..complete, MAX_ENTRIES).await
        };
        let (mut decisions, mut pairs) = (read(DECISIONS).await?, read(PAIRS).await?);
        let cut = [&decisions, &pairs].into_iter().filter(|entries| entries.len() == MAX_ENTRIES);
        // Of the last minute of a read that was cut there may be more.
        let to = cut.filter_map(|entries| Some(entries.last()?.key.minute)).min();
        // A minute with more entries than a read returns is not counted whole.
        let to = to.unwrap_or(complete).max(from.plus(1));
        for entries in [&mut decisions, &mut pairs] {
            entries.retain(|entry| entry.key.minute < to);
        }
        let versions = ramp.first..=*version;
        add(&mut ramp.arm, of_arm(&decisions, &versions, &plan.name));
        add(&mut ramp.main, of_arm(&decisions, &versions, &Arm::main()));
        if let Some(more) = readable(merged::<Pair>(of_arm(&pairs, &versions, &plan.name))) {
            match &mut ramp.pair {
                Some(pair) => pair.merge(&more),
                None => ramp.pair = Some(more),
            }
        }
        ramp.until = to.start();
        Ok(())
    }

    /// Publishes a configuration in place of the version that was judged; returns the new version, if it did.
    async fn publish(
        &self,
        endpoint: &Endpoint,
        changed: Configuration,
        verdict: Verdict,
    ) -> Result<Option<u64>, Unavailable> {
        let Endpoint { name, version, .. } = endpoint;
        let message: String = verdict.because.chars().take(MAX_MESSAGE_CHARS).collect();
        let provenance = match Provenance::new(AUTHOR, message) {
            Ok(provenance) => provenance,
            Err(invalid) => {
                tracing::error!(endpoint = %name, %invalid, "a verdict cannot be a message");
                return Ok(None);
            }
        };
        let expected = if mutated(Mutation::PublishOverOthers) {
            self.table.current(name).await?
        } else {
            Some(*version)
        };
        match self.table.publish(name, changed, provenance, expected).await {
            Ok(published) => {
                tracing::info!(endpoint = %name, published, "an arm was changed");
                Ok(Some(published))
            }
            // The next run judges the version that is current then.
            Err(PublishError::Conflict { current, .. }) => {
                tracing::info!(endpoint = %name, version, ?current, "somebody else has published");
                Ok(None)
            }
            Err(PublishError::Invalid(invalid)) => {
                tracing::error!(endpoint = %name, %invalid, "a verdict cannot be published");
                Ok(None)
            }
            Err(PublishError::Unavailable(unavailable)) => Err(unavailable),
        }
    }
}

/// The configuration after an action; `None` to wait.
fn changed(current: &Configuration, plan: &ArmPlan, action: Action) -> Option<Configuration> {
    let changed = match action {
        Action::Wait => return None,
        Action::Step => promotion::step(current, &plan.name),
        Action::Finish => promotion::finish(current, &plan.name),
        Action::Remove => promotion::remove(current, &plan.name),
    };
    match changed {
        Ok(changed) => Some(changed),
        Err(invalid) => {
            tracing::error!(arm = %plan.name, %invalid, "a verdict cannot be carried out");
            None
        }
    }
}

/// Where the sum of an arm's windows is kept under a version.
fn key(endpoint: &Endpoint, version: u64, plan: &ArmPlan) -> EntryKey {
    let (series, part) = (series(&endpoint.name, RAMPS), part(version, &plan.name));
    EntryKey { series, minute: Minute::FIRST, part }
}

/// Whether the figures of an arm under a version before count for its step under this one. Other keys may be in
/// either arm: a hash chooses them.
fn is_same_step(before: &Endpoint, endpoint: &Endpoint, plan: &ArmPlan) -> bool {
    let [before, after] = [before, endpoint].map(|endpoint| endpoint.configuration.draft());
    before.arms.contains(plan)
        && before.schedule == after.schedule
        && before.pins == after.pins
        && before.value == after.value
        && before.outcome == after.outcome
}

/// The windows of an arm under some versions.
fn of_arm<'e>(
    entries: &'e [Entry],
    versions: &'e RangeInclusive<u64>,
    arm: &'e Arm,
) -> impl Iterator<Item = &'e Bytes> {
    let is_of = move |entry: &&Entry| {
        let mut parts = entry.key.part.split('/');
        let version = parts.next().and_then(|version| version.parse().ok());
        version.is_some_and(|version| versions.contains(&version))
            && parts.next() == Some(arm.as_str())
    };
    entries.iter().filter(is_of).map(|entry| &entry.body)
}

fn add<'e>(to: &mut Decisions, windows: impl Iterator<Item = &'e Bytes>) {
    if let Some(more) = readable(merged::<Decisions>(windows)) {
        to.merge(&more);
    }
}

/// A window that cannot be read is not counted.
fn readable<T>(window: Result<Option<T>, Invalid>) -> Option<T> {
    window.unwrap_or_else(|invalid| {
        tracing::error!(%invalid, "windows cannot be read and are not counted");
        None
    })
}
