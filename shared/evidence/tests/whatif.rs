//! What is recomputed, what changes, and what is said of what was not observed.

use std::time::Duration;

use rendezvous_archive::{Asked, Decided, Joined, Reported, Scored};
use rendezvous_core::{
    Arm, Configuration, FailureKind, Kind, Reason, RequestId, Schedule, Timestamp,
};
use rendezvous_evidence::{
    gaps::Gaps,
    whatif::{Conditions, Configurations, FilingTime, Report, WhatIf, Why, explain},
};

/// In force: `a@1`, after 100 ms `b@1`, at 400 ms the fallback; `o@1` observes.
const IN_FORCE: &str = r#"{
    "schedule": { "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 100 } ],
                  "deadline_ms": 400, "fallback": { "p": 0.5 } },
    "observers": [ { "model": "o@1", "role": "challenger" } ],
    "value": "/p" }"#;

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn at(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

fn configurations() -> Configurations {
    Configurations::from([(1, Configuration::parse(IN_FORCE).unwrap())])
}

/// A score, or a failure, that arrived after so many milliseconds.
fn score(model: &str, millis: u64, result: Result<f64, FailureKind>) -> Scored {
    Scored {
        model: model.parse().unwrap(),
        arrived: at(millis),
        started: at(0),
        finished: at(millis),
        value: result.ok(),
        failure: result.err(),
        replayed: false,
    }
}

/// A request of these scores whose decision is this one, after so many milliseconds.
fn request(scores: &[Scored], model: Option<&str>, reason: Reason, decided: u64) -> Joined {
    let seen = scores.iter().filter(|score| score.arrived <= at(decided));
    let kind = match model {
        Some("a@1") => Kind::Champion,
        Some(_) => Kind::StandIn,
        None => Kind::Fallback,
    };
    let answered = scores.iter().find(|score| Some(score.model.as_str()) == model);
    Joined {
        id: RequestId::from_bytes([1; 16]),
        request: Some(Asked {
            config: 1,
            arm: Arm::main(),
            key: None,
            received: START,
            deadline: at(400),
            arrived: at(1),
            skip: Vec::new(),
            segment: None,
        }),
        decision: Some(Decided {
            config: 1,
            arm: Arm::main(),
            received: START,
            deadline: at(400),
            decided: at(decided),
            kind,
            reason,
            model: model.map(|model| model.parse().unwrap()),
            seen: seen.map(|score| score.model.clone()).collect(),
            presumed: Vec::new(),
            value: answered.map_or(Some(0.5), |score| score.value),
        }),
        outcome: Some(Reported { arrived: at(9_000), first: Some(0.0), last: Some(1.0) }),
        scores: scores.to_vec(),
        retried: false,
    }
}

/// The champion after 50 ms.
fn usual() -> Joined {
    let scores =
        [score("a@1", 50, Ok(0.75)), score("b@1", 60, Ok(0.25)), score("o@1", 70, Ok(1.0))];
    request(&scores, Some("a@1"), Reason::Preferred, 50)
}

fn whatif(schedule: &str, requests: &[Joined]) -> Report {
    let schedule: Schedule = serde_json::from_str(schedule).unwrap();
    let margin = Duration::from_millis(10);
    let conditions = Conditions { filing: Duration::from_millis(5), margin };
    let configurations = configurations();
    let endpoint = "e".parse().unwrap();
    let mut whatif = WhatIf::new(&endpoint, schedule, Vec::new(), conditions, &configurations);
    for request in requests {
        whatif.push(request);
    }
    whatif.report()
}

const O_FIRST: &str = r#"{"choices":[{"model":"o@1"},{"model":"a@1","after_ms":90}],
                          "deadline_ms":400,"fallback":{"p":0.5}}"#;

/// The schedule that is in force, with another deadline.
fn deadline(millis: u64) -> String {
    format!(
        r#"{{"choices":[{{"model":"a@1"}},{{"model":"b@1","after_ms":100}}],
             "deadline_ms":{millis},"fallback":{{"p":0.5}}}}"#
    )
}

#[test]
fn both_sides_are_told_who_answers_when_and_how_well() {
    let report = whatif(O_FIRST, &[usual()]);
    assert_eq!((report.requests, report.changed), (1, 1));
    // The score of o@1 counts at 75 ms, before a@1 opens.
    let report_of = |side: &rendezvous_evidence::whatif::Side| {
        (side.models.clone(), side.elapsed_ms.p50, side.brier, side.fallback_rate)
    };
    let (models, elapsed, brier, fallbacks) = report_of(&report.real);
    assert_eq!(models.keys().collect::<Vec<_>>(), ["a@1"]);
    assert!((elapsed - 50.0).abs() < 0.05, "{elapsed}");
    assert_eq!((brier, fallbacks), (Some(0.0625), Some(0.0)), "the last outcome is the truth");
    let (models, elapsed, brier, _) = report_of(&report.whatif);
    assert_eq!(models.keys().collect::<Vec<_>>(), ["o@1"]);
    assert!((elapsed - 75.0).abs() < 0.08, "{elapsed}");
    assert_eq!(brier, Some(0.0));
}

