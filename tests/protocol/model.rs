//! The system as stateright checks it: which actions are possible in a state, and what they do.

use std::{fmt::Debug, sync::Arc};

use rendezvous_core::{
    Written,
    mutation::{self, Applied},
};
use stateright::{Model, Property};

use crate::{
    functions::{Does, Event, Message, Outcome},
    lives::{Life, Lives},
    ports::{Answer, Call, Strength},
    properties,
    setups::{Role, Sends, Setup},
    state::{Actor, Begun, History, Phase, State, Task},
};

/// What happens next. Numbers are those of actors, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The clock moves to the next instant.
    Tick,
    /// The call of a client or reader begins.
    Begin(usize),
    /// A model sends a message about this record of `input`.
    Send { record: usize, model: usize, sends: Sends },
    /// The mapping hands the next records to an idle instance.
    Deliver { actor: usize, count: usize },
    /// The waiting call takes effect and is answered.
    Serve(usize),
    /// An eventual read misses the last write.
    ServeStale(usize),
    /// The waiting call takes effect; its answer is late or lost.
    TakeEffect(usize),
    /// The late answer arrives.
    Answer(usize),
    /// The client of the port tries the call again, whose answer was lost.
    Retry(usize),
    /// The waiting call fails. If it has taken effect, its answer was lost.
    Fail(usize),
    /// The mapping no longer waits for the instance, which goes on all the same.
    Abandon(usize),
    /// The actor is gone.
    Crash(usize),
    /// A call of a caller that is gone takes effect; its number among them.
    Stray(usize),
}

pub(crate) struct Protocol {
    pub(crate) setup: Setup,
    pub(crate) lives: Lives,
}

impl Protocol {
    pub(crate) fn new(setup: Setup) -> Self {
        let lives = Lives::new(setup.actors);
        Self { setup, lives }
    }

    fn mutate(&self) -> Option<Applied> {
        self.setup.mutation.map(mutation::apply)
    }

    pub(crate) fn does(&self, actor: &Actor) -> Does {
        self.lives.does(actor.life)
    }

