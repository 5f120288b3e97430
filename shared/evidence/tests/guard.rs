//! Guards: what follows from which windows, how often a verdict is wrong, and after how many requests
//! there is one.
//!
//! At full size (10,000 ramps; a minute), and the table of the module's documentation:
//!
//!     cargo test --release --workspace --test evidence guard -- --ignored --nocapture

use std::time::Duration;

use fastrand::Rng;
use rendezvous_core::{
    Share, Timestamp,
    arms::{ArmPlan, Guard},
    decision::{Kind, Reason},
};
use rendezvous_evidence::{
    Confidence, MeanSequence,
    guard::{Action, ERROR, Since, Verdict, judge},
    window::{Decisions, Pair},
};

const MINUTE: Duration = Duration::from_mins(1);

fn plan(step: usize) -> ArmPlan {
    let json = serde_json::json!({
        "name": "gbt", "steps": [0.05, 0.25, 1.0], "step": step,
        "schedule": { "choices": [{ "model": "gbt@2" }], "deadline_ms": 800 },
        "guard": { "hold_minutes": 10, "fallback_rate": 0.01, "p99_ms": 150, "disagreement": 0.2, "loss": 0.02 },
    });
    serde_json::from_value(json).unwrap()
}

/// How an arm is: rates of requests without a model's answer, of slow answers, of disagreement, and the mean excess of
/// its squared error.
#[derive(Clone, Copy)]
struct Nature {
    fallback: f64,
    slow: f64,
    disagreement: f64,
    loss: f64,
}

/// All that is allowed is used.
const AT_ITS_LIMITS: Nature = Nature { fallback: 0.01, slow: 0.01, disagreement: 0.2, loss: 0.02 };
/// As its `main`, which is well within them.
const EQUAL: Nature = Nature { fallback: 0.002, slow: 0.002, disagreement: 0.08, loss: 0.0 };

struct Run {
    decisions: Decisions,
    pair: Pair,
}

impl Run {
    fn new() -> Self {
        Self { decisions: Decisions::default(), pair: Pair::new(0.5) }
    }

    fn requests(&mut self, nature: Nature, random: &mut Rng, requests: u32) {
        for _ in 0..requests {
            let kind = if random.f64() < nature.fallback { Kind::Fallback } else { Kind::Champion };
            let after = if random.f64() < nature.slow { 200 } else { 20 };
            let after = Duration::from_millis(after);
            self.decisions.push(kind, Reason::Preferred, after, false, true);
            let second = if random.f64() < nature.disagreement { 0.7 } else { 0.3 };
            self.pair.push(Some(0.2), Some(second));
            // The squared error is 0.25 for main and 0.25 + excess for the arm.
            let excess = nature.loss + 0.4 * (random.f64() - 0.5);
            self.pair.outcome(Some(0.5), Some((0.25 + excess).sqrt()), 0.0);
        }
    }

    fn judge(&self, guard: &Guard, plan: &ArmPlan, minutes: u32) -> Verdict {
        let main = Decisions::default();
        let began = Timestamp::from_micros(0);
        let since = Since { began, arm: &self.decisions, main: &main, pair: Some(&self.pair) };
        judge(guard, plan, began + MINUTE * minutes, &since)
    }
}

/// What becomes of an arm in its first step, looked at after every 100 requests, and after how many.
fn ramp(nature: Nature, random: &mut Rng, looks: u32) -> (Action, u32) {
    let (plan, mut run) = (plan(0), Run::new());
    let guard = plan.guard.unwrap();
    for look in 1..=looks {
        run.requests(nature, random, 100);
        let action = run.judge(&guard, &plan, 10 + look).action;
        if action != Action::Wait {
            return (action, look * 100);
        }
    }
    (Action::Wait, looks * 100)
}

fn count(actions: &[(Action, u32)], wanted: Action) -> usize {
    actions.iter().filter(|(action, _)| *action == wanted).count()
}

fn ramps(nature: Nature, ramps: u32, looks: u32) -> Vec<(Action, u32)> {
    let mut random = Rng::with_seed(2_026);
    (0..ramps).map(|_| ramp(nature, &mut random, looks)).collect()
}

#[test]
fn hardly_a_good_arm_is_removed_and_hardly_a_bad_one_steps() {
    let at_limits = ramps(AT_ITS_LIMITS, 400, 40);
    assert!(count(&at_limits, Action::Wait) >= 396);
    let equal = ramps(EQUAL, 200, 100);
    assert_eq!(count(&equal, Action::Remove), 0);
    assert!(count(&equal, Action::Step) >= 198, "within 10,000 requests");
}

