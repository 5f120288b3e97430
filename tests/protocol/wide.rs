//! Three models and each three of the actors: too many states for every `cargo test`.

use crate::{
    runs::check,
    setups::{
        ALL_FIVE, RACE, READING, REPEATING, REPEATING_ASYNC, Setup, THREE_SCORES, with_three_models,
    },
};

#[test]
#[ignore = "takes minutes"]
fn three_models_and_two_instances() {
    check(Setup { name: "wide race", faults: 1, batch: 2, ..RACE });
}

#[test]
#[ignore = "takes minutes"]
fn three_models_and_a_reader() {
    check(with_three_models(Setup { name: "wide reading", ..READING }));
}

#[test]
#[ignore = "takes minutes"]
fn three_models_and_a_repeating_client() {
    // The repeat does not wait and no model fails, so that there are fewer states.
    let (actors, instants) = (REPEATING_ASYNC, &[0, 350, 400][..]);
    let setup = Setup { name: "wide repeating", actors, instants, batch: 1, ..REPEATING };
    let setup = Setup { reaches: &["a repeat opens the request again"], ..setup };
    check(Setup { models: THREE_SCORES, ..with_three_models(setup) });
}

#[test]
#[ignore = "takes minutes"]
fn all_five_actors_and_one_model() {
    check(Setup { faults: 0, ..ALL_FIVE });
}
