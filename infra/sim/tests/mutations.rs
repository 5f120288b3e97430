//! The invariants can fail: every deliberate defect of production code breaks one, within so many
//! seeds.

use std::fmt::Write;

use rendezvous_core::mutation::{Mutation, apply};
use rendezvous_sim::{
    fault::Shares,
    invariant::Invariant,
    run::{Plan, run},
};

/// Requests of each run.
const REQUESTS: usize = 200;

/// Within how many seeds a mutation is found.
const SEEDS: u64 = 300;

/// These need a request that is opened again by two calls at once, which is rare.
const STORMY: [Mutation; 3] =
    [Mutation::DropOpenedAt, Mutation::DropSameTimes, Mutation::DropNotAccepted];

/// The first seed that finds the mutation, and the invariant that it breaks first.
fn find(mutation: Mutation) -> Option<(u64, Invariant)> {
    let shares = if STORMY.contains(&mutation) { Shares::stormy() } else { Shares::usual() };
    (0..SEEDS).find_map(|seed| {
        let plan = Plan { seed, requests: REQUESTS, shares, traced: false };
        let applied = apply(mutation);
        let first = run(plan).violations.first().map(|violation| violation.invariant)?;
        drop(applied);
        assert_eq!(run(plan).violations, [], "seed {seed} without {mutation:?}");
        Some((seed, first))
    })
}

#[test]
fn every_mutation_is_found() {
    let (mut found, mut missed) = (String::new(), Vec::new());
    for mutation in Mutation::ALL {
        match find(*mutation) {
            Some((seed, invariant)) => {
                let _ = writeln!(found, "{mutation:?}: seed {seed}, {}", invariant.name());
            }
            None => missed.push(mutation),
        }
    }
    println!("{found}");
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
