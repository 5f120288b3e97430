//! `rendezvous-sim`: runs the whole system in virtual time, from seeds, with faults, and checks the
//! invariants.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use rendezvous_sim::{
    campaign::{Broken, Campaign},
    fault::{Fault, Shares},
    run::{Plan, run},
    show::Names,
};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs the whole system in virtual time, from seeds, with faults, and checks the invariants
#[derive(Debug, Parser)]
#[command(name = "rendezvous-sim")]
struct Options {
    /// The seeds, the last not included, e.g. 0..1000
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..100")]
    seeds: std::ops::Range<u64>,
    /// Only this seed
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Only these faults, separated by commas; none: an empty text
    #[arg(long, value_name = "NAMES", value_parser = shares)]
    faults: Option<Shares>,
    /// Requests of each run
    #[arg(long, default_value_t = 800)]
    requests: usize,
    /// Show what happens in the run of the one seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Show how often each fault met each step of the protocol
    #[arg(long)]
    table: bool,
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("write it as A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    Ok(number(first)?..number(end)?)
}

fn shares(text: &str) -> Result<Shares, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let faults: Result<Vec<Fault>, String> = names
        .map(|name| {
            Fault::named(name).ok_or_else(|| {
                let all: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
                format!("there is no fault {name}; there are {}", all.join(", "))
            })
        })
        .collect();
    Ok(Shares::only(&faults?))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let shares = options.faults.unwrap_or_else(Shares::usual);
    let seeds = options.seed.map_or(options.seeds, |seed| seed..seed.saturating_add(1));
    if options.trace {
        return trace(Plan { seed: seeds.start, requests: options.requests, shares, traced: true });
    }
    let start = Instant::now();
    let campaign = Campaign { seeds, requests: options.requests, shares };
    let (sums, broken) = campaign.run(|_| {});
    if let Some(broken) = broken {
        show(broken);
        println!("{sums}");
        return ExitCode::FAILURE;
    }
    if options.table {
        print!("{}", sums.tally);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{sums}, {seconds:.1} s, {:.0} requests a second", sums.requests as f64 / seconds);
    ExitCode::SUCCESS
}

/// Replays one run, readably.
fn trace(plan: Plan) -> ExitCode {
    let report = run(plan);
    let mut names = Names::default();
    for line in &report.trace {
        println!("{}", names.line(line));
    }
    for violation in &report.violations {
        println!("{}", names.shorten(&violation.to_string()));
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows the smallest run found that breaks the same invariant.
fn show(broken: Broken) {
    let seed = broken.plan.seed;
    for violation in &broken.violations {
        println!("seed {seed}: {violation}");
    }
    let Broken { plan, violations } = broken.shrunk();
    let faults: Vec<_> = plan.shares.faults().map(Fault::name).collect();
    trace(Plan { traced: true, ..plan });
    println!(
        "rendezvous-sim --seed {seed} --requests {} --faults {:?} --trace breaks {}",
        plan.requests,
        faults.join(","),
        violations.first().map_or("nothing", |violation| violation.invariant.name()),
    );
}
