//! Three models and each three of the actors: too many states for every `cargo test`.

use crate::{
    runs::check,
    setups::{ALL_FIVE, RACE, READING, REPEATING, Setup, with_three_models},
};

#[test]
#[ignore = "takes minutes"]
fn three_models_and_two_instances() {
    check(Setup { name: "wide race", faults: 1, batch: 2, ..RACE });
}

#[test]
#[ignore = "takes minutes"]
fn three_models_and_a_reader() {
    check(Setup { name: "wide reading", ..with_three_models(READING) });
}

#[test]
#[ignore = "takes minutes"]
fn three_models_and_a_repeating_client() {
    check(Setup { name: "wide repeating", ..with_three_models(REPEATING) });
}

#[test]
#[ignore = "takes minutes"]
fn all_five_actors_and_one_model() {
    check(ALL_FIVE);
}
