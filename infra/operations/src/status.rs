//! The command `status`: what the windows of the last minutes say of each endpoint, its arms and its
//! models.

mod day;
mod figures;
mod hints;
mod spans;
mod table;

use std::ops::Range;

use clap::Args;
use rendezvous_core::{
    Arm, Endpoint, EndpointName, Invalid, Minute, Timestamp, now,
    ports::{EndpointTable, Entry, WindowTable},
};
use rendezvous_monitor::{
    alarms::{KeptAlarm, kept},
    minutes::MergedMinutes,
    windows::{DECISIONS, MODELS, VERDICTS, part, series},
};
use serde::Serialize;

use self::{
    day::DayStatus,
    figures::{ArmFigures, ModelFigures},
    spans::{Span, Spans},
};
use crate::{
    endpoints::find,
    failure::Failure,
    models::roles,
    output::{Output, instant},
};

#[derive(Args, Clone, Debug)]
pub struct StatusOptions {
    /// Only this endpoint.
    pub endpoint: Option<EndpointName>,
    /// How many minutes count, besides the current one.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub minutes: u32,
    /// The instant in the last minute that counts: by default now.
    #[arg(long, value_name = "TIME", value_parser = crate::past::instant)]
    pub to: Option<Timestamp>,
    /// In JSON, also the figures of each of so many minutes on their own.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub by: Option<u32>,
}

