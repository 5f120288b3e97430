//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use rendezvous_core::{Arm, EndpointName, Guard, ModelId, Share, Timestamp};
use rendezvous_evidence::Requirement;
use rendezvousctl::{
    baseline::BaselineOptions,
    change::Change,
    compact::CompactOptions,
    compare::{self, CompareOptions, requirement},
    erase::EraseOptions,
    failure::Failure,
    gaps::GapsOptions,
    models::ModelsOptions,
    past::instant,
    redrive::RedriveOptions,
    replay::ReplayOptions,
    status::StatusOptions,
    whatif::WhatIfOptions,
};

use crate::{check::VerifyOptions, configure::Writing, console::ConsoleOptions, target::Target};

/// Operates a Rendezvous system: a stack on AWS, or with --data a local system.
///
/// Exit codes: 0 done, 1 failed, 2 wrong command line, 3 refused by a rule, 4 conflict with another
/// publisher.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists the endpoints: current version, champion, arms.
    Endpoints,
    /// Shows the configuration of an endpoint, by default the current version.
    Show { endpoint: EndpointName, version: Option<u64> },
    /// Shows who published which version of an endpoint, when and why, and what changed.
    History { endpoint: EndpointName },
    /// Says what changes from one version to another, by default to the current one.
    Diff {
        endpoint: EndpointName,
        #[arg(value_name = "V1")]
        from: u64,
        #[arg(value_name = "V2")]
        to: Option<u64>,
    },
    /// Makes endpoint configurations current: each file that differs from the current version of
    /// its endpoint becomes the next one. Requests use it within a second or so.
    Apply {
        /// `{endpoint}.json`: the file's name is the endpoint's. All are checked before any is written.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        writing: WritingOptions,
    },
    /// Publishes an earlier configuration again, by default that of the version before, as a new
    /// version.
    Rollback {
        endpoint: EndpointName,
        version: Option<u64>,
        /// Arms that had passed steps begin with their first step again.
        #[arg(long)]
        rebase: bool,
        #[command(flatten)]
        writing: WritingOptions,
    },
    /// Makes a model the first choice, and the champion its first stand-in: at once, or in an arm for
    /// a share of the keys.
    Promote {
        endpoint: EndpointName,
        model: ModelId,
        #[command(flatten)]
        exposure: Exposure,
        #[command(flatten)]
        evidence: EvidenceOptions,
        #[command(flatten)]
        writing: WritingOptions,
    },
    /// Takes a model off every schedule and from the observers.
    Retire {
        endpoint: EndpointName,
        model: ModelId,
        #[command(flatten)]
        writing: WritingOptions,
    },
    /// What drift is measured against: sets the baseline of an endpoint, or shows it.
    #[command(subcommand)]
    Baseline(Baseline),
    /// Says what every endpoint, its arms and its models did in the last minutes.
    Status {
        #[command(flatten)]
        options: StatusOptions,
        /// Repeat every five seconds until Ctrl-C; with --json, one document after the other.
        #[arg(long)]
        watch: bool,
    },
    /// Lists the models: which are up, since when, from which artefact, and what they sent lately.
    Models(ModelsOptions),
    /// Compares two models on the same requests: the evidence for a promotion.
    Compare(CompareOptions),
    /// Says what archived requests would have been answered under another schedule.
    Whatif(WhatIfOptions),
    /// Says what is missing in the archive: requests without scores, models without scores of a request.
    Gaps(GapsOptions),
    /// Brings batches that a function could not handle until its retries ended back to it. What it handles
    /// is set aside, what fails again stays.
    Redrive(RedriveOptions),
    /// Lets a model score archived requests, as if it had been live: for compare and whatif.
    Replay(ReplayOptions),
    /// Runs a saved query over the archive, or lists the saved queries: on a stack in Athena, on a data
    /// folder by DuckDB, for which Python 3.11 is needed.
    Query {
        /// The saved query; without it the saved queries are listed.
        name: Option<String>,
        /// Another value of a setting of the query, e.g. first_day=2026-01-31.
        #[arg(long, value_parser = pair, value_name = "NAME=VALUE", requires = "name")]
        set: Vec<(String, String)>,
    },
    /// Merges the many small files of the archive's past hours into few.
    Compact(CompactOptions),
    /// Erases what is kept of one key's requests, or of one request, and certifies it.
    Erase(EraseOptions),
    /// Serves the web console on 127.0.0.1 until Ctrl-C, with your own rights.
    Console(ConsoleOptions),
    /// Verifies that the system works: asks every endpoint as a client does and looks for the
    /// requests in the archive.
    Verify(VerifyOptions),
    /// Prints completions for a shell.
    Completions { shell: Shell },
}

#[derive(Subcommand)]
pub(crate) enum Baseline {
    /// Makes a baseline of some days and names it in the configuration. It is computed from the archive, kept for
    /// ever, and never changes.
    Set {
        #[command(flatten)]
        options: BaselineOptions,
        #[command(flatten)]
        writing: WritingOptions,
    },
    /// Shows the baseline of an endpoint: of the current version, or another.
    Show { endpoint: EndpointName, name: Option<String> },
}

