//! `Schedule::decide` against the rules as they are written down, computed in the most direct way.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Choice, Decision, Envelope, Failure, FailureKind, Json, Kind, Mailbox, ModelId, Reason,
    RequestId, Schedule, Score, Timestamp, Verdict,
};

use crate::input::Choices;

const MODELS: [&str; 8] = ["a@1", "b@1", "c@1", "d@1", "e@1", "f@1", "g@1", "h@1"];
const RECEIVED: Timestamp = Timestamp::from_micros(1_763_794_344_000_000);

/// What the rules say at one instant.
#[derive(Debug, PartialEq)]
enum Rule {
    Answer(usize, Kind, Reason),
    GiveUp(Reason),
    Wait,
}

/// The rules at `elapsed` after the receipt. `late` is whether the deadline is reached.
fn rule(
    schedule: &Schedule,
    mailbox: &Mailbox,
    presumed: &[ModelId],
    elapsed: Duration,
    late: bool,
) -> Rule {
    let choices = schedule.choices();
    let result = |i: usize| mailbox.result_of(&choices[i].model);
    let failed = |i: usize| matches!(result(i), Some(Err(_)));
    // A choice is presumed silent until its next message.
    let out = |i: usize| failed(i) || (result(i).is_none() && presumed.contains(&choices[i].model));
    for (i, choice) in choices.iter().enumerate() {
        let (due, survives) = (choice.after <= elapsed, (0..i).all(out));
        if !matches!(result(i), Some(Ok(_))) || !(due || survives || late) {
            continue;
        }
        let kind = if i == 0 { Kind::Champion } else { Kind::StandIn };
        let reason = match (i, due, survives) {
            (0, ..) => Reason::Preferred,
            (_, true, _) => Reason::Opened,
            (_, _, true) => Reason::Survivor,
            _ => Reason::Deadline,
        };
        return Rule::Answer(i, kind, reason);
    }
    if (0..choices.len()).all(failed) {
        return Rule::GiveUp(Reason::Exhausted);
    }
    if late { Rule::GiveUp(Reason::Deadline) } else { Rule::Wait }
}

fn mailbox(choices: &mut Choices<'_>) -> Mailbox {
    let id = RequestId::from_bytes([7; 16]);
    let mut mailbox = Mailbox::empty(Arc::new(Envelope {
        id,
        endpoint: "e".parse().unwrap(),
        config: 1,
        arm: rendezvous_core::Arm::main(),
        key: id.to_key(),
        received: RECEIVED,
        deadline: RECEIVED,
        traceparent: None,
        skip: Vec::new(),
        replay: None,
    }));
    for _ in 0..choices.below(10) {
        let model: ModelId = choices.one_of(&MODELS).parse().unwrap();
        let result = match choices.below(3) {
            0 => Err(Failure::new(FailureKind::Failed, "no")),
            number => Ok(Json::parse(&number.to_string()).unwrap()),
        };
        mailbox.file(&[Score { model, started: RECEIVED, finished: RECEIVED, result }]);
    }
    mailbox
}

/// A schedule of up to eight choices; `None` where it is none.
fn schedule(choices: &mut Choices<'_>) -> Option<Schedule> {
    let count = 1 + choices.below(MODELS.len());
    let choice = |model: &&str| Choice {
        model: model.parse().unwrap(),
        after: Duration::from_millis(choices.byte().into()),
    };
    let listed: Vec<Choice> = MODELS[..count].iter().map(choice).collect();
    let deadline = Duration::from_millis(u64::from(choices.byte()) * 2);
    let fallback = choices.flag().then(|| Json::parse("{\"p\":0}").unwrap());
    Schedule::new(listed, deadline, fallback).ok()
}

/// The verdict is that of the rules, and a wait ends at the first instant at which theirs changes.
pub(crate) fn differs(bytes: &[u8]) {
    let choices = &mut Choices(bytes);
    let Some(schedule) = schedule(choices) else { return };
    let mut mailbox = mailbox(choices);
    let presumed = choices.byte();
    let presumed: Vec<ModelId> = (0..MODELS.len())
        .filter(|i| presumed & (1 << i) != 0)
        .map(|i| MODELS[i].parse().unwrap())
        .collect();
    let deadline = RECEIVED + Duration::from_millis(u64::from(choices.byte()) * 2);
    // From before the receipt, by a clock that is behind, to after the deadline.
    let now =
        RECEIVED + Duration::from_millis(u64::from(choices.byte()) * 3) - Duration::from_millis(20);
    let decide =
        |at: Timestamp| rule(&schedule, &mailbox, &presumed, at.since(RECEIVED), at >= deadline);
    let said = schedule.decide(RECEIVED, deadline, now, &mailbox, &presumed);
    match (decide(now), said) {
        (Rule::Answer(i, kind, reason), Verdict::Settle(settlement)) => {
            let model = &schedule.choices()[i].model;
            assert_eq!((settlement.kind, settlement.reason), (kind, reason));
            assert_eq!((settlement.choice, settlement.model), (Some(i), Some(model)));
            assert_eq!(settlement.score, mailbox.result_of(model).unwrap().as_ref().ok());
        }
        (Rule::GiveUp(reason), Verdict::Settle(settlement)) => {
            let fallback = schedule.fallback();
            let kind = if fallback.is_some() { Kind::Fallback } else { Kind::None };
            assert_eq!((settlement.kind, settlement.reason), (kind, reason));
            assert_eq!((settlement.choice, settlement.score), (None, fallback));
        }
        (Rule::Wait, Verdict::WaitUntil(until)) => {
            // Between two of these instants no rule changes.
            let opens = schedule.choices().iter().map(|choice| RECEIVED + choice.after);
            let mut instants: Vec<Timestamp> =
                opens.chain([deadline]).filter(|at| *at > now).collect();
            instants.sort_unstable();
            let changes = instants.into_iter().find(|at| decide(*at) != Rule::Wait);
            assert_eq!(Some(until), changes);
        }
        (rule, said) => panic!("{rule:?}, but {said:?}"),
    }
    let decision = decision(&schedule);
    mailbox.decision = Some(Arc::new(decision.clone()));
    let stands = schedule.decide(RECEIVED, deadline, now, &mailbox, &presumed);
    assert_eq!(stands, Verdict::Stands(&decision));
}

fn decision(schedule: &Schedule) -> Decision {
    Decision {
        kind: Kind::None,
        reason: Reason::Deadline,
        model: None,
        score: None,
        decided: RECEIVED,
        deadline: RECEIVED,
        config: 1,
        arm: rendezvous_core::Arm::main(),
        champion: schedule.champion().clone(),
        seen: Vec::new(),
        presumed: Vec::new(),
    }
}