/// What `status` found.
#[derive(Debug, Serialize)]
pub struct Status {
    from_us: Timestamp,
    to_us: Timestamp,
    endpoints: Vec<EndpointStatus>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EndpointStatus {
    endpoint: EndpointName,
    /// The current version of the configuration.
    config: u64,
    arms: Vec<ArmStatus>,
    models: Vec<ModelStatus>,
    /// Those that are active, and those that have begun in this time and ended.
    alarms: Vec<KeptAlarm>,
    /// The last day whose outcomes are known.
    day: Option<DayStatus>,
    /// The figures of each span of minutes, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<Vec<Span>>,
}

/// An arm of the current configuration, or one that has decisions.
#[derive(Debug, Serialize)]
struct ArmStatus {
    arm: Arm,
    /// Its part of the keys in the current configuration; none where that does not have the arm.
    share: Option<f64>,
    /// The number of its step, from 1, and how many there are; none of `main`.
    step: Option<[usize; 2]>,
    #[serde(flatten)]
    figures: ArmFigures,
    /// Of a guarded arm: the latest verdict under the current version.
    verdict: Option<Verdict>,
    guarded: bool,
}

#[derive(Debug, Serialize)]
struct Verdict {
    minute_us: Timestamp,
    because: String,
}

/// A model of the current configuration, or one that has sent something.
#[derive(Debug, Serialize)]
struct ModelStatus {
    model: rendezvous_core::ModelId,
    /// None where the current configuration does not list it.
    roles: Vec<String>,
    /// Whether it sent nothing although there were requests under the current version.
    silent: bool,
    #[serde(flatten)]
    figures: ModelFigures,
}

/// Reads the windows of the last minutes.
pub async fn status(
    windows: &impl WindowTable,
    endpoints: &impl EndpointTable,
    options: &StatusOptions,
) -> Result<Output, Failure> {
    let status = found(windows, endpoints, options).await?;
    Output::of(&status, table::table)
}

/// The same as a value.
pub async fn found(
    windows: &impl WindowTable,
    endpoints: &impl EndpointTable,
    options: &StatusOptions,
) -> Result<Status, Failure> {
    let to = options.to.unwrap_or_else(now);
    let last = Minute::of(to);
    let minutes = last.minus(options.minutes)..last.plus(1);
    let names = match &options.endpoint {
        Some(name) => vec![name.clone()],
        None => endpoints.list().await?,
    };
    let from = minutes.start.start();
    let mut found = Vec::new();
    for name in names {
        let endpoint = find(endpoints, &name, None).await?;
        found.push(of_endpoint(windows, &endpoint, &minutes, from..to, options.by).await?);
    }
    let warnings = hints::warnings(&found, options.minutes);
    Ok(Status { from_us: from, to_us: to, endpoints: found, warnings })
}

async fn of_endpoint(
    windows: &impl WindowTable,
    endpoint: &Endpoint,
    minutes: &Range<Minute>,
    time: Range<Timestamp>,
    by: Option<u32>,
) -> Result<EndpointStatus, Failure> {
    let name = &endpoint.name;
    let unreadable = |invalid: Invalid| {
        Failure::Failed(format!(
            "{name}: a window cannot be read: {invalid}; use the rendezvousctl of the system's version"
        ))
    };
    let merged = MergedMinutes::find(windows, name).await?;
    let decided = merged.read(windows, DECISIONS, minutes).await?;
    let sent = merged.read(windows, MODELS, minutes).await?;
    let verdicts = windows.read(&series(name, VERDICTS), minutes.clone(), usize::MAX).await?;
    let day = day::last(windows, endpoint).await?;
    let alarms = kept(windows, name, time.start).await?;
    let current = format!("{}/", endpoint.version);
    let has_requests =
        decided.iter().chain(&sent).any(|entry| entry.key.part.starts_with(&current));
    let spans = Spans::of(&decided, &sent, minutes, by.unwrap_or(u32::MAX), time.end);
    let spans = spans.map_err(unreadable)?;
    let (decisions, models) = (spans.decisions(), spans.models());
    let draft = endpoint.configuration.draft();
    let mut arms: Vec<Arm> = draft.schedules().map(|(arm, _)| arm.clone()).collect();
    let former = decisions.keys().filter(|arm| !arms.contains(arm)).cloned().collect::<Vec<_>>();
    arms.extend(former);
    let arm = |arm: Arm| {
        let plan = draft.arms.iter().find(|plan| plan.name == arm);
        let others: f64 = draft.arms.iter().map(|plan| plan.share().as_fraction()).sum();
        let rest = (arm == Arm::main()).then_some(1.0 - others);
        let guarded = plan.is_some_and(|plan| plan.guard.is_some());
        let verdict = guarded.then(|| latest(&verdicts, &part(endpoint.version, &arm))).flatten();
        ArmStatus {
            share: plan.map(|plan| plan.share().as_fraction()).or(rest),
            step: plan.map(|plan| [plan.step + 1, plan.steps.len()]),
            figures: ArmFigures::of(decisions.get(&arm), time.end.since(time.start)),
            verdict,
            guarded,
            arm,
        }
    };
    let arms = arms.into_iter().map(arm).collect();
    let mut listed: Vec<_> = endpoint.configuration.models().cloned().collect();
    let former = models.keys().filter(|model| !listed.contains(model)).cloned().collect::<Vec<_>>();
    listed.extend(former);
    let model = |model| ModelStatus {
        roles: roles(&endpoint.configuration, &model),
        silent: has_requests && !models.contains_key(&model),
        figures: ModelFigures::of(models.get(&model)),
        model,
    };
    let models = listed.into_iter().map(model).collect();
    let spans = by.map(|_| spans.figures());
    let (endpoint, config) = (name.clone(), endpoint.version);
    Ok(EndpointStatus { endpoint, config, arms, models, alarms, day, spans })
}

/// The latest verdict on the arm of this part.
fn latest(verdicts: &[Entry], part: &str) -> Option<Verdict> {
    let entry = verdicts.iter().rfind(|entry| entry.key.part == part)?;
    let because = String::from_utf8_lossy(&entry.body).into_owned();
    Some(Verdict { minute_us: entry.key.minute.start(), because })
}

impl Status {
    /// `2026-11-26 21:43:00 UTC to 2026-11-26 21:58:10 UTC`.
    fn time(&self) -> String {
        format!("{} to {}", instant(self.from_us), instant(self.to_us))
    }
}
