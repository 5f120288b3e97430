//! A long run says what clients were told and the archive does not have.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::time::Duration;

use rendezvous_core::mutation::{Mutation, apply};
use rendezvous_sim::{
    fault::{Fault, Shares},
    run::long::{Long, Progress, run},
};

fn of_minutes(minutes: u64, shares: Shares) -> Progress {
    let time = Duration::from_mins(minutes);
    run(Long { seed: 7, rate: 5.0, time, shares }, |_| ()).unwrap()
}

#[test]
fn the_archive_has_what_clients_were_told() {
    let progress = of_minutes(20, Shares::usual());
    assert_eq!(progress.wrong, [""; 0]);
    assert_eq!(progress.open, 0, "all are compared in the end");
    assert!(progress.compared > 5_000, "{progress:?}");
}

#[test]
fn a_batch_that_is_acknowledged_and_not_stored_is_missed() {
    let _applied = apply(Mutation::AcknowledgeUnstored);
    // A mapping that starts over would deliver it again.
    let shares = Shares::usual().with(Fault::Horizon, 0.0).with(Fault::Throttled, 0.05);
    let progress = of_minutes(20, shares);
    assert!(progress.wrong.iter().any(|what| what.contains("not archived")), "{progress:?}");
}

#[test]
fn a_system_that_does_not_keep_up_is_missed() {
    let shares = Shares::usual().with(Fault::LostAnswer, 0.5);
    let time = Duration::from_hours(5);
    let progress = run(Long { seed: 7, rate: 1.0, time, shares }, |_| ()).unwrap();
    assert!(progress.wrong.iter().any(|what| what.contains("are not settled")), "{progress:?}");
    assert!(progress.virtual_time < Duration::from_hours(2), "it ends: {progress:?}");
}

#[test]
fn each_hour_says_which_arms_answer() {
    let mut hours = Vec::new();
    let time = Duration::from_mins(61);
    let plan = Long { seed: 7, rate: 1.0, time, shares: Shares::usual() };
    run(plan, |progress| hours.push(progress.arms.clone())).unwrap();
    assert_eq!(hours.len(), 2, "the hour, and the end: {hours:?}");
    assert!(hours[0][0].starts_with("main ("), "{hours:?}");
    assert!(hours[0][0].contains(" ms"), "{hours:?}");
}
