//! Guarded arms: each minute their windows are judged, and a verdict other than to wait is published.
//!
//! An arm is judged by the windows of the current configuration version only: an earlier try of the same
//! name, or the step before, has another version. Every publication, also one that changes something else,
//! begins the step anew.
//!
//! What the windows say is added up in one entry of the series `{endpoint}/ramps` (see `Ramp`), from the
//! version's publication on, so that a run reads the last minutes only. It stays `BEHIND` minutes behind,
//! because partial windows are written late; windows that come later still are not counted. The verdict of
//! each minute is kept in the series `{endpoint}/verdicts`, as the text that would be the version's message.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use rendezvous_core::{
    Arm, ArmPlan, Configuration, Endpoint, EndpointName, Guard, Invalid, Minute, Provenance,
    Timestamp, Unavailable,
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
    /// When the version was published.
    began: Timestamp,
    /// The windows of minutes before this instant are added up.
    until: Timestamp,
    arm: Decisions,
    main: Decisions,
    pair: Option<Pair>,
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
        let key = EntryKey {
            series: series(&endpoint.name, RAMPS),
            minute: Minute::FIRST,
            part: part(endpoint.version, &plan.name),
        };
        let first = Minute::FIRST..Minute::FIRST.plus(1);
        let entries = self.windows.read(&key.series, first, MAX_ENTRIES).await?;
        let kept = entries.iter().find(|entry| entry.key == key);
        let mut ramp = match kept.map(|entry| from_bytes::<Ramp>(&entry.body)) {
            Some(Ok(ramp)) => ramp,
            unreadable => {
                if let Some(Err(invalid)) = unreadable {
                    tracing::error!(endpoint = %endpoint.name, arm = %plan.name, %invalid, "the figures of a step cannot be read and are added up anew");
                }
                let Some(began) = self.published(endpoint).await? else { return Ok(None) };
                let until = Minute::of(began).start();
                let (arm, main) = (Decisions::default(), Decisions::default());
                Ramp { began, until, arm, main, pair: None }
            }
        };
        self.add(endpoint, plan, &mut ramp).await?;
        if let Some(body) = to_bytes(&ramp) {
            let expires = Some(now() + KEPT);
            self.windows.put(vec![Entry { key, body: body.into(), expires }]).await?;
        }
        Ok(Some(ramp))
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
        let of = |arm: &Arm| part(*version, arm);
        add(&mut ramp.arm, of_part(&decisions, &of(&plan.name)));
        add(&mut ramp.main, of_part(&decisions, &of(&Arm::main())));
        if let Some(more) = readable(merged::<Pair>(of_part(&pairs, &of(&plan.name)))) {
            match &mut ramp.pair {
                Some(pair) => pair.merge(&more),
                None => ramp.pair = Some(more),
            }
        }
        ramp.until = to.start();
        Ok(())
    }

    /// When the version was published.
    async fn published(&self, endpoint: &Endpoint) -> Result<Option<Timestamp>, Unavailable> {
        let history = self.table.history(&endpoint.name).await?;
        let found = history.iter().find(|publication| publication.version == endpoint.version);
        Ok(found.map(|publication| publication.published))
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

fn of_part<'e>(entries: &'e [Entry], part: &'e str) -> impl Iterator<Item = &'e Bytes> {
    let of_part = move |entry: &&Entry| entry.key.part.starts_with(part);
    entries.iter().filter(of_part).map(|entry| &entry.body)
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
