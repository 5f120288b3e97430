//! Many runs, what they add up to, and the smallest run that breaks an invariant.

use std::{collections::BTreeMap, fmt, ops::Range, time::Duration};

use crate::{
    fault::Shares,
    invariant::{Invariant, Violation},
    run::{Plan, Report, run},
    tally::Tally,
};

/// The runs of some seeds.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub seeds: Range<u64>,
    /// Requests of each run.
    pub requests: usize,
    pub shares: Shares,
}

/// What the runs add up to.
#[derive(Debug, Default)]
pub struct Sums {
    pub runs: u64,
    pub requests: u64,
    pub decided: u64,
    pub answers: u64,
    pub unsettled: u64,
    pub accepted: u64,
    pub unanswered: u64,
    /// Late because of the instance itself, by cause.
    pub marked: BTreeMap<&'static str, u64>,
    pub virtual_time: Duration,
    pub tally: Tally,
}

/// A run that breaks an invariant.
#[derive(Debug)]
pub struct Broken {
    pub plan: Plan,
    pub violations: Vec<Violation>,
}

/// Marked answers are at most this share of all.
const MOST_MARKED: f64 = 0.01;

impl Campaign {
    /// Runs the seeds in turn, up to the first that breaks an invariant.
    pub fn run(&self) -> (Sums, Option<Broken>) {
        let mut sums = Sums::default();
        let plan =
            |seed| Plan { seed, requests: self.requests, shares: self.shares, traced: false };
        for seed in self.seeds.clone() {
            let plan = plan(seed);
            let report = run(plan);
            sums.add(&report);
            if !report.violations.is_empty() {
                return (sums, Some(Broken { plan, violations: report.violations }));
            }
        }
        let broken = sums
            .too_many_marked()
            .map(|violation| Broken { plan: plan(self.seeds.start), violations: vec![violation] });
        (sums, broken)
    }
}

impl Sums {
    fn add(&mut self, report: &Report) {
        let Report { requests, decided, answers, tally, virtual_time, .. } = report;
        self.runs += 1;
        self.requests += requests;
        self.decided += decided;
        self.answers += answers.decided;
        self.unsettled += answers.unsettled;
        self.accepted += answers.accepted;
        self.unanswered += answers.none;
        for (cause, count) in &answers.marked {
            *self.marked.entry(cause).or_default() += count;
        }
        self.virtual_time += *virtual_time;
        self.tally.add(tally);
    }

    fn too_many_marked(&self) -> Option<Violation> {
        let marked: u64 = self.marked.values().sum();
        // Of few answers no share can be told.
        let most = (self.answers as f64 * MOST_MARKED).max(10.0);
        (marked as f64 > most).then(|| Violation {
            invariant: Invariant::InTime,
            request: None,
            what: format!("{marked} of {} answers are marked as late", self.answers),
        })
    }
}

/// The line of statistics.
impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, requests, decided, answers, unsettled, accepted, unanswered, .. } = self;
        write!(
            f,
            "{runs} runs, {requests} requests, {decided} decisions, {answers} answers ({unsettled} \
             unsettled), {accepted} accepted, {unanswered} without an answer, marked as late:"
        )?;
        if self.marked.is_empty() {
            write!(f, " none")?;
        }
        for (cause, count) in &self.marked {
            write!(f, " {count} {cause}")?;
        }
        write!(f, ", {} hours of virtual time", self.virtual_time.as_secs() / 3600)
    }
}

impl Broken {
    /// The invariant that is broken first.
    pub fn invariant(&self) -> Option<Invariant> {
        self.violations.first().map(|violation| violation.invariant)
    }

    /// The smallest run found that breaks the same invariant: with fewer faults and fewer requests.
    #[must_use]
    pub fn shrunk(self) -> Self {
        let Some(invariant) = self.invariant() else { return self };
        let mut smallest = self;
        let try_plan = |plan: Plan, smallest: &mut Self| {
            let report = run(plan);
            let breaks = report.violations.iter().any(|each| each.invariant == invariant);
            if breaks {
                *smallest = Self { plan, violations: report.violations };
            }
            breaks
        };
        loop {
            let before = smallest.plan;
            for fault in smallest.plan.shares.faults().collect::<Vec<_>>() {
                let shares = smallest.plan.shares.with(fault, 0.0);
                try_plan(Plan { shares, ..smallest.plan }, &mut smallest);
            }
            while smallest.plan.requests > 1 {
                let requests = smallest.plan.requests;
                let fewer = [requests / 2, requests - requests / 4, requests - 1];
                let found = fewer.iter().any(|fewer| {
                    let plan = Plan { requests: *fewer, ..smallest.plan };
                    *fewer < requests && try_plan(plan, &mut smallest)
                });
                if !found {
                    break;
                }
            }
            if smallest.plan.shares == before.shares && smallest.plan.requests == before.requests {
                return smallest;
            }
        }
    }
}
