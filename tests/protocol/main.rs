//! Model checking of the decision protocol: every order of events of a small system, with crashes,
//! redelivery and lost answers at every step.

#![allow(clippy::expect_used, reason = "this is test code")]

mod deployed;
mod functions;
mod lives;
mod model;
mod mutants;
mod ports;
mod possible;
mod properties;
mod protocol;
mod runs;
mod setups;
mod state;
mod steps;
mod wide;

use crate::runs::check;

#[test]
fn a_client_waits_while_two_instances_file_scores() {
    check(setups::WAITING);
}

#[test]
fn three_models_race() {
    check(setups::RACE);
}

#[test]
fn a_reader_settles() {
    check(setups::READING);
}

#[test]
fn what_was_answered_is_read() {
    check(setups::ANSWERED);
}

#[test]
fn a_client_repeats_its_call() {
    check(setups::REPEATING);
}

#[test]
fn a_refused_call_is_opened_again() {
    check(setups::REOPENING);
}

#[test]
fn a_key_is_shared_by_two_payloads() {
    check(setups::SHARED_KEY);
}

#[test]
fn another_configuration_is_promoted_meanwhile() {
    check(setups::PROMOTION);
}