#[test]
fn a_bad_arm_is_removed_within_the_stated_number_of_requests() {
    for (bad, within) in [
        (Nature { fallback: 0.05, ..EQUAL }, 2_000),
        (Nature { slow: 0.05, ..EQUAL }, 2_000),
        (Nature { disagreement: 0.4, ..EQUAL }, 2_000),
        (Nature { loss: 0.06, ..EQUAL }, 2_500),
    ] {
        let ramps = ramps(bad, 50, within / 100);
        assert!(count(&ramps, Action::Remove) >= 48);
        assert_eq!(count(&ramps, Action::Step), 0);
    }
}

#[test]
#[ignore = "a minute"]
fn ten_thousand_ramps() {
    for (name, nature) in [("equal", EQUAL), ("at its limits", AT_ITS_LIMITS)] {
        let ramps = ramps(nature, 10_000, 100);
        let (removed, stepped) = (count(&ramps, Action::Remove), count(&ramps, Action::Step));
        println!("{name}: of 10,000 arms {removed} removed, {stepped} stepped");
        assert!(removed <= 100);
    }
}

#[test]
fn without_data_or_before_its_time_no_arm_steps() {
    let plan = plan(0);
    let guard = plan.guard.unwrap();
    let mut run = Run::new();
    let verdict = run.judge(&guard, &plan, 1_000);
    assert_eq!(verdict.action, Action::Wait);
    let hold = Guard { hold_minutes: 10, ..Guard::default() };
    assert_eq!(run.judge(&hold, &plan, 1_000).action, Action::Wait, "no decision");
    run.requests(EQUAL, &mut Rng::with_seed(1), 20_000);
    assert_eq!(run.judge(&guard, &plan, 9).action, Action::Wait);
    assert_eq!(run.judge(&hold, &plan, 10).action, Action::Step);
    assert_eq!(run.judge(&guard, &plan, 10).action, Action::Step);
    assert_eq!(run.judge(&guard, &self::plan(2), 10).action, Action::Finish);
    let verdict = judge(
        &guard,
        &plan,
        Timestamp::from_micros(0) + MINUTE * 60,
        &Since {
            began: Timestamp::from_micros(0),
            arm: &run.decisions,
            main: &run.decisions,
            pair: None,
        },
    );
    assert_eq!(verdict.action, Action::Wait, "the pair is not known");
    assert!(verdict.because.contains("in disagreement with main: too little is known"));
}

#[test]
fn the_sentence_has_the_figures() {
    let plan = plan(0);
    let guard = Guard { hold_minutes: 10, fallback_rate: Share::new(0.01), ..Guard::default() };
    let (mut arm, mut main) = (Decisions::default(), Decisions::default());
    for i in 0..2_000 {
        let kind = if i % 20 == 0 { Kind::None } else { Kind::Champion };
        arm.push(kind, Reason::Deadline, MINUTE / 600, false, true);
        main.push(Kind::Champion, Reason::Preferred, MINUTE / 600, false, true);
    }
    let began = Timestamp::from_micros(7);
    let since = Since { began, arm: &arm, main: &main, pair: None };
    let verdict = judge(&guard, &plan, began + MINUTE * 3, &since);
    assert_eq!(verdict.action, Action::Remove);
    assert_eq!(
        verdict.because,
        "Arm gbt is removed, a condition is violated: 2000 requests in 3 min of at least 10 at 5 %; \
         not answered by a model: 5.00 % (2.53 % to 7.47 %) of 2000, at most 1.00 % allowed, \
         main has 0.00 %, violated."
    );
}

/// After how many observations with a mean and a deviation the interval is on one side of a limit.
fn decided(limit: f64, differences: bool, mean: f64, deviation: f64) -> Option<u64> {
    let confidence = Confidence::new(1.0 - ERROR / 9.0).unwrap();
    let mut n = 50_u64;
    while n < 10_000_000 {
        let mut sequence = if differences {
            MeanSequence::of_differences(1.0)
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of events"
            )]
            let events = (mean * n as f64).round() as u64;
            MeanSequence::of_events(events, n)
        };
        if differences {
            for i in 0..n {
                sequence.push(if i % 2 == 0 { mean + deviation } else { mean - deviation });
            }
        }
        let interval = sequence.interval(confidence).unwrap();
        if interval.low > limit || interval.high <= limit {
            return Some(n);
        }
        n += n / 50 + 1;
    }
    None
}

#[test]
#[ignore = "prints the table of the documentation"]
fn table() {
    for (limit, means) in
        [(0.01, [0.0, 0.002, 0.005, 0.02, 0.05]), (0.2, [0.05, 0.1, 0.15, 0.3, 0.4])]
    {
        for mean in means {
            println!("{limit} {mean}: {:?}", decided(limit, false, mean, 0.0));
        }
    }
    for (mean, deviation) in [(0.0, 0.1), (0.0, 0.2), (0.04, 0.1), (0.04, 0.2), (0.06, 0.2)] {
        println!("loss 0.02 {mean} ± {deviation}: {:?}", decided(0.02, true, mean, deviation));
    }
}