#[derive(Args)]
pub(crate) struct WritingOptions {
    /// Why the configuration changes; kept with the version.
    #[arg(short, long)]
    message: String,
    /// Who changes it; kept with the version.
    #[arg(long, env = "USER", default_value = "unknown")]
    author: String,
    /// Do not ask before publishing.
    #[arg(short, long)]
    yes: bool,
    /// Show what would change, and publish nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

impl WritingOptions {
    pub(crate) fn with(self, json: bool) -> Writing {
        let Self { message, author, yes, dry_run } = self;
        Writing { author, message, yes, dry_run, json }
    }
}

/// The evidence for a promotion.
#[derive(Args)]
pub(crate) struct EvidenceOptions {
    /// Refuse (exit code 3) unless these conditions hold of the model compared with the champion, e.g.
    /// brier<=-0.001@99%, requests>=10000, failed<=0.1%.
    #[arg(long, value_name = "EVIDENCE", value_parser = requirement)]
    pub(crate) require: Option<Requirement>,
    /// Only requests received at or after this count.
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "require")]
    pub(crate) from: Option<Timestamp>,
    /// Only requests received before this count.
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "require")]
    pub(crate) to: Option<Timestamp>,
}

/// To which part of the requests a model is exposed.
#[derive(Args)]
pub(crate) struct Exposure {
    /// The share of the keys for which the model becomes first choice, in an arm, e.g. 5%.
    #[arg(long, value_parser = share, value_name = "SHARE", conflicts_with = "steps")]
    share: Option<Share>,
    /// The shares that the arm has one after the other, e.g. 5%,25%,100%.
    #[arg(long, value_parser = share, value_delimiter = ',', value_name = "SHARE,…")]
    steps: Vec<Share>,
    /// On what conditions the next step follows by itself, e.g.
    /// `hold_minutes=10,fallback_rate=1%,p99_ms=150,disagreement=20%`.
    #[arg(long, value_parser = guard, requires = "steps")]
    guard: Option<Guard>,
    /// The arm that has the model as its champion becomes main now, without its further steps.
    #[arg(long, conflicts_with_all = ["share", "steps"])]
    finish: bool,
    /// The arm's name; by default the model's.
    #[arg(long)]
    arm: Option<Arm>,
}

impl Exposure {
    pub(crate) fn change(self, model: ModelId) -> Result<Change, Failure> {
        let Self { share, steps, guard, finish, arm } = self;
        if finish {
            return Ok(Change::Finish { model, arm });
        }
        let steps = share.map_or(steps, |share| vec![share]);
        if !steps.is_empty() {
            return Ok(Change::PromoteInArm { model, arm, steps, guard });
        }
        if arm.is_some() {
            return Err(Failure::Usage("--arm needs --share, --steps or --finish".to_owned()));
        }
        Ok(Change::Promote(model))
    }
}

/// `name=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} has no ="))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `5%` or `0.05`.
fn share(text: &str) -> Result<Share, String> {
    let share = Share::new(compare::share(text)?);
    share.ok_or_else(|| format!("{text} has more than 4 decimal places"))
}

fn guard(text: &str) -> Result<Guard, String> {
    let mut guard = Guard::default();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} has no ="))?;
        let number = || value.parse().map_err(|_| format!("{name}: {value:?} is no whole number"));
        match name.trim() {
            "hold_minutes" => guard.hold_minutes = number()?,
            "fallback_rate" => guard.fallback_rate = Some(share(value)?),
            "p99_ms" => guard.p99_ms = Some(number()?),
            "disagreement" => guard.disagreement = Some(share(value)?),
            "loss" => guard.loss = Some(share(value)?),
            other => {
                return Err(format!(
                    "{other:?} is none of hold_minutes, fallback_rate, p99_ms, disagreement, loss"
                ));
            }
        }
    }
    Ok(guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_guards_are_read_and_mistakes_are_named() {
        let five = Share::new(0.05);
        assert_eq!(share("5%").ok(), five);
        assert_eq!(share("0.05").ok(), five);
        assert!(share("5").unwrap_err().contains("no share such as"));
        assert!(share("many").unwrap_err().contains("no share such as"));
        assert!(share("0.00005%").unwrap_err().contains("more than 4 decimal places"));
        let read = guard("hold_minutes=10,fallback_rate=1%,p99_ms=150,loss=0.02").unwrap();
        assert_eq!(read.loss, Share::new(0.02));
        assert_eq!((read.hold_minutes, read.p99_ms, read.disagreement), (10, Some(150), None));
        assert_eq!(read.fallback_rate, Share::new(0.01));
        assert!(guard("hold=10").unwrap_err().contains("none of hold_minutes"));
        assert!(guard("p99_ms=fast").unwrap_err().contains("no whole number"));
    }
}
