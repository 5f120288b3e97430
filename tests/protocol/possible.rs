//! Which actions are possible in a state.

use crate::{
    functions::{Does, Message},
    lives::Life,
    ports::{Call, Strength},
    protocol::{Action, Protocol},
    setups::{Role, Sends},
    state::{Phase, State, Task},
};

impl Protocol {
    /// Appends every action that is possible in `state`.
    pub(crate) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        self.batches(state, actions);
        // A message has no effect before it is handed over, so that it is sent just then.
        if state.handed < state.scores.len() {
            return;
        }
        for actor in 0..state.actors.len() {
            self.actions_of(state, actor, actions);
        }
        if state.clock + 1 < self.setup.instants.len() {
            actions.push(Action::Tick);
        }
        actions.extend((0..state.strays.len()).map(Action::Stray));
    }

    /// Which batches the mapping can hand to which instances.
    fn batches(&self, state: &State, actions: &mut Vec<Action>) {
        let is_idle = |actor: &usize| {
            let is_instance = matches!(self.setup.actors[*actor], Role::Rendezvous { .. });
            is_instance && state.actors[*actor].phase == Phase::Idle
        };
        // Which of several new instances is taken makes no difference.
        let is_new = |actor: usize| Life::try_from(actor) == Ok(state.actors[actor].life);
        let alike = |one: usize, other: usize| {
            self.setup.actors[one] == self.setup.actors[other] && is_new(one) && is_new(other)
        };
        let idle: Vec<_> = (0..state.actors.len()).filter(is_idle).collect();
        if state.delivers() || idle.is_empty() {
            return;
        }
        let available = state.scores.len() - state.acknowledged;
        let least = if state.handed < state.scores.len() { available } else { 1 };
        for (position, &actor) in idle.iter().enumerate() {
            if idle[..position].iter().any(|&other| alike(actor, other)) {
                continue;
            }
            let counts = least..=available.min(self.setup.batch);
            actions.extend(counts.map(|count| Action::Deliver { actor, count }));
        }
        if available < self.setup.batch {
            self.messages(state, actions);
        }
    }

    fn actions_of(&self, state: &State, actor: usize, actions: &mut Vec<Action>) {
        let faulty = state.faults > 0;
        match &state.actors[actor].phase {
            Phase::Idle if !matches!(self.setup.actors[actor], Role::Rendezvous { .. }) => {
                actions.push(Action::Begin(actor));
            }
            Phase::Idle | Phase::Ended { .. } | Phase::Crashed => {}
            Phase::Runs { held, task } => {
                if let Does::Calls(_, call) = self.does(&state.actors[actor]) {
                    self.answers(state, actor, &call, held.is_some(), actions);
                }
                if faulty {
                    actions.push(Action::Crash(actor));
                }
                if faulty && *task == (Task::Batch { abandoned: false }) {
                    actions.push(Action::Abandon(actor));
                }
            }
        }
    }

    /// What can become of the call that an actor waits for.
    fn answers(
        &self,
        state: &State,
        actor: usize,
        call: &Call,
        held: bool,
        actions: &mut Vec<Action>,
    ) {
        if held {
            actions.extend([Action::Answer(actor), Action::Fail(actor), Action::Retry(actor)]);
            return;
        }
        if let Call::Watch { seen, until } = call {
            let due = self.setup.at(state.clock) >= *until;
            if due || (state.ledger.is_some() && state.ledger != *seen) {
                actions.push(Action::Serve(actor));
            }
            if due && state.before != state.ledger && self.setup.stale {
                actions.push(Action::ServeStale(actor));
            }
        } else {
            actions.push(Action::Serve(actor));
        }
        if *call == Call::Read(Strength::Eventual)
            && self.setup.stale
            && state.before != state.ledger
        {
            actions.push(Action::ServeStale(actor));
        }
        if state.faults > 0 {
            actions.push(Action::Fail(actor));
            if call.has_effect() {
                actions.push(Action::TakeEffect(actor));
            }
        }
    }

    /// What the models can send.
    fn messages(&self, state: &State, actions: &mut Vec<Action>) {
        for (record, envelope) in state.sent.iter().enumerate() {
            if state.sent[..record].contains(envelope) {
                continue;
            }
            let copies = state.sent.iter().filter(|other| *other == envelope).count();
            // A record that a model is handed again costs a fault.
            let most = copies + usize::from(state.faults > 0);
            for (model, (name, all)) in self.setup.models.iter().enumerate() {
                let same = |m: &&Message| m.model == *name && m.envelope == *envelope;
                if state.scores.iter().filter(same).count() < most {
                    let send = |sends: &Sends| Action::Send { record, model, sends: *sends };
                    actions.extend(all.iter().map(send));
                }
            }
        }
    }
}
