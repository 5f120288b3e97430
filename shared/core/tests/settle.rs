//! Settling where a choice opens after one that follows it, and where nothing can be committed.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Configuration, Draft, Endpoint, Envelope, Kind, Mailbox, Reason, Score,
    conformance::samples,
    memory::MemoryLedger,
    settle::{RequestState, settle, verdict_in_hand},
};

/// The sample, in which the last choice opens at once, before the one that is preferred to it.
fn endpoint() -> Endpoint {
    let sample = samples::endpoint();
    let schedule = sample.configuration.draft().schedule.clone();
    let mut choices = schedule.choices().to_vec();
    choices[2].after = Duration::ZERO;
    let schedule = schedule.with_choices(choices).unwrap();
    Endpoint { configuration: Configuration::new(Draft::new(schedule)).unwrap(), ..sample }
}

#[tokio::test]
async fn a_filed_score_whose_time_has_not_come_is_no_rival() {
    let (endpoint, ledger) = (endpoint(), MemoryLedger::default());
    let envelope = samples::envelope(&endpoint);
    let at = |ms| envelope.received + Duration::from_millis(ms);
    let settle_with = async |scores: &[Score], ms| {
        settle(&ledger, &endpoint, &envelope, None, scores, &[], at(ms)).await.unwrap()
    };
    assert_eq!(settle_with(&[samples::score("b@1", "2")], 5).await, RequestState::Open(at(100)));
    let RequestState::Settled(settled) = settle_with(&[samples::score("c@1", "3")], 6).await else {
        panic!("not settled");
    };
    assert_eq!(settled.decision.model.as_ref().unwrap().as_str(), "c@1");
    assert_eq!(settled.decision.reason, Reason::Opened);
    assert_eq!(settled.decision.seen.len(), 2);
}

#[test]
fn the_verdict_in_hand_is_what_the_schedule_settles_on_without_the_clock() {
    let endpoint = samples::endpoint();
    let envelope: Arc<Envelope> = samples::envelope(&endpoint);
    let in_hand = |scores: &[Score], now| {
        let mut mailbox = Mailbox::empty(envelope.clone());
        mailbox.file(scores);
        let reason = Reason::Unavailable;
        let decision = verdict_in_hand(&endpoint, &envelope, &mailbox, reason, now);
        (decision.kind, decision.reason)
    };
    let (early, end) = (envelope.received, envelope.deadline);
    let failures = ["a@1", "b@1", "c@1"].map(samples::failure);
    assert_eq!(in_hand(&failures, early), (Kind::Fallback, Reason::Exhausted));
    assert_eq!(in_hand(&[], end), (Kind::Fallback, Reason::Unavailable));
    assert_eq!(in_hand(&failures[..2], end), (Kind::Fallback, Reason::Unavailable));
    let score = [samples::score("b@1", "2")];
    assert_eq!(in_hand(&score, early), (Kind::Fallback, Reason::Unavailable));
    assert_eq!(in_hand(&score, end), (Kind::StandIn, Reason::Opened));
}
