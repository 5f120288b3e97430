//! The system that is checked, and what can happen in it.

use rendezvous_core::mutation::{self, Applied};

use crate::{
    functions::Does,
    lives::Lives,
    ports::Call,
    setups::{Sends, Setup},
    state::{Actor, State},
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

    pub(crate) fn mutate(&self) -> Option<Applied> {
        self.setup.mutation.map(mutation::apply)
    }

    pub(crate) fn does(&self, actor: &Actor) -> Does {
        self.lives.does(actor.life)
    }

    /// The call of an actor that waits.
    pub(crate) fn waiting(&self, state: &State, actor: usize) -> Option<Call> {
        match self.does(&state.actors[actor]) {
            Does::Calls(_, call) => Some(call),
            _ => None,
        }
    }
}
