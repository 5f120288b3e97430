//! What must hold in every state, and what must be reachable.

use rendezvous_core::{Arm, Decision, Json, Mailbox, ModelId, Reason, Verdict};
use sha2::{Digest, Sha256};
use stateright::{Expectation, Property};

use crate::{
    functions::{Does, Outcome, endpoint},
    ports::Call,
    protocol::Protocol,
    setups::{Role, START, Setup},
    state::{Actor, Begun, Phase, State, Task},
};

type Condition = fn(&Protocol, &State) -> bool;

/// What holds in every state.
pub(crate) const ALWAYS: &[(&str, Condition)] = &[
    ("a decision stands for ever", stands),
    ("a settled answer is the decision", settled_answers),
    ("a decision can be recomputed", recomputed),
    ("a decision overlooks no preferred score", overlooks_none),
    ("what was answered as settled can be read", readable),
    ("a key that is used with another payload gets no answer", other_payloads),
    ("an acknowledged score is filed, or the request is decided", acknowledged_scores),
    ("an accepted request is not sent again", sent_once),
    ("only an opened request is sent", opened_before),
    ("no request is sent after its deadline", sent_in_time),
    ("only a request that the stream has is marked as accepted", marked_truly),
    ("an accepted request keeps its times", accepted_times),
    ("a client has its answer at the deadline", answered_in_time),
];

/// What a setup can ask to be reachable.
pub(crate) const SOMETIMES: &[(&str, Condition)] = &[
    ("the champion answers", |_, state| answers(state, Reason::Preferred)),
    ("a stand-in answers because its time has come", |_, state| answers(state, Reason::Opened)),
    ("a stand-in answers because others failed", |_, state| answers(state, Reason::Survivor)),
    ("the fallback answers because all failed", |_, state| answers(state, Reason::Exhausted)),
    ("the fallback answers at the deadline", |_, state| answers(state, Reason::Deadline)),
    ("the fallback answers because the request is not sent", |_, state| {
        answers(state, Reason::Unavailable)
    }),
    ("an answer is not settled", |_, state| {
        state.outcomes().any(|(_, outcome, _)| matches!(outcome, Outcome::Unsettled(..)))
    }),
    ("a choice is presumed silent", |_, state| {
        state.decision().is_some_and(|decision| !decision.presumed.is_empty())
    }),
    ("two calls get the same answer", |_, state| {
        state.outcomes().filter(|(_, outcome, _)| is_settled(outcome)).count() > 1
    }),
    ("a repeat opens the request again", |_, state| {
        state.ledger.as_ref().is_some_and(|mailbox| mailbox.envelope.received > START)
    }),
    ("a reader settles the request", |setup, state| {
        let ends = |outcome: &Outcome| !is_settled(outcome);
        let reads = |actor: usize| setup.setup.actors[actor] == Role::Read;
        state
            .outcomes()
            .any(|(actor, outcome, begun)| reads(actor) && is_settled(outcome) && !begun.settled)
            && state.outcomes().all(|(actor, outcome, _)| reads(actor) || ends(outcome))
    }),
    ("a key is refused with another payload", |_, state| {
        state.outcomes().any(|(_, outcome, _)| *outcome == Outcome::KeyReused)
    }),
    ("a score is acknowledged after the decision", |_, state| {
        state.ledger.as_ref().is_some_and(|m| m.scores.len() < state.acknowledged)
    }),
];

/// The properties of a setup.
pub(crate) fn of(setup: &Setup) -> Vec<Property<Protocol>> {
    let property = |expectation: Expectation, (name, condition): (&'static str, Condition)| {
        Property { expectation, name, condition }
    };
    let always = ALWAYS.iter().map(|each| property(Expectation::Always, *each));
    let reached = SOMETIMES.iter().filter(|(name, _)| setup.reaches.contains(name));
    always.chain(reached.map(|each| property(Expectation::Sometimes, *each))).collect()
}

fn is_settled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Settled { .. })
}

fn answers(state: &State, reason: Reason) -> bool {
    let settled = state.outcomes().any(|(_, outcome, _)| is_settled(outcome));
    settled && state.decision().is_some_and(|decision| decision.reason == reason)
}

fn stands(_: &Protocol, state: &State) -> bool {
    state.history.decision.as_ref() == state.decision()
}

fn settled_answers(_: &Protocol, state: &State) -> bool {
    state.outcomes().all(|(_, outcome, _)| match outcome {
        Outcome::Settled { decision, .. } => state.history.decision.as_ref() == Some(decision),
        _ => true,
    })
}

/// The decision that stands, and the mailbox without it.
fn decided(state: &State) -> Option<(&Decision, Mailbox)> {
    let mailbox = state.ledger.as_deref()?;
    let decision = mailbox.decision.as_deref()?;
    Some((decision, Mailbox { decision: None, ..mailbox.clone() }))
}

