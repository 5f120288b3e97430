//! The ledger in memory against a plain model of it: each operation by its own rule, as the documentation of
//! `Write` and of the port has it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rendezvous_core::{
    Arm, Decision, Envelope, Failure, FailureKind, Json, Kind, Mailbox, ModelId, Opening, Reason,
    RequestId, Score, Timestamp, Write, Written,
    memory::MemoryLedger,
    now,
    ports::{Consistency, Ledger, Watch},
};

use crate::{
    input::Choices,
    system::{START, run},
};

const RETENTION: Duration = Duration::from_hours(1);
const MODELS: [&str; 4] = ["a@1", "b@1", "c@1", "d@1"];

/// What is known of one request.
type Known = BTreeMap<RequestId, Mailbox>;

/// What the rules say of a write.
#[derive(Debug, PartialEq)]
enum Rule {
    Applied,
    Refused,
    Forgotten,
}

/// Every write does what its rule says, and every read finds what the writes before it have left.
pub(crate) fn differs(bytes: &[u8]) {
    run(async {
        let ledger = MemoryLedger::with_capacity(4_096).with_retention(RETENTION);
        let choices = &mut Choices(bytes);
        let mut known = Known::new();
        while !choices.is_empty() {
            step(&ledger, choices, &mut known).await;
        }
        for envelope in (0..3).map(|id| envelope(id, 0)) {
            compare(&ledger, &envelope, &known).await;
        }
    });
}

async fn step(ledger: &MemoryLedger, choices: &mut Choices<'_>, known: &mut Known) {
    let operation = choices.below(16);
    if operation == 15 {
        tokio::time::advance(RETENTION / 3).await;
        return;
    }
    let envelope = envelope(choices.byte() % 3, choices.byte() % 3);
    if operation >= 13 {
        return compare(ledger, &envelope, known).await;
    }
    let found = find(known, &envelope).cloned();
    let (write, rule, after) = match operation {
        0..2 => open(choices, &envelope, found.as_ref()),
        2..4 => reopen(choices, &envelope, found),
        4..6 => accept(&envelope, found),
        6..9 => file(choices, &envelope, found),
        _ => settle(choices, &envelope, found),
    };
    let written = ledger.write(&write).await.unwrap();
    match (rule, written) {
        (Rule::Applied, Written::Applied(mailbox)) => {
            assert_eq!(Some(&mailbox), after.as_ref(), "{write:?}");
            known.insert(envelope.id, mailbox);
        }
        (Rule::Refused, Written::Refused(mailbox)) => {
            assert_eq!(Some(&mailbox), find(known, &envelope), "{write:?}");
        }
        (Rule::Forgotten, Written::Forgotten) => {}
        (rule, written) => panic!("{rule:?}, but {written:?}, for {write:?}"),
    }
}

/// What the model has of a request; nothing once its retention has passed.
fn find<'k>(known: &'k Known, envelope: &Envelope) -> Option<&'k Mailbox> {
    known.get(&envelope.id).filter(|mailbox| !is_past(&mailbox.envelope))
}

fn is_past(envelope: &Envelope) -> bool {
    now() >= envelope.received + RETENTION
}

async fn compare(ledger: &MemoryLedger, envelope: &Arc<Envelope>, known: &Known) {
    let expected = find(known, envelope);
    let read = ledger.read(envelope.id, Consistency::Strong).await.unwrap();
    assert_eq!(read.as_ref(), expected);
    let watched = ledger.watch(envelope).changed(now()).await.unwrap();
    assert_eq!(watched.as_ref(), expected);
}

fn envelope(id: u8, later: u8) -> Arc<Envelope> {
    let id = RequestId::from_bytes([id + 1; 16]);
    let received = START + Duration::from_secs(later.into());
    Arc::new(Envelope {
        id,
        endpoint: "e".parse().unwrap(),
        config: 1,
        arm: Arm::main(),
        key: id.to_key(),
        received,
        deadline: received + Duration::from_secs(1),
        traceparent: None,
        skip: Vec::new(),
        replay: None,
    })
}

type Expected = (Write, Rule, Option<Mailbox>);

/// "Opens a mailbox for a request that must not be sent twice": once.
fn open(choices: &mut Choices<'_>, envelope: &Arc<Envelope>, found: Option<&Mailbox>) -> Expected {
    let owner = choices.flag().then_some([3; 16]);
    let payload_sha256 = [choices.byte() % 2; 32];
    let write = Write::open(envelope, payload_sha256, owner);
    if found.is_some() {
        return (write, Rule::Refused, None);
    }
    let opened = Some(envelope.received);
    let opening = Opening { payload_sha256, owner, opened, accepted: false };
    let mailbox = Mailbox { opening: Some(opening), ..Mailbox::empty(envelope.clone()) };
    (write, Rule::Applied, Some(mailbox))
}

