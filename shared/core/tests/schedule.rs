//! The rules of `Schedule::decide`, one line a case, and the properties that hold in every case.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use rendezvous_core::{
    Arm, Choice, Draft, Failure, FailureKind, Json, Kind, Mailbox, ModelId, Reason, Schedule,
    Score, Timestamp, Verdict, conformance::samples, limits::MAX_CHOICES, settle,
};

const RECEIVED: Timestamp = Timestamp::from_micros(1_000_000_000);

fn at(ms: u64) -> Timestamp {
    RECEIVED + Duration::from_millis(ms)
}

/// `a@1` at once, `b@1` after 100 ms, `c@1` after 200 ms, deadline 1000 ms, a fallback.
fn schedule() -> Schedule {
    samples::endpoint().configuration.schedule(&Arm::main()).clone()
}

/// `a` has scored, `-a` has failed.
fn mailbox(results: &str) -> Mailbox {
    let endpoint = samples::endpoint();
    let mut mailbox = Mailbox::empty(samples::envelope(&endpoint));
    for word in results.split_whitespace() {
        let score = match word.strip_prefix('-') {
            Some(model) => samples::failure(&format!("{model}@1")),
            None => samples::score(&format!("{word}@1"), &format!("{word:?}")),
        };
        mailbox.file(&[score]);
    }
    mailbox
}

/// What the schedule says, in short: `a preferred`, `fallback deadline`, `wait 100`.
fn verdict_by(schedule: &Schedule, deadline: u64, now: u64, results: &str) -> String {
    verdict_presuming("", schedule, deadline, now, results)
}

/// The same where these models are presumed silent.
fn verdict_presuming(
    silent: &str,
    schedule: &Schedule,
    deadline: u64,
    now: u64,
    results: &str,
) -> String {
    let mailbox = mailbox(results);
    let silent = silent.split_whitespace().map(|model| format!("{model}@1").parse().unwrap());
    let silent: Vec<ModelId> = silent.collect();
    match schedule.decide(RECEIVED, at(deadline), at(now), &mailbox, &silent) {
        Verdict::Settle(settlement) => {
            let who = settlement.model.map_or(settlement.kind.as_str(), |model| {
                model.as_str().strip_suffix("@1").unwrap()
            });
            let champion = settlement.choice == Some(0);
            assert_eq!(settlement.kind == Kind::Champion, champion);
            assert_eq!(settlement.kind == Kind::StandIn, settlement.choice.is_some() && !champion);
            format!("{who} {}", settlement.reason.as_str())
        }
        Verdict::WaitUntil(instant) => format!("wait {}", instant.since(RECEIVED).as_millis()),
        Verdict::Stands(_) => "stands".to_owned(),
    }
}

fn verdict(now: u64, results: &str) -> String {
    verdict_by(&schedule(), 1000, now, results)
}

#[test]
fn a_choice_that_is_presumed_silent_opens_those_after_it() {
    for (silent, now, results, expected) in [
        ("a", 5, "b", "b survivor"),
        ("a", 5, "c", "wait 200"),
        ("a b", 5, "c", "c survivor"),
        ("b", 5, "c", "wait 200"),
        ("a", 5, "-b c", "c survivor"),
        ("a", 150, "b", "b opened"),
        // It has a score, or a failure, after all.
        ("a", 5, "a b", "a preferred"),
        ("a", 5, "-a b", "b survivor"),
        // It is not known to have failed: its score may still come.
        ("a", 5, "-b -c", "wait 1000"),
        ("a b c", 5, "", "wait 1000"),
        ("a b c", 1000, "", "fallback deadline"),
    ] {
        let verdict = verdict_presuming(silent, &schedule(), 1000, now, results);
        assert_eq!(verdict, expected, "{silent:?} silent, {results:?} at {now}");
    }
}

