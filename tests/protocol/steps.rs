//! What an action does.

use std::sync::Arc;

use rendezvous_core::Written;

use crate::{
    functions::{Does, Event, Message, Outcome},
    lives::Life,
    ports::{Answer, Call},
    protocol::{Action, Protocol},
    setups::Role,
    state::{Actor, Begun, Phase, State, Task},
};

impl Protocol {
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
                    // Their order has no effect any more.
                    let key = |m: &Message| (m.envelope.received, m.model, m.run);
                    state.scores[..until].sort_by_key(key);
                }
                *phase = Phase::Idle;
                if !matches!(self.setup.actors[actor], Role::Rendezvous { warm: true, .. }) {
                    *life = new;
                }
            }
        }
    }

    /// Lets the call of a client or reader begin.
    pub(crate) fn begin(&self, state: &mut State, actor: usize) {
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

    /// Does `action` to `state`.
    pub(crate) fn act(&self, state: &mut State, action: Action) -> Option<()> {
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
                state.handed = state.handed.max(first + count);
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