/// "Gives a request that was opened, but neither accepted by the stream nor decided, the fresh times".
fn reopen(choices: &mut Choices<'_>, envelope: &Arc<Envelope>, found: Option<Mailbox>) -> Expected {
    let read = found.as_ref().and_then(|mailbox| mailbox.opening);
    let opened = Some(START + Duration::from_secs((choices.byte() % 3).into()));
    let made_up = Opening { payload_sha256: [0; 32], owner: None, opened, accepted: false };
    let former = read.filter(|_| choices.flag()).unwrap_or(made_up);
    let write = Write::reopen(envelope, former);
    let Some(mut mailbox) = found else { return (write, Rule::Forgotten, None) };
    let accepted = read.is_some_and(|opening| opening.accepted);
    let same = read.and_then(|opening| opening.opened) == former.opened;
    if mailbox.decision.is_some() || accepted || !same {
        return (write, Rule::Refused, None);
    }
    mailbox.envelope = envelope.clone();
    mailbox.opening = Some(Opening { opened: Some(envelope.received), ..former });
    (write, Rule::Applied, Some(mailbox))
}

/// "Marks an opened request as accepted by the stream": the latest opening only.
fn accept(envelope: &Arc<Envelope>, found: Option<Mailbox>) -> Expected {
    let write = Write::accept(envelope);
    let Some(mut mailbox) = found else { return (write, Rule::Forgotten, None) };
    match &mut mailbox.opening {
        Some(opening) if opening.opened == Some(envelope.received) => opening.accepted = true,
        _ => return (write, Rule::Refused, None),
    }
    (write, Rule::Applied, Some(mailbox))
}

/// "Files scores, unless a decision stands. The first result of a model counts."
fn file(choices: &mut Choices<'_>, envelope: &Arc<Envelope>, found: Option<Mailbox>) -> Expected {
    let scores = scores(choices);
    let (rule, after) = filed(envelope, found, &scores);
    (Write::file(envelope, &scores), rule, after)
}

/// The rule of a filing: not once a decision stands, not with other times than the mailbox was opened with, not
/// for a request that may have been deleted.
fn filed(
    envelope: &Arc<Envelope>,
    found: Option<Mailbox>,
    scores: &[Score],
) -> (Rule, Option<Mailbox>) {
    if found.is_none() && is_past(envelope) {
        return (Rule::Forgotten, None);
    }
    let mut mailbox = found.unwrap_or_else(|| Mailbox::empty(envelope.clone()));
    let opened = mailbox.opening.and_then(|opening| opening.opened);
    if mailbox.decision.is_some() || opened.is_some_and(|opened| opened != envelope.received) {
        return (Rule::Refused, None);
    }
    for score in scores {
        if mailbox.scores.iter().all(|filed| filed.model != score.model) {
            mailbox.scores.push(score.clone());
        }
    }
    (Rule::Applied, Some(mailbox))
}

/// "Refused when one of the rivals has a score", and when the decided model is among the scores and has a
/// result already.
fn settle(choices: &mut Choices<'_>, envelope: &Arc<Envelope>, found: Option<Mailbox>) -> Expected {
    let scores = scores(choices);
    let model = choices.flag().then(|| model(choices));
    let count = choices.below(3);
    let rivals: Vec<ModelId> = (0..count).map(|_| self::model(choices)).collect();
    let decision = decision(envelope, model.as_ref());
    let write = Write::settle(envelope, &scores, decision.clone(), rivals.clone());
    let result = |of: &ModelId| {
        let found = found.as_ref()?;
        found.scores.iter().find(|score| score.model == *of).map(|score| score.result.is_ok())
    };
    let overlooks = rivals.iter().any(|rival| result(rival) == Some(true));
    let again = model.as_ref().is_some_and(|model| {
        result(model).is_some() && scores.iter().any(|score| score.model == *model)
    });
    let refused = overlooks || again;
    match filed(envelope, found, &scores) {
        (Rule::Applied, _) if refused => (write, Rule::Refused, None),
        (Rule::Applied, Some(mut mailbox)) => {
            mailbox.decision = Some(Arc::new(decision));
            (write, Rule::Applied, Some(mailbox))
        }
        (rule, after) => (write, rule, after),
    }
}

fn model(choices: &mut Choices<'_>) -> ModelId {
    choices.one_of(&MODELS).parse().unwrap()
}

fn scores(choices: &mut Choices<'_>) -> Vec<Score> {
    let count = choices.below(4);
    let score = |_| {
        let model = model(choices);
        let result = match choices.below(3) {
            0 => Err(Failure::new(FailureKind::Failed, "no")),
            number => Ok(Json::parse(&number.to_string()).unwrap()),
        };
        Score { model, started: START, finished: START, result }
    };
    (0..count).map(score).collect()
}

fn decision(envelope: &Envelope, model: Option<&ModelId>) -> Decision {
    Decision {
        kind: if model.is_some() { Kind::Champion } else { Kind::None },
        reason: Reason::Deadline,
        model: model.cloned(),
        score: None,
        decided: Timestamp::from_micros(1),
        deadline: envelope.deadline,
        config: 1,
        arm: Arm::main(),
        champion: "a@1".parse().unwrap(),
        seen: Vec::new(),
        presumed: Vec::new(),
    }
}
