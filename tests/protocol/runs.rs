//! Checks a setup and says how much was explored.

use std::collections::BTreeSet;

use rendezvous_core::mutation::Mutation;
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

use crate::{
    properties::ALWAYS,
    protocol::{Action, Protocol},
    setups::Setup,
};

fn checker(setup: Setup, until: HasDiscoveries) -> CheckerBuilder<Protocol> {
    Protocol::new(setup).checker().threads(1).finish_when(until)
}

/// Explores every state of `setup` and prints how many there are. Panics with a path to a state in
/// which a property does not hold, or with the names of what was not reached.
pub(crate) fn check(setup: Setup) {
    let name = setup.name;
    let checker = checker(setup, HasDiscoveries::AnyFailures).spawn_bfs().join();
    for (property, _) in ALWAYS {
        if let Some(path) = checker.discovery(property) {
            let path = described(&path.into_actions());
            panic!("{name}: it does not hold that {property}:\n{path}");
        }
    }
    assert!(checker.is_done(), "{name}: not every state was explored");
    let discovered = checker.discoveries();
    let missing: Vec<_> = setup.reaches.iter().filter(|it| !discovered.contains_key(*it)).collect();
    assert!(missing.is_empty(), "{name}: not reached: {missing:?}");
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let steps = checker.model().lives.len();
    println!("{name}: {states} states, depth {depth}; {steps} distinct steps of functions");
}

/// Whether some state of `setup` breaks `property` when the code has the defect `mutation`.
pub(crate) fn finds(setup: Setup, mutation: Mutation, property: &'static str) -> bool {
    let setup = Setup { mutation: Some(mutation), reaches: &[], ..setup };
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    checker(setup, found).spawn_bfs().join().discovery(property).is_some()
}

fn described(actions: &[Action]) -> String {
    let lines: Vec<_> = actions.iter().map(|action| format!("    {action:?}")).collect();
    lines.join("\n")
}
