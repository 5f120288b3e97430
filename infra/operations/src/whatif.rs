//! The command `whatif`: what archived requests would have been answered under another schedule.

mod table;

use std::{fs, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use rendezvous_archive::{Joined, scan::Progress};
use rendezvous_core::{
    Arm, Configuration, Schedule,
    ports::{ArchiveFiles, EndpointTable},
};
use rendezvous_evidence::whatif::{Conditions, FilingTime, Report, WhatIf, with_deadline};

use crate::{
    failure::Failure,
    output::Output,
    past::{self, Range},
    progress::Bar,
};

#[derive(Args, Clone, Debug)]
pub struct WhatIfOptions {
    #[command(flatten)]
    pub range: Range,
    /// The schedule, as JSON, or a configuration, whose arm `main` it is.
    #[arg(long, value_name = "FILE")]
    pub schedule: PathBuf,
    /// Compute also under other deadlines, e.g. deadline=100..1000/50: from 100 to 1,000 ms in steps of 50.
    #[arg(long, value_name = "deadline=A..B/STEP")]
    pub sweep: Option<Sweep>,
    /// How long before the deadline ingress settles: by default as the system is configured.
    #[arg(long, value_name = "MS")]
    pub margin_ms: Option<u64>,
}

/// Deadlines in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    from: u64,
    to: u64,
    step: u64,
}

/// How many schedules a sweep has at most.
const LARGEST_SWEEP: u64 = 1_000;

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (from, rest) = text.strip_prefix("deadline=")?.split_once("..")?;
            let (to, step) = rest.split_once('/')?;
            Some(Self { from: from.parse().ok()?, to: to.parse().ok()?, step: step.parse().ok()? })
        };
        match parse() {
            Some(Self { from, to, step })
                if step > 0 && from <= to && (to - from) / step < LARGEST_SWEEP =>
            {
                Ok(Self { from, to, step })
            }
            Some(_) => Err(format!("must have 1 to {LARGEST_SWEEP} deadlines")),
            None => Err("must be deadline=A..B/STEP, e.g. deadline=100..1000/50".to_owned()),
        }
    }
}

impl Sweep {
    fn schedules(self, schedule: &Schedule) -> Result<Vec<Schedule>, Failure> {
        let mut schedules = Vec::new();
        let mut deadline = self.from;
        while deadline <= self.to {
            let with = with_deadline(schedule, Duration::from_millis(deadline));
            schedules.push(with.map_err(|invalid| Failure::Usage(format!("--sweep: {invalid}")))?);
            deadline = deadline.saturating_add(self.step);
        }
        Ok(schedules)
    }
}

/// Recomputes the requests in the range. `margin` is that of the system.
pub async fn whatif(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    options: &WhatIfOptions,
    margin: Duration,
) -> Result<Output, Failure> {
    let schedule = schedule(&options.schedule)?;
    let sweep = options.sweep.map(|sweep| sweep.schedules(&schedule)).transpose()?;
    let margin = options.margin_ms.map_or(margin, Duration::from_millis);
    let schedules = (schedule, sweep.unwrap_or_default());
    let report = recompute(files, endpoints, &options.range, schedules, margin, Bar::shows());
    Output::of(&report.await?, table::table)
}

/// Recomputes the requests in the range under a schedule, and under others to compare it with.
pub async fn recompute(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    range: &Range,
    (schedule, sweep): (Schedule, Vec<Schedule>),
    margin: Duration,
    progress: impl FnMut(Progress),
) -> Result<Report, Failure> {
    let endpoint = &range.endpoint;
    let configurations = past::configurations(endpoints, endpoint).await?;
    let requests = past::requests(files, range, None, progress).await?;
    let mut filing = FilingTime::default();
    each(&requests, |request| filing.push(request))?;
    let conditions = Conditions { filing: filing.median(), margin };
    let mut whatif = WhatIf::new(endpoint, schedule, sweep, conditions, &configurations);
    each(&requests, |request| whatif.push(request))?;
    Ok(whatif.report())
}

fn each(
    requests: &rendezvous_archive::join::Requests,
    mut each: impl FnMut(&Joined),
) -> Result<(), Failure> {
    requests.each(|request| {
        each(&request);
        Ok(())
    })?;
    Ok(())
}

/// Reads a schedule, or a configuration with it.
fn schedule(file: &PathBuf) -> Result<Schedule, Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    schedule_of(&text).map_err(wrong)
}

/// A schedule, or that of a configuration's arm `main`, from JSON.
pub fn schedule_of(text: &str) -> Result<Schedule, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let is_configuration = value.get("schedule").is_some();
    let text = if is_configuration { text.to_owned() } else { format!("{{\"schedule\":{text}}}") };
    let configuration = Configuration::parse(&text).map_err(|invalid| invalid.to_string())?;
    Ok(configuration.schedule(&Arm::main()).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_both_ends_and_its_steps() {
        let text =
            r#"{"choices":[{"model":"a@1"},{"model":"b@1","after_ms":250}],"deadline_ms":400}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        let sweep: Sweep = "deadline=100..300/100".parse().unwrap();
        let schedules = sweep.schedules(&schedule).unwrap();
        let deadlines: Vec<_> = schedules.iter().map(|s| s.deadline().as_millis()).collect();
        assert_eq!(deadlines, [100, 200, 300]);
        let opens: Vec<_> = schedules.iter().map(|s| s.choices()[1].after.as_millis()).collect();
        assert_eq!(opens, [99, 199, 250], "a choice that opens too late opens just in time");
        for wrong in ["100..300/100", "deadline=100..300", "deadline=3..1/1", "deadline=1..9/0"] {
            wrong.parse::<Sweep>().unwrap_err();
        }
        assert!("deadline=0..100/50".parse::<Sweep>().unwrap().schedules(&schedule).is_err());
    }
}