#[test]
fn the_schedule_that_was_in_force_changes_nothing() {
    let failed = [score("a@1", 20, Err(FailureKind::Failed)), score("b@1", 30, Ok(0.2))];
    let requests = [
        usual(),
        request(&failed, Some("b@1"), Reason::Survivor, 30),
        request(&[score("b@1", 30, Ok(0.2))], Some("b@1"), Reason::Opened, 100),
        request(&[score("a@1", 500, Ok(0.2))], None, Reason::Deadline, 400),
    ];
    let report = whatif(&deadline(400), &requests);
    assert_eq!((report.changed, report.recomputed.same, report.recomputed.different), (0, 4, 0));
    assert_eq!(report.real.kinds, report.whatif.kinds);
}

#[test]
fn what_cannot_be_recomputed_is_named_with_its_reason() {
    let mut unavailable = usual();
    let mut unknown = usual();
    let mut lost = usual();
    let mut retried = usual();
    let mut wrong = usual();
    for request in [&mut unavailable, &mut unknown, &mut lost, &mut retried, &mut wrong] {
        request.decision.as_mut().unwrap().model = Some("b@1".parse().unwrap());
    }
    unavailable.decision.as_mut().unwrap().reason = Reason::Unavailable;
    unknown.decision.as_mut().unwrap().config = 2;
    lost.scores.remove(0);
    retried.retried = true;
    let recomputed = whatif(O_FIRST, &[unavailable, unknown, lost, retried, wrong]).recomputed;
    let why: Vec<Why> = recomputed.not_same.iter().map(|decision| decision.why).collect();
    let expected =
        [Why::Unavailable, Why::NoConfiguration, Why::ScoreMissing, Why::Retried, Why::Differs];
    assert_eq!(why, expected);
    assert_eq!((recomputed.same, recomputed.different), (0, 5));
}

#[test]
fn what_was_presumed_is_presumed_again() {
    // a@1 has sent nothing and is presumed silent: b@1 answers at once.
    let mut request = request(&[score("b@1", 20, Ok(0.2))], Some("b@1"), Reason::Survivor, 20);
    request.decision.as_mut().unwrap().presumed = vec!["a@1".parse().unwrap()];
    let report = whatif(&deadline(400), &[request]);
    assert_eq!((report.recomputed.same, report.changed), (1, 0));
    assert!(report.whatif.elapsed_ms.p50 < 26.0, "{:?}", report.whatif);
    assert_eq!((report.unobserved.presumed, report.unobserved.unscored), (1, 1));
    assert_eq!((report.changed_range.at_least, report.changed_range.at_most), (0, 1));
}

#[test]
fn a_shed_request_is_uncertain_under_a_later_deadline_only() {
    let shed = [score("a@1", 450, Err(FailureKind::Expired))];
    let request = request(&shed, None, Reason::Deadline, 400);
    let longer = whatif(&deadline(800), std::slice::from_ref(&request));
    assert_eq!(longer.unobserved.expired, 1, "{:?}", longer.unobserved);
    assert_eq!(longer.changed_range.at_most, 1);
    let shorter = whatif(&deadline(200), &[request]);
    assert_eq!(shorter.unobserved.expired, 0, "{:?}", shorter.unobserved);
}

#[test]
fn an_observer_without_a_score_is_uncertain_where_it_could_have_answered() {
    let mut request = usual();
    request.scores.retain(|score| score.model.as_str() != "o@1");
    let first = whatif(O_FIRST, std::slice::from_ref(&request));
    assert_eq!((first.unobserved.sampled_out, first.changed_range.at_most), (1, 1));
    let last = O_FIRST.replace("o@1", "x@1").replace("a@1", "o@1").replace("x@1", "a@1");
    let last = whatif(&last, &[request]);
    assert_eq!((last.unobserved.sampled_out, last.changed_range.at_most), (0, 0));
}

#[test]
fn a_client_that_asked_for_less_time_or_for_more_keeps_it() {
    // b@1 scores after 90 ms and opens at 100 ms.
    let with_deadline = |millis| {
        let mut request = request(&[score("b@1", 90, Ok(0.2))], None, Reason::Deadline, millis);
        request.decision.as_mut().unwrap().deadline = at(millis);
        request
    };
    let elapsed = |request, other| whatif(&deadline(other), &[request]).whatif.elapsed_ms.p50;
    let silent = |millis| Joined { scores: Vec::new(), ..with_deadline(millis) };
    for (own, other, expected) in
        [(400, 300, 300.0), (150, 300, 150.0), (350, 300, 300.0), (2_000, 300, 2_000.0)]
    {
        let elapsed = elapsed(silent(own), other);
        assert!((elapsed - expected).abs() < 2.0, "{own} under {other}: {elapsed}");
    }
}

#[test]
fn a_score_counts_until_the_margin_before_the_deadline() {
    // It counts 5 ms after its arrival, until 10 ms before the deadline.
    for (arrived, answers) in [(184, true), (185, false), (190, false)] {
        let scores = [score("a@1", arrived, Ok(0.2))];
        let request = request(&scores, Some("a@1"), Reason::Preferred, arrived + 5);
        let report = whatif(&deadline(200), &[request]);
        assert_eq!(report.whatif.models.contains_key("a@1"), answers, "{arrived}");
        assert_eq!(report.changed, u64::from(!answers));
    }
}

