//! Guards: whether an arm's share may grow, by windows since its step began.
//!
//! Each condition of a guard is a mean with a confidence sequence ([`MeanSequence`]), so that it may be
//! looked at every minute. A condition **holds** when its whole interval is at or below its limit, and is
//! **violated** when its whole interval is above; otherwise it is open.
//!
//! - One condition is violated: the arm is removed.
//! - All conditions hold, and the step has been in force for `hold_minutes`: the next step, or after the
//!   last one the arm becomes `main`.
//! - Otherwise: wait. Without data every condition is open.
//!
//! **Error.** The probability that any verdict of a whole ramp is wrong, be it that a good arm is removed or
//! that a bad one steps, is at most [`ERROR`]. Each interval has the same part of it: [`ERROR`] divided by the
//! number of conditions and of steps. Here an arm is good when the average of what is expected of its
//! requests so far, given what came before, is within all limits; requests need not be independent.
//!
//! **How long it takes**, for three conditions and three steps, in requests of the arm (for `loss` in
//! outcomes); `tests/guard.rs` computes it for the expected
//! number of events; a stream takes up to twice as many. At ten requests a second, 5 % of them are 1,800 in an hour.
//!
//! | condition | an arm that has | is decided after |
//! | --- | --- | ---: |
//! | `fallback_rate` 0.01, or `p99_ms` | 0 | 1,010 |
//! | | 0.2 % | 2,040 |
//! | | 0.5 % | 6,230 |
//! | | 2 % | 5,530 |
//! | | 5 % | 900 |
//! | `disagreement` 0.2 | 5 % | 130 |
//! | | 10 % | 320 |
//! | | 15 % | 1,450 |
//! | | 30 % | 710 |
//! | | 40 % | 280 |
//! | `loss` 0.02 | an excess of 0, with a deviation of 0.2 | 2,810 |
//! | | an excess of 0.04, with a deviation of 0.2 | 2,920 |
//! | | an excess of 0.06, with a deviation of 0.2 | 820 |
//!
//! A rate that is close to its limit is undecided for long; choose limits of twice what is usual.
//!
//! **Conditions.** `fallback_rate`: the share of the arm's requests that no model answered. `p99_ms`: the share
//! answered later than the limit, which must be at most 1 %; times are counted with a precision of 1 %, and
//! those that may be above the limit count as above. `disagreement` and `loss`: on the requests on which the
//! arm's and `main`'s champion are paired, see [`Pair`].

use std::{fmt, time::Duration};

use rendezvous_core::{
    Timestamp,
    arms::{ArmPlan, Guard},
};

use crate::{
    interval::{Anytime, Confidence, Interval},
    mean::MeanSequence,
    window::{Decisions, Pair},
};

/// The probability that any verdict of a ramp is wrong.
pub const ERROR: f64 = 0.01;
/// The share of answers that may be later than `p99_ms`.
const ABOVE_P99: f64 = 0.01;

/// What happened since a step began: windows of the configuration versions under which it has been in force.
#[derive(Clone, Copy, Debug)]
pub struct Since<'a> {
    /// When the first of them was published.
    pub began: Timestamp,
    /// The decisions of the arm.
    pub arm: &'a Decisions,
    /// The decisions of `main`, to compare with.
    pub main: &'a Decisions,
    /// `main`'s champion first, the arm's second, on the same requests.
    pub pair: Option<&'a Pair>,
}

/// What to do with an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The next step.
    Step,
    /// It becomes `main`.
    Finish,
    Remove,
    Wait,
}

/// What to do with an arm, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub action: Action,
    /// A sentence with the figures, for the message of the new version.
    pub because: String,
}