    fn actions_of(&self, state: &State, actor: usize, actions: &mut Vec<Action>) {
        let faulty = state.faults > 0;
        match &state.actors[actor].phase {
            Phase::Idle => self.beginnings(state, actor, actions),
            Phase::Ended { .. } | Phase::Crashed => {}
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

    fn beginnings(&self, state: &State, actor: usize, actions: &mut Vec<Action>) {
        let role = self.setup.actors[actor];
        let Role::Rendezvous { .. } = role else {
            actions.push(Action::Begin(actor));
            return;
        };
        // Which of several new instances is taken makes no difference.
        let alike = |other: usize| {
            let Actor { life, phase } = &state.actors[other];
            let new = |actor: usize, life: Life| life as usize == actor;
            *phase == Phase::Idle
                && self.setup.actors[other] == role
                && new(other, *life)
                && new(actor, state.actors[actor].life)
        };
        if state.delivers() || (0..actor).any(alike) {
            return;
        }
        let available = state.scores.len() - state.acknowledged;
        for count in 1..=available.min(self.setup.batch) {
            actions.push(Action::Deliver { actor, count });
        }
    }

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

    /// Tells an actor of an event.
    fn tell(&self, state: &mut State, actor: usize, event: Event) {
        let Actor { life, phase } = &mut state.actors[actor];
        let before = self.lives.does(*life);
        *life = self.lives.after(&self.setup, *life, event);
        let after = self.lives.does(*life);
        let Phase::Runs { held, .. } = phase else { return };
        if let Does::Calls(number, call) = before
            && !matches!(after, Does::Calls(same, _) if same == number)
        {
            let answered = held.take().is_some();
            // One that the clock has cut off: an answer is told by the caller of this function.
            if !answered {
                state.strays.push(call);
            }
        }
        if let Does::Ended(outcome) = after {
            self.end(state, actor, outcome);
        }
    }

    fn answer(&self, state: &mut State, actor: usize, answer: Answer) {
        if let Phase::Runs { held, .. } = &mut state.actors[actor].phase {
            // It is no stray.
            *held = Some(answer.clone());
        }
        self.tell(state, actor, Event::Answer(answer));
    }

    fn end(&self, state: &mut State, actor: usize, outcome: Arc<Outcome>) {
        let Actor { life, phase } = &mut state.actors[actor];
        let Phase::Runs { task, .. } = phase else { return };
        let new = Life::try_from(actor).expect("few actors");
        match task {
            Task::Call(begun) => {
                *phase = Phase::Ended { outcome, begun: *begun };
                *life = new;
            }
            Task::Batch { abandoned } => {
                if let Outcome::Handled(until) = *outcome
                    && !*abandoned
                {
                    state.acknowledged = until;
                }
                *phase = Phase::Idle;
                if !matches!(self.setup.actors[actor], Role::Rendezvous { warm: true, .. }) {
                    *life = new;
                }
            }
        }
    }

    fn begin(&self, state: &mut State, actor: usize) {
        let settled =
            state.outcomes().any(|(_, outcome, _)| matches!(outcome, Outcome::Settled { .. }));
        // Without a fault and without time to pass, a call that has ended has marked the mailbox.
        let calm = state.clock == 0 && state.faults == self.setup.faults;
        let ended = calm && state.outcomes().any(|(_, outcome, _)| *outcome == Outcome::Accepted);
        let marked = state.ledger.as_ref().and_then(|mailbox| mailbox.opening);
        let accepted = ended || marked.is_some_and(|opening| opening.accepted);
        let task = Task::Call(Begun { at: state.clock, settled, accepted });
        state.actors[actor].phase = Phase::Runs { held: None, task };
        self.tell(state, actor, Event::Begin(state.clock));
    }

    /// Lets a call take effect.
    fn effect(&self, state: &mut State, call: &Call) -> Answer {
        match call {
            Call::Read(_) | Call::Watch { .. } => Answer::Mailbox(state.ledger.clone()),
            Call::Put(envelope) => {
                state.sent.push(envelope.clone());
                Answer::Taken
            }
            Call::Write(write) => {
                let written = write.apply(state.ledger.as_deref());
                if let Written::Applied(mailbox) = &written {
                    let former = state.ledger.replace(Arc::new(mailbox.clone()));
                    if self.setup.stale && former != state.ledger {
                        state.before = former;
                    }
                    state.history.note(mailbox);
                }
                Answer::Written(Arc::new(written))
            }
        }
    }

    /// The call of an actor that waits.
    fn waiting(&self, state: &State, actor: usize) -> Option<Call> {
        match self.does(&state.actors[actor]) {
            Does::Calls(_, call) => Some(call),
            _ => None,
        }
    }

    fn act(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Tick => {
                state.clock += 1;
                for actor in 0..state.actors.len() {
                    if matches!(state.actors[actor].phase, Phase::Runs { .. }) {
                        self.tell(state, actor, Event::Clock(state.clock));
                    }
                }
            }
            Action::Begin(actor) => self.begin(state, actor),
            Action::Send { record, model, sends } => {
                let (envelope, (model, _)) = (state.sent[record].clone(), self.setup.models[model]);
                let copies = state.sent.iter().filter(|other| **other == envelope).count();
                let same = |m: &&Message| m.model == model && m.envelope == envelope;
                let run = state.scores.iter().filter(same).count();
                state.faults -= u8::from(run >= copies);
                let run = u8::try_from(run).expect("few messages");
                state.scores.push(Message { envelope, model, sends, run });
            }
            Action::Deliver { actor, count } => {
                let first = state.acknowledged;
                let messages = state.scores[first..first + count].to_vec();
                let task = Task::Batch { abandoned: false };
                state.actors[actor].phase = Phase::Runs { held: None, task };
                self.tell(state, actor, Event::Invoke { at: state.clock, first, messages });
            }
            Action::Serve(actor) => {
                let call = self.waiting(state, actor)?;
                let answer = self.effect(state, &call);
                self.answer(state, actor, answer);
            }
            Action::ServeStale(actor) => {
                let answer = Answer::Mailbox(state.before.clone());
                self.answer(state, actor, answer);
            }
            other => self.fault(state, other)?,
        }
        Some(())
    }

    fn fault(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::TakeEffect(actor) => {
                state.faults -= 1;
                let call = self.waiting(state, actor)?;
                let answer = self.effect(state, &call);
                let Phase::Runs { held, .. } = &mut state.actors[actor].phase else { return None };
                *held = Some(answer);
            }
            Action::Answer(actor) => {
                let Phase::Runs { held, .. } = &state.actors[actor].phase else { return None };
                self.answer(state, actor, held.clone()?);
            }
            Action::Retry(actor) => {
                let call = self.waiting(state, actor)?;
                let answer = self.effect(state, &call);
                self.answer(state, actor, answer);
            }
            Action::Fail(actor) => {
                let Phase::Runs { held, .. } = &state.actors[actor].phase else { return None };
                state.faults -= u8::from(held.is_none());
                self.answer(state, actor, Answer::Failed);
            }
            Action::Abandon(actor) => {
                state.faults -= 1;
                let Phase::Runs { task, .. } = &mut state.actors[actor].phase else { return None };
                *task = Task::Batch { abandoned: true };
            }
            Action::Crash(actor) => self.crash(state, actor),
            Action::Stray(number) => {
                state.faults -= 1;
                let call = state.strays.remove(number);
                self.effect(state, &call);
            }
            other => unreachable!("{other:?} is no fault"),
        }
        Some(())
    }

    fn crash(&self, state: &mut State, actor: usize) {
        state.faults -= 1;
        let waiting = self.waiting(state, actor);
        let Actor { life, phase } = &mut state.actors[actor];
        if let Phase::Runs { held: None, .. } = phase {
            state.strays.extend(waiting);
        }
        let is_instance = matches!(self.setup.actors[actor], Role::Rendezvous { .. });
        *phase = if is_instance { Phase::Idle } else { Phase::Crashed };
        *life = Life::try_from(actor).expect("few actors");
    }
}

impl Call {
    /// Whether it changes anything.
    fn has_effect(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Put(_))
    }
}

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
            acknowledged: 0,
            actors: actors.collect(),
            strays: Vec::new(),
            history: History::default(),
        };
        self.begin(&mut state, 0);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for actor in 0..state.actors.len() {
            self.actions_of(state, actor, actions);
        }
        self.messages(state, actions);
        if state.clock + 1 < self.setup.instants.len() {
            actions.push(Action::Tick);
        }
        actions.extend((0..state.strays.len()).map(Action::Stray));
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

impl Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.setup.name)
    }
}