#[test]
fn the_filing_time_is_the_median_over_decisions_that_a_score_brought_about() {
    let mut filing = FilingTime::default();
    assert_eq!(filing.median(), Duration::ZERO);
    for took in [1, 7, 90] {
        let scores = [score("a@1", 50, Ok(0.5))];
        filing.push(&request(&scores, Some("a@1"), Reason::Preferred, 50 + took));
    }
    // At an instant of the schedule, at the deadline, and before its score: clocks differ.
    for _ in 0..9 {
        filing.push(&request(&[score("b@1", 30, Ok(0.2))], Some("b@1"), Reason::Opened, 100));
        filing.push(&request(&[score("b@1", 30, Ok(0.2))], Some("b@1"), Reason::Deadline, 400));
        let mut early = request(&[score("a@1", 50, Ok(0.5))], Some("a@1"), Reason::Preferred, 40);
        early.decision.as_mut().unwrap().seen = vec!["a@1".parse().unwrap()];
        filing.push(&early);
    }
    let median = filing.median();
    assert!(median.abs_diff(Duration::from_millis(7)) < Duration::from_micros(10), "{median:?}");
}

#[test]
fn gaps_are_counted_by_request_and_by_model() {
    let mut without_scores = usual();
    without_scores.scores.clear();
    let mut without_one = usual();
    without_one.scores.remove(1);
    let undecided = Joined { decision: None, ..usual() };
    let alone = Joined { request: None, ..usual() };
    let mut gaps = Gaps::default();
    gaps.push(&usual(), &configurations());
    assert!(gaps.is_complete());
    for request in [without_scores, without_one, undecided, alone] {
        gaps.push(&request, &configurations());
    }
    assert!(!gaps.is_complete());
    assert_eq!((gaps.requests, gaps.pairs), (5, 15));
    assert_eq!((gaps.without_scores, gaps.decisions_without_scores), (1, 1));
    assert_eq!((gaps.undecided, gaps.without_request, gaps.no_configuration), (1, 1, 0));
    let missing: Vec<_> = gaps.missing.iter().map(|(model, n)| (model.as_str(), *n)).collect();
    assert_eq!(missing, [("a@1", 1), ("b@1", 2), ("o@1", 1)]);
}

/// What is said of a request, one line a step.
fn explained(request: &Joined) -> Vec<String> {
    let explanation = explain(&"e".parse().unwrap(), &configurations(), request).unwrap();
    assert!(explanation.same, "{explanation:?}");
    explanation.steps.iter().map(|step| format!("{} {}", step.after_ms, step.text)).collect()
}

#[test]
fn a_decision_is_explained_step_by_step() {
    let scores =
        [score("o@1", 20, Ok(0.25)), score("b@1", 60, Ok(0.5)), score("a@1", 130, Ok(0.75))];
    let begins = "0 the request is received under version 1, arm main: a@1 may answer at once, b@1 from 100 ms \
                  on; the deadline is at 400 ms";
    assert_eq!(
        explained(&request(&scores, Some("b@1"), Reason::Opened, 100)),
        [
            begins,
            "20 the score of o@1 arrives, 0.2500: it observes, and cannot answer",
            "60 the score of b@1 arrives, 0.5000: its time has not come yet",
            "100 b@1 may answer from now on",
            "100 b@1 answers: its time, 100 ms, has come, and a@1 has sent nothing",
            "130 the score of a@1 arrives, 0.7500: the decision did not wait for it; it is archived only",
        ]
    );
    let failed = [score("a@1", 10, Err(FailureKind::TimedOut)), score("b@1", 30, Ok(0.5))];
    assert_eq!(
        explained(&request(&failed, Some("b@1"), Reason::Survivor, 30))[1..],
        [
            "10 a@1 fails (timed_out): the choices after it need not wait for it",
            "30 the score of b@1 arrives, 0.5000: its time has not come yet",
            "30 b@1 answers: before its time, because a@1 has failed (timed_out)",
        ]
    );
    assert_eq!(
        explained(&request(&[], None, Reason::Deadline, 400))[2..],
        [
            "400 the fallback answers: the deadline is reached, and a@1 has sent nothing, b@1 has sent nothing"
        ]
    );
}

#[test]
fn a_decision_that_the_schedule_would_not_make_is_told_so() {
    let scores = [score("a@1", 10, Ok(0.5)), score("b@1", 20, Ok(0.5))];
    let endpoint = "e".parse().unwrap();
    let wrong = request(&scores, Some("b@1"), Reason::Opened, 30);
    let explanation = explain(&endpoint, &configurations(), &wrong).unwrap();
    assert_eq!((explanation.same, explanation.why), (false, Some(Why::Differs)));
    let undecided = Joined { decision: None, ..wrong };
    assert_eq!(explain(&endpoint, &configurations(), &undecided), None);
}
