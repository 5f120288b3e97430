//! Whatever goes wrong, every invariant holds.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use rendezvous_core::random;
use rendezvous_sim::{
    campaign::Campaign,
    fault::{Fault, Shares},
    run::{Plan, run},
};

/// Requests of each run, and how many runs there are: more than 10^5 requests.
const REQUESTS: usize = 800;
const RUNS: u64 = 120;

#[test]
fn every_invariant_holds_in_runs_of_fresh_seeds_under_all_faults() {
    let base = u64::from(u32::from_le_bytes(random::bytes("seed base", "")));
    println!("seed base {base}");
    let seeds = base..base + RUNS;
    let campaign = Campaign { seeds, requests: REQUESTS, shares: Shares::usual() };
    let (sums, broken) = campaign.run();
    if let Some(broken) = broken {
        let seed = broken.plan.seed;
        panic!("rendezvous-sim --seed {seed} --trace: {:#?}", broken.violations);
    }
    println!("{sums}");
    assert!(sums.requests >= 100_000, "{} requests", sums.requests);
}

#[test]
fn a_seed_gives_one_run() {
    let plan = Plan { seed: 7, requests: 100, shares: Shares::usual(), traced: true };
    let (one, two) = (run(plan), run(plan));
    for (number, (one, two)) in one.trace.iter().zip(&two.trace).enumerate() {
        assert_eq!(one, two, "line {number} of the trace");
    }
    assert_eq!(one.trace.len(), two.trace.len());
    let other = run(Plan { seed: 8, ..plan });
    assert_ne!(one.trace, other.trace);
}

#[test]
fn without_faults_every_request_is_answered() {
    let plan = Plan { seed: 1, requests: 100, shares: Shares::only(&[]), traced: false };
    let report = run(plan);
    assert_eq!(report.violations, []);
    assert_eq!(report.decided, report.requests);
    assert_eq!((report.answers.none, report.answers.unsettled), (0, 0));
    assert_eq!(Fault::ALL.iter().filter(|fault| plan.shares.of(**fault) > 0.0).count(), 0);
}