fn recomputed(protocol: &Protocol, state: &State) -> bool {
    let Some((decision, mut mailbox)) = decided(state) else { return true };
    let envelope = mailbox.envelope.clone();
    let Some(endpoint) = endpoint(&protocol.setup, envelope.config) else { return false };
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    mailbox.scores.retain(|score| decision.seen.contains(&score.model));
    let named = (decision.config, decision.deadline, &decision.champion);
    if named != (envelope.config, envelope.deadline, schedule.champion()) {
        return false;
    }
    if decision.reason == Reason::Unavailable {
        return decision.score.as_ref() == schedule.fallback() && decision.model.is_none();
    }
    let (received, deadline) = (envelope.received, envelope.deadline);
    let presumed = &decision.presumed;
    match schedule.decide(received, deadline, decision.decided, &mailbox, presumed) {
        Verdict::Settle(again) => {
            let same = again.model == decision.model.as_ref() && again.kind == decision.kind;
            same && again.reason == decision.reason && again.score == decision.score.as_ref()
        }
        _ => false,
    }
}

fn overlooks_none(protocol: &Protocol, state: &State) -> bool {
    let Some((decision, mailbox)) = decided(state) else { return true };
    let Some(endpoint) = endpoint(&protocol.setup, decision.config) else { return false };
    let choices = endpoint.configuration.schedule(&decision.arm).choices();
    let models = choices.iter().map(|choice| &choice.model);
    let mut preferred = models.take_while(|model| Some(*model) != decision.model.as_ref());
    let seen = |model: &ModelId| decision.seen.contains(model);
    preferred.all(|model| !mailbox.has_score_of(model) || seen(model))
}

fn readable(protocol: &Protocol, state: &State) -> bool {
    state.outcomes().all(|(actor, outcome, begun)| {
        let must = protocol.setup.actors[actor] == Role::Read && begun.settled;
        // A reader may be told that a dependency is unavailable.
        !must || is_settled(outcome) || *outcome == Outcome::Unavailable
    })
}

fn other_payloads(protocol: &Protocol, state: &State) -> bool {
    let opening = state.ledger.as_ref().and_then(|mailbox| mailbox.opening);
    let Some(opening) = opening else { return true };
    state.outcomes().all(|(actor, outcome, _)| match protocol.setup.actors[actor] {
        Role::Ask { payload, .. } if is_settled(outcome) || *outcome == Outcome::Accepted => {
            let payload = Json::parse(&payload.to_string()).expect("JSON");
            let digest: [u8; 32] = Sha256::digest(payload.as_str()).into();
            digest == opening.payload_sha256
        }
        _ => true,
    })
}

fn acknowledged_scores(_: &Protocol, state: &State) -> bool {
    if state.decision().is_some() {
        return true;
    }
    let filed = |model: &str| {
        let model: ModelId = model.parse().expect("a model id");
        state.ledger.as_ref().is_some_and(|mailbox| mailbox.result_of(&model).is_some())
    };
    state.scores[..state.acknowledged].iter().all(|message| filed(message.model))
}

/// The calls that run, and the port call that each waits for.
fn running<'a>(
    protocol: &'a Protocol,
    state: &'a State,
) -> impl Iterator<Item = (usize, Begun, Does)> + 'a {
    state.actors.iter().enumerate().filter_map(|(number, actor): (usize, &Actor)| {
        match &actor.phase {
            Phase::Runs { task: Task::Call(begun), .. } => {
                Some((number, *begun, protocol.does(actor)))
            }
            _ => None,
        }
    })
}

fn sent_once(protocol: &Protocol, state: &State) -> bool {
    running(protocol, state)
        .all(|(_, begun, does)| !(begun.accepted && matches!(does, Does::Calls(_, Call::Put(_)))))
}

fn opened_before(protocol: &Protocol, state: &State) -> bool {
    running(protocol, state).all(|(_, _, does)| match does {
        Does::Calls(_, Call::Put(envelope)) if protocol.setup.keyed => {
            state.history.opened.contains(&envelope.received)
        }
        _ => true,
    })
}

fn sent_in_time(protocol: &Protocol, state: &State) -> bool {
    running(protocol, state).all(|(_, begun, does)| match does {
        Does::Calls(_, Call::Put(envelope)) => protocol.setup.at(begun.at) < envelope.deadline,
        _ => true,
    })
}

fn marked_truly(_: &Protocol, state: &State) -> bool {
    let opening = state.ledger.as_ref().and_then(|mailbox| mailbox.opening);
    opening.filter(|opening| opening.accepted).is_none_or(|opening| {
        state.sent.iter().any(|envelope| Some(envelope.received) == opening.opened)
    })
}

fn accepted_times(_: &Protocol, state: &State) -> bool {
    state.history.accepted.is_none_or(|received| {
        state.ledger.as_ref().is_some_and(|mailbox| mailbox.envelope.received == received)
    })
}

/// A call that another has opened the mailbox for waits until the deadline of that one.
fn answered_in_time(protocol: &Protocol, state: &State) -> bool {
    let now = protocol.setup.at(state.clock);
    let received = state.history.opened.iter().max().map_or(START, |opened| START.max(*opened));
    let Some(endpoint) = endpoint(&protocol.setup, 1) else { return false };
    let deadline = received + endpoint.configuration.schedule(&Arm::main()).deadline();
    now < deadline || running(protocol, state).all(|(number, ..)| number != 0)
}