/// Judges an arm.
pub fn judge(guard: &Guard, plan: &ArmPlan, now: Timestamp, since: &Since<'_>) -> Verdict {
    let conditions = conditions(guard, since);
    let intervals = conditions.len().max(1) * plan.steps.len().max(1);
    let confidence = Confidence::new(1.0 - ERROR / intervals as f64).unwrap_or(Confidence::DEFAULT);
    let judged: Vec<Judged> =
        conditions.iter().map(|condition| condition.judge(confidence)).collect();
    let held = now.since(since.began);
    let required = Duration::from_secs(u64::from(guard.hold_minutes) * 60);
    let standing = |standing| judged.iter().any(|judged| judged.standing == standing);
    let (action, why) = if standing(Standing::Violated) {
        (Action::Remove, "is removed, a condition is violated")
    } else if since.arm.count() == 0 {
        (Action::Wait, "waits, there is no decision of it")
    } else if standing(Standing::Open) {
        (Action::Wait, "waits, a condition is not decided")
    } else if held < required {
        (Action::Wait, "waits, every condition holds but the step is too young")
    } else if plan.step + 1 < plan.steps.len() {
        (Action::Step, "steps on, every condition holds")
    } else {
        (Action::Finish, "becomes main, every condition holds")
    };
    let figures: Vec<String> = judged.iter().map(Judged::to_string).collect();
    let because = format!(
        "Arm {} {why}: {} requests in {} min of at least {} at {}; {}.",
        plan.name,
        since.arm.count(),
        held.as_secs() / 60,
        guard.hold_minutes,
        plan.share(),
        figures.join("; "),
    );
    Verdict { action, because }
}

/// One bound of a guard, and what is known about it.
struct Condition {
    what: &'static str,
    unit: Unit,
    limit: f64,
    /// `None` where too few requests are paired.
    of_arm: Option<MeanSequence>,
    of_main: Option<f64>,
}

fn conditions(guard: &Guard, since: &Since<'_>) -> Vec<Condition> {
    let Since { arm, main, pair, .. } = since;
    let rate = |of: &Decisions, events: u64| MeanSequence::of_events(events, of.count());
    let share =
        |of: &Decisions, events: u64| (of.count() > 0).then(|| events as f64 / of.count() as f64);
    let fallback = guard.fallback_rate.map(|limit| Condition {
        what: "not answered by a model",
        unit: Unit::Percent,
        limit: limit.as_fraction(),
        of_arm: Some(rate(arm, arm.unanswered())),
        of_main: share(main, main.unanswered()),
    });
    let slow = guard.p99_ms.map(|limit| {
        let above = |of: &Decisions| of.time().above(Duration::from_millis(limit.into()));
        Condition {
            what: "answered later than p99_ms",
            unit: Unit::Percent,
            limit: ABOVE_P99,
            of_arm: Some(rate(arm, above(arm))),
            of_main: share(main, above(main)),
        }
    });
    let disagreement = guard.disagreement.map(|limit| Condition {
        what: "in disagreement with main",
        unit: Unit::Percent,
        limit: limit.as_fraction(),
        of_arm: pair.and_then(Pair::disagreement),
        of_main: None,
    });
    let loss = guard.loss.map(|limit| Condition {
        what: "squared error above main's",
        unit: Unit::Number,
        limit: limit.as_fraction(),
        of_arm: pair.and_then(Pair::loss),
        of_main: None,
    });
    [fallback, slow, disagreement, loss].into_iter().flatten().collect()
}

#[derive(Clone, Copy)]
enum Unit {
    Percent,
    Number,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Holds,
    Violated,
    Open,
}

struct Judged<'a> {
    condition: &'a Condition,
    standing: Standing,
    interval: Option<Interval<Anytime>>,
}

impl Condition {
    fn judge(&self, confidence: Confidence) -> Judged<'_> {
        let interval = self.of_arm.and_then(|of_arm| of_arm.interval(confidence));
        let standing = match interval {
            Some(interval) if interval.low > self.limit => Standing::Violated,
            Some(interval) if interval.high <= self.limit => Standing::Holds,
            _ => Standing::Open,
        };
        Judged { condition: self, standing, interval }
    }
}

/// A condition with its figures.
impl fmt::Display for Judged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { what, unit, limit, of_arm, of_main } = self.condition;
        let figure = |x: f64| match unit {
            Unit::Percent => format!("{:.2} %", x * 100.0),
            Unit::Number => format!("{x:.4}"),
        };
        write!(f, "{what}: ")?;
        match self.interval {
            Some(interval) => {
                let [estimate, low, high] =
                    [interval.estimate, interval.low, interval.high].map(figure);
                write!(f, "{estimate} ({low} to {high})")?;
            }
            None => f.write_str("too little is known")?,
        }
        let count = of_arm.map_or(0, |of_arm| of_arm.count());
        write!(f, " of {count}, at most {} allowed", figure(*limit))?;
        if let Some(of_main) = of_main {
            write!(f, ", main has {}", figure(*of_main))?;
        }
        f.write_str(match self.standing {
            Standing::Holds => ", holds",
            Standing::Violated => ", violated",
            Standing::Open => ", not decided",
        })
    }
}
