//! `rendezvous-sim`: runs the whole system in virtual time, from seeds, with faults, and checks the
//! invariants.

use std::{
    fs,
    io::{self, BufWriter, ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use mimalloc::MiMalloc;
use rendezvous_sim::{
    campaign::{Broken, Campaign},
    fault::{Fault, Shares},
    run::{
        Plan,
        long::{self, Long, Progress},
        run,
    },
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
    /// Requests of each run, without those of the minutes in which arms are judged
    #[arg(long, default_value_t = 800, value_parser = requests)]
    requests: usize,
    /// Show what happens in the run of the one seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Show how often each fault met each step of the protocol
    #[arg(long)]
    table: bool,
    /// Instead of many runs one long one, with so many requests a second
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with_all = ["seeds", "requests", "trace", "table"])]
    rate: Option<f64>,
    /// How long it is, in hours of virtual time
    #[arg(long, requires = "rate", default_value_t = 24.0, value_parser = rate)]
    hours: f64,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|error| format!("{error}"))?;
    if number > 0.0 && number <= 1e6 { Ok(number) } else { Err("it must be above 0".to_owned()) }
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("write it as A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let seeds = number(first)?..number(end)?;
    if seeds.is_empty() {
        Err("the last must be larger than the first".to_owned())
    } else {
        Ok(seeds)
    }
}

fn requests(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a run has at least one request".to_owned()),
        Ok(requests) => Ok(requests),
        Err(error) => Err(error.to_string()),
    }
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
    let mut out = BufWriter::new(io::stdout().lock());
    let ended = perform(Options::parse(), &mut out).and_then(|holds| out.flush().map(|()| holds));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Who reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the options say; returns whether every invariant holds.
fn perform(options: Options, out: &mut impl Write) -> io::Result<bool> {
    let shares = options.faults.unwrap_or_else(Shares::usual);
    let seeds = options.seed.map_or(options.seeds, |seed| seed..seed.saturating_add(1));
    if let Some(rate) = options.rate {
        let time = Duration::from_secs_f64(options.hours * 3600.0);
        return run_long(Long { seed: options.seed.unwrap_or_default(), rate, time, shares }, out);
    }
    if options.trace {
        let plan = Plan { seed: seeds.start, requests: options.requests, shares, traced: true };
        return trace(plan, out);
    }
    let start = Instant::now();
    let campaign = Campaign { seeds, requests: options.requests, shares };
    let (sums, broken) = campaign.run();
    if let Some(broken) = broken {
        show(broken, out)?;
        writeln!(out, "{sums}")?;
        return Ok(false);
    }
    if options.table {
        write!(out, "{}", sums.tally)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = sums.requests as f64 / seconds;
    writeln!(out, "{sums}, {seconds:.1} s, {rate:.0} requests a second")?;
    Ok(true)
}

/// One long run, with a line for each hour; returns whether clients and archive say the same.
fn run_long(plan: Long, out: &mut impl Write) -> io::Result<bool> {
    let mut written = Ok(());
    let progress = long::run(plan, |progress| {
        let Progress { virtual_time, requests, answers, unsettled, .. } = progress;
        let Progress { accepted, errors, compared, open, arms, .. } = progress;
        let of_status = |(status, count): (&i64, &u64)| format!("{status}: {count}");
        let errors: Vec<_> = errors.iter().map(of_status).collect();
        let errors = errors.join(", ");
        let arms = if arms.is_empty() { "" } else { &format!("; arms: {}", arms.join(", ")) };
        let line = writeln!(
            out,
            "{:.1} hours: {answers} answers ({unsettled} unsettled), {accepted} accepted, errors {{{errors}}}; \
             {requests} requests archived, {compared} compared, {open} open{arms}; {} MB",
            virtual_time.as_secs_f64() / 3600.0,
            resident_mb(),
        );
        if written.is_ok() {
            written = line.and_then(|()| out.flush());
        }
    })?;
    written?;
    for what in &progress.wrong {
        writeln!(out, "{what}")?;
    }
    Ok(progress.wrong.is_empty())
}

/// The memory of this process, as Linux tells it; elsewhere 0.
fn resident_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    resident.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() / 1024
}

/// Replays one run, readably; returns whether every invariant holds.
fn trace(plan: Plan, out: &mut impl Write) -> io::Result<bool> {
    let report = run(plan);
    let mut names = Names::default();
    for line in &report.trace {
        writeln!(out, "{}", names.line(line))?;
    }
    for violation in &report.violations {
        writeln!(out, "{}", names.shorten(&violation.to_string()))?;
    }
    Ok(report.violations.is_empty())
}

/// Shows the smallest run found that breaks the same invariant.
fn show(broken: Broken, out: &mut impl Write) -> io::Result<()> {
    let seed = broken.plan.seed;
    for violation in &broken.violations {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    let Broken { plan, violations } = broken.shrunk();
    let faults: Vec<_> = plan.shares.faults().map(Fault::name).collect();
    trace(Plan { traced: true, ..plan }, out)?;
    writeln!(
        out,
        "rendezvous-sim --seed {seed} --requests {} --faults {:?} --trace breaks {}",
        plan.requests,
        faults.join(","),
        violations.first().map_or("nothing", |violation| violation.invariant.name()),
    )
}
