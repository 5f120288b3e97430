//! The system as stateright explores it.

use stateright::{Model, Property};

use crate::{
    lives::Life,
    properties,
    protocol::{Action, Protocol},
    state::{Actor, History, Phase, State},
};

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let _mutation = self.mutate();
        let actor = |life| Actor { life, phase: Phase::Idle };
        let actors = (0..self.setup.actors.len()).map(|i| actor(Life::try_from(i).expect("few")));
        let mut state = State {
            clock: 0,
            faults: self.setup.faults,
            ledger: None,
            before: None,
            sent: Vec::new(),
            scores: Vec::new(),
            handed: 0,
            acknowledged: 0,
            actors: actors.collect(),
            strays: Vec::new(),
            history: History::default(),
        };
        self.begin(&mut state, 0);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let _mutation = self.mutate();
        let mut state = last.clone();
        self.act(&mut state, action)?;
        // Reads change nothing, and without a further fault nor do the others.
        let faulty = state.faults > 0;
        state.strays.retain(|call| faulty && call.has_effect());
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.setup)
    }
}