#[test]
fn after_how_many_requests_a_choice_is_presumed_silent_is_bounded_and_20_by_default() {
    let parse = |more: &str| {
        let text = format!(r#"{{"choices":[{{"model":"a@1"}}],"deadline_ms":100{more}}}"#);
        serde_json::from_str::<Schedule>(&text)
    };
    assert_eq!(parse("").unwrap().silent_after(), Some(20));
    assert_eq!(parse(r#","silent_after":0"#).unwrap().silent_after(), None);
    let most = parse(r#","silent_after":1000"#).unwrap();
    assert_eq!(most.silent_after(), Some(1_000));
    assert!(serde_json::to_string(&most).unwrap().ends_with(r#""silent_after":1000}"#));
    let error = parse(r#","silent_after":1001"#).unwrap_err().to_string();
    assert!(error.contains("/silent_after: is 1001; it must be 0 to 1000"), "{error}");
}

#[test]
fn the_champion_wins_whenever_it_has_a_score() {
    assert_eq!(verdict(0, "a"), "a preferred");
    assert_eq!(verdict(999, "c b a"), "a preferred");
    assert_eq!(verdict(1000, "b a"), "a preferred");
    assert_eq!(verdict(150, "-b a"), "a preferred");
}

#[test]
fn a_stand_in_answers_when_its_time_has_come_and_not_before() {
    assert_eq!(verdict(99, "b"), "wait 100");
    assert_eq!(verdict(100, "b"), "b opened");
    assert_eq!(verdict(150, "c"), "wait 200");
    assert_eq!(verdict(200, "c"), "c opened");
    assert_eq!(verdict(200, "c b"), "b opened");
    assert_eq!(verdict(50, "c b"), "wait 100");
}

#[test]
fn a_failure_costs_no_waiting() {
    assert_eq!(verdict(0, "-a b"), "b survivor");
    assert_eq!(verdict(0, "-a -b c"), "c survivor");
    assert_eq!(verdict(0, "-a c"), "wait 200");
    assert_eq!(verdict(0, "-b c"), "wait 200");
    assert_eq!(verdict(100, "-a b"), "b opened", "its time had come anyway");
}

#[test]
fn all_failed_is_the_fallback_at_once() {
    assert_eq!(verdict(0, "-a -b -c"), "fallback exhausted");
    assert_eq!(verdict(2000, "-c -b -a"), "fallback exhausted");
    assert_eq!(verdict(0, "-a -b"), "wait 1000");
}

#[test]
fn at_the_deadline_the_best_score_there_is_wins_or_the_fallback() {
    assert_eq!(verdict(999, ""), "wait 1000");
    assert_eq!(verdict(1000, ""), "fallback deadline");
    assert_eq!(verdict(5000, "-a"), "fallback deadline");
    // The caller's deadline comes before their time has.
    assert_eq!(verdict_by(&schedule(), 50, 49, "c b"), "wait 50");
    assert_eq!(verdict_by(&schedule(), 50, 50, "c b"), "b deadline");
    assert_eq!(verdict_by(&schedule(), 50, 50, "-a c"), "c deadline");
    assert_eq!(verdict_by(&schedule(), 50, 50, "-b -a c"), "c survivor");
}

#[test]
fn an_asynchronous_request_may_have_a_later_deadline_than_the_schedule() {
    assert_eq!(verdict_by(&schedule(), 9_000, 1_000, ""), "wait 9000");
    assert_eq!(verdict_by(&schedule(), 9_000, 1_000, "b"), "b opened");
    assert_eq!(verdict_by(&schedule(), 9_000, 9_000, ""), "fallback deadline");
}

#[test]
fn observers_and_strangers_never_answer() {
    assert_eq!(verdict(500, "d x"), "wait 1000");
    assert_eq!(verdict(1000, "d x"), "fallback deadline");
}

#[test]
fn without_a_fallback_there_is_no_answer() {
    let choices = schedule().choices().to_vec();
    let schedule = Schedule::new(choices, Duration::from_secs(1), None).unwrap();
    assert_eq!(verdict_by(&schedule, 1000, 1000, ""), "none deadline");
    assert_eq!(verdict_by(&schedule, 1000, 0, "-a -b -c"), "none exhausted");
}

#[test]
fn a_decision_stands_whatever_comes_after() {
    let endpoint = samples::endpoint();
    let mut mailbox = mailbox("b");
    let envelope = mailbox.envelope.clone();
    let decision = settle::unavailable(&endpoint, &envelope, at(1));
    mailbox.decision = Some(Arc::new(decision.clone()));
    mailbox.file(&[samples::score("a@1", "1")]);
    let schedule = endpoint.configuration.schedule(&Arm::main());
    let verdict = schedule.decide(RECEIVED, at(1000), at(9_999), &mailbox, &[]);
    assert_eq!(verdict, Verdict::Stands(&decision));
    assert_eq!(mailbox.scores.len(), 1);
}

#[test]
fn a_clock_before_the_receipt_counts_as_no_time_at_all() {
    let mailbox = mailbox("b");
    let schedule = schedule();
    let verdict = schedule.decide(RECEIVED, at(1000), Timestamp::from_micros(0), &mailbox, &[]);
    assert_eq!(verdict, Verdict::WaitUntil(at(100)));
}

#[test]
fn a_schedule_that_cannot_work_is_refused_with_its_reason() {
    let refused = |json: &str| serde_json::from_str::<Schedule>(json).expect_err(json).to_string();
    let with = |choices: &str, deadline: &str| {
        refused(&format!(r#"{{"choices":[{choices}],"deadline_ms":{deadline}}}"#))
    };
    let a = r#"{"model":"a@1"}"#;
    assert!(with("", "100").contains("1 to 8"));
    assert!(with(&[a; MAX_CHOICES + 1].join(","), "100").contains("1 to 8"));
    assert!(with(&[a; 2].join(","), "100").contains("a@1 is listed twice"));
    assert!(with(a, "0").contains("1 to 29000"));
    assert!(with(a, "29001").contains("1 to 29000"));
    for deadline in ["1", "29000"] {
        let longest_and_shortest = format!(r#"{{"choices":[{a}],"deadline_ms":{deadline}}}"#);
        assert!(serde_json::from_str::<Schedule>(&longest_and_shortest).is_ok());
    }
    assert!(with(a, "-5").contains("invalid value"));
    assert!(with(r#"{"model":"a@1","after_ms":100}"#, "100").contains("could never answer"));
    assert!(with(r#"{"model":"a"}"#, "100").contains("name@version"));
    let large =
        format!(r#"{{"choices":[{a}],"deadline_ms":9,"fallback":"{}"}}"#, "x".repeat(16_384));
    assert!(refused(&large).contains("16384 bytes"));
}

fn model(index: usize) -> ModelId {
    format!("m{index}@1").parse().unwrap()
}

prop_compose! {
    fn schedules()(
        deadline in 2_u64..2_000,
        afters in prop::collection::vec(0.0..1.0_f64, 1..=MAX_CHOICES),
        fallback in any::<bool>(),
    ) -> Schedule {
        let choice = |(i, after): (usize, f64)| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let after = Duration::from_millis((after * deadline as f64) as u64);
            Choice { model: model(i), after }
        };
        let choices = afters.into_iter().enumerate().map(choice).collect();
        let fallback = fallback.then(|| Json::parse("0.5").unwrap());
        Schedule::new(choices, Duration::from_millis(deadline), fallback).unwrap()
    }
}

/// Results of some models, on the schedule or not, in any order.
fn results() -> impl Strategy<Value = Vec<Score>> {
    let result = (0..MAX_CHOICES + 2, any::<bool>()).prop_map(|(i, scored)| Score {
        model: model(i),
        started: RECEIVED,
        finished: RECEIVED,
        result: if scored {
            Ok(Json::parse(&i.to_string()).unwrap())
        } else {
            Err(Failure::new(FailureKind::Failed, "on purpose"))
        },
    });
    prop::collection::vec(result, 0..12)
}

fn filed(scores: &[Score]) -> Mailbox {
    let mut mailbox = Mailbox::empty(samples::envelope(&samples::endpoint()));
    mailbox.file(scores);
    mailbox
}

/// How good a verdict is, less is better: the choice's place, then the fallback, then waiting.
fn rank(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Settle(settlement) => settlement.choice.unwrap_or(MAX_CHOICES),
        Verdict::WaitUntil(_) => MAX_CHOICES + 1,
        Verdict::Stands(_) => unreachable!("no mailbox here is decided"),
    }
}

proptest! {
    #[test]
    fn it_always_settles_at_the_deadline(
        schedule in schedules(), results in results(), own in 1_u64..3_000, beyond in 0_u64..3_000,
    ) {
        let now = at(own) + Duration::from_millis(beyond);
        let mailbox = filed(&results);
        prop_assert!(matches!(
            schedule.decide(RECEIVED, at(own), now, &mailbox, &[]),
            Verdict::Settle(_)
        ));
    }

    #[test]
    fn a_more_preferred_score_never_makes_the_verdict_worse(
        schedule in schedules(), results in results(), now in 0_u64..3_000, index in 0..MAX_CHOICES,
    ) {
        let before = filed(&results);
        let extra = Score {
            model: model(index),
            started: RECEIVED,
            finished: RECEIVED,
            result: Ok(Json::parse("1").unwrap()),
        };
        let mut after = before.clone();
        after.file(&[extra]);
        let before = schedule.decide(RECEIVED, at(9_000), at(now), &before, &[]);
        let after = schedule.decide(RECEIVED, at(9_000), at(now), &after, &[]);
        let waits = |verdict: &Verdict| matches!(verdict, Verdict::WaitUntil(_));
        // To wait is no worse than the fallback would be: there is nothing to settle on yet.
        prop_assert!(rank(&after) <= rank(&before) || (waits(&before) && waits(&after)));
    }

    #[test]
    fn wait_until_is_the_first_instant_at_which_the_verdict_changes(
        schedule in schedules(), results in results(), own in 1_u64..3_000, now in 0_u64..3_000,
        between in 0.0..1.0_f64,
    ) {
        let mailbox = filed(&results);
        let decide = |now| schedule.decide(RECEIVED, at(own), now, &mailbox, &[]);
        let verdict = decide(at(now));
        if let Verdict::WaitUntil(change) = verdict {
            prop_assert!(change > at(now));
            prop_assert_ne!(&decide(change), &verdict);
            let last = change - Duration::from_micros(1);
            let middle = at(now) + last.since(at(now)).mul_f64(between);
            prop_assert_eq!(&decide(middle), &verdict);
            prop_assert_eq!(&decide(last), &verdict);
        }
    }

    #[test]
    fn order_and_repetition_of_scores_do_not_matter(
        schedule in schedules(), results in results(), now in 0_u64..3_000, seed in any::<u64>(),
    ) {
        // The first result of a model counts; which models they are is all that may differ.
        let once = filed(&results).scores;
        let mut shuffled: Vec<Score> = once.iter().chain(&once).cloned().collect();
        let mut state = seed;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        let (one, other) = (filed(&once), filed(&shuffled));
        prop_assert_eq!(one.scores.len(), other.scores.len());
        prop_assert_eq!(
            schedule.decide(RECEIVED, at(9_000), at(now), &one, &[]),
            schedule.decide(RECEIVED, at(9_000), at(now), &other, &[])
        );
    }

    #[test]
    fn a_decision_can_be_recomputed_from_what_it_says_it_has_seen(
        schedule in schedules(), results in results(), now in 0_u64..3_000,
    ) {
        let mailbox = filed(&results);
        let mut endpoint = samples::endpoint();
        endpoint.configuration =
            rendezvous_core::Configuration::new(Draft::new(schedule)).unwrap();
        let schedule = endpoint.configuration.schedule(&Arm::main());
        let envelope = &mailbox.envelope;
        if let Verdict::Settle(settled) = schedule.decide(RECEIVED, at(9_000), at(now), &mailbox, &[]) {
            let decision = settle::decision(&settled, &endpoint, envelope, &mailbox.scores, at(now));
            let seen: Vec<Score> = results
                .iter()
                .filter(|score| decision.seen.contains(&score.model))
                .cloned()
                .collect();
            let again = filed(&seen);
            let verdict = schedule.decide(RECEIVED, at(9_000), decision.decided, &again, &[]);
            prop_assert_eq!(verdict, Verdict::Settle(settled.clone()));
            prop_assert_eq!(decision.reason == Reason::Preferred, decision.kind == Kind::Champion);
        }
    }
}
