//! Alarms: fixed rules over merged windows.
//!
//! | alarm | rule |
//! | --- | --- |
//! | `drift` | the distance from the baseline is beyond its bound and the index is above 0.25 ([`Drift`]) |
//! | `calibration` | mean value and mean outcome differ by more than [`MISCALIBRATED`], and not by chance at 99 % |
//! | `disagreement` | two models disagree on more than [`DISAGREEMENT`] of the requests, for sure at 99 % |
//! | `callers_silent`, `callers_surging` | as [`callers`](crate::callers) says |
//! | `model_silent` | no message, while at least [`SILENT_AFTER`] requests waited for it |
//! | `model_failing` | more than [`FAILING`] of its messages are failures, for sure at 99 % |
//! | `ramp_stopped` | a guard has removed an arm, or has not come to a verdict in [`STUCK`] times `hold_minutes`, a day at least |
//!
//! The rules are not fitted to data. `for sure` means the lower end of a confidence sequence, so that looking every
//! minute does no harm.

use std::time::Duration;

use rendezvous_core::{Arm, FailureKind, ModelId, arms::Guard};
use serde::Serialize;

use crate::{
    callers::{Unusual, Unusually},
    drift::Drift,
    guard::{Action, Verdict},
    interval::{Confidence, Interval},
    mean::MeanSequence,
    window::{Outcomes, Pair, Window},
};

/// By how much mean value and mean outcome may differ.
pub const MISCALIBRATED: f64 = 0.05;
/// The share of requests on which two models may disagree.
pub const DISAGREEMENT: f64 = 0.2;
/// How many requests a model may leave without a message.
pub const SILENT_AFTER: u64 = 20;
/// The share of a model's messages that may be failures.
pub const FAILING: f64 = 0.05;
/// How many times `hold_minutes` a guard may take for a step.
pub const STUCK: u32 = 10;

/// What the rules look at, each with the time that it should cover.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// The last 24 hours, or the last hour against the same hour of the day, of a model's values or of
    /// a feature.
    Drift {
        of: &'a str,
        drift: &'a Drift,
    },
    /// The last 7 days whose outcomes are complete.
    Outcomes {
        model: &'a ModelId,
        outcomes: &'a Outcomes,
    },
    /// The last 24 hours.
    Pair {
        first: &'a ModelId,
        second: &'a ModelId,
        pair: &'a Pair,
    },
    Callers(Unusual),
    /// The last 5 minutes: the requests that the model was expected to score, and what it sent.
    Model {
        model: &'a ModelId,
        expected: u64,
        window: Option<&'a Window>,
    },
    Ramp {
        arm: &'a Arm,
        guard: &'a Guard,
        held: Duration,
        verdict: &'a Verdict,
    },
}

/// That something needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    pub name: &'static str,
    /// The model, feature or arm; empty for the endpoint itself.
    pub subject: String,
    /// What it means.
    pub meaning: &'static str,
    /// What to do first.
    pub first: &'static str,
    pub figures: String,
}

/// The alarms that follow from observations of one endpoint.
pub fn alarms<'a>(observations: impl IntoIterator<Item = Observation<'a>>) -> Vec<Alarm> {
    observations.into_iter().filter_map(|observation| alarm(&observation)).collect()
}

fn alarm(observation: &Observation<'_>) -> Option<Alarm> {
    match *observation {
        Observation::Drift { of, drift } => of_drift(of, drift),
        Observation::Outcomes { model, outcomes } => calibration(model, outcomes),
        Observation::Pair { first, second, pair } => disagreement(first, second, pair),
        Observation::Callers(unusual) => Some(callers(unusual)),
        Observation::Model { model, expected, window } => match window {
            Some(window) if window.messages() > 0 => failing(model, window),
            _ => silent(model, expected),
        },
        Observation::Ramp { arm, guard, held, verdict } => ramp(arm, guard, held, verdict),
    }
}

fn of_drift(of: &str, drift: &Drift) -> Option<Alarm> {
    let Drift { distance, bound, index, baseline, recent } = drift;
    drift.is_drift().then(|| Alarm {
        name: "drift",
        subject: of.to_owned(),
        meaning: "The distribution differs from that of the baseline, far more than by chance.",
        first: "Compare the quantiles with those of the baseline. If the features have changed, ask whoever \
                sends the requests; if only a model's values have, see whether its version has.",
        figures: format!(
            "distance {distance:.3}, by chance at most {bound:.3}; index {index:.2}, large from 0.25; \
             {recent} values against {baseline}"
        ),
    })
}

fn calibration(model: &ModelId, outcomes: &Outcomes) -> Option<Alarm> {
    let (predicted, observed) = outcomes.means()?;
    let excess = outcomes.excess().interval(Confidence::DEFAULT)?;
    let wrong = excess.estimate.abs() > MISCALIBRATED && excess.excludes(0.0);
    wrong.then(|| Alarm {
        name: "calibration",
        subject: model.to_string(),
        meaning: "The model's values are too high or too low on average.",
        first: "See whether the outcomes are complete and of the right requests. Then train the model again, or \
                promote one that is calibrated.",
        figures: format!(
            "predicted {predicted:.3}, observed {observed:.3} on {} requests; at most {MISCALIBRATED} apart",
            outcomes.count()
        ),
    })
}

fn disagreement(first: &ModelId, second: &ModelId, pair: &Pair) -> Option<Alarm> {
    let above = above(pair.disagreement()?, DISAGREEMENT)?;
    Some(Alarm {
        name: "disagreement",
        subject: format!("{first}, {second}"),
        meaning: "Two models are on different sides of the threshold more often than is allowed.",
        first: "Label some of the requests on which they disagree: rendezvousctl label chooses them.",
        figures: format!("{} of {} requests; {DISAGREEMENT} allowed", range(&above), pair.paired()),
    })
}

fn callers(unusual: Unusual) -> Alarm {
    let Unusual { kind, requests, minutes, usual } = unusual;
    let (name, meaning, first) = match kind {
        Unusually::Silent => (
            "callers_silent",
            "Far fewer requests arrive than a day and a week ago.",
            "Send a request yourself. If it is answered, ask the callers; if not, look at ingress and its errors.",
        ),
        Unusually::Surging => (
            "callers_surging",
            "Far more requests arrive than a day and a week ago.",
            "See which caller sends them, and whether they are repeats. Look at throttling and at the models' lag.",
        ),
    };
    let figures = format!("{requests} requests in {minutes} minutes, usually {usual:.0}");
    Alarm { name, subject: String::new(), meaning, first, figures }
}

fn silent(model: &ModelId, expected: u64) -> Option<Alarm> {
    (expected >= SILENT_AFTER).then(|| Alarm {
        name: "model_silent",
        subject: model.to_string(),
        meaning: "The model sends neither scores nor failures.",
        first: "See whether its function is deployed and its event source mapping is enabled; then its log.",
        figures: format!("no message for {expected} requests; {SILENT_AFTER} allowed"),
    })
}

fn failing(model: &ModelId, window: &Window) -> Option<Alarm> {
    let (failures, messages) = (window.failures(), window.messages());
    let above = above(MeanSequence::of_events(failures, messages), FAILING)?;
    let kinds =
        [FailureKind::Failed, FailureKind::TimedOut, FailureKind::Expired, FailureKind::Invalid]
            .into_iter()
            .filter(|kind| window.failed(*kind) > 0)
            .map(|kind| format!(", {} {}", window.failed(kind), kind.as_str()));
    Some(Alarm {
        name: "model_failing",
        subject: model.to_string(),
        meaning: "More of the model's messages are failures than is allowed; its stand-ins answer.",
        first: "Read the messages of its failures. For expired, look at its lag; for timed_out, at its time to \
                score; for invalid, at what the callers send.",
        figures: format!(
            "{} of {messages} messages; {FAILING} allowed{}",
            range(&above),
            kinds.collect::<String>()
        ),
    })
}

fn ramp(arm: &Arm, guard: &Guard, held: Duration, verdict: &Verdict) -> Option<Alarm> {
    let usual = Duration::from_secs(u64::from(guard.hold_minutes) * 60);
    let stuck = held > (usual * STUCK).max(Duration::from_hours(24));
    let (meaning, first) = match verdict.action {
        Action::Remove => (
            "A condition of the arm's guard was violated; the arm is removed and main has its requests again.",
            "Read the figures: they say which condition. Compare the arm's champion with main's before another try.",
        ),
        Action::Wait if stuck => (
            "The arm's guard does not come to a verdict: too few requests, or a figure that is close to its limit.",
            "Read the figures: they say what is not decided. Change the limit, step by hand, or end the try.",
        ),
        _ => return None,
    };
    Some(Alarm {
        name: "ramp_stopped",
        subject: arm.to_string(),
        meaning,
        first,
        figures: verdict.because.clone(),
    })
}

/// The interval of a rate that is above a limit for sure.
fn above(rate: MeanSequence, limit: f64) -> Option<Interval<crate::Anytime>> {
    rate.interval(Confidence::DEFAULT).filter(|interval| interval.low > limit)
}

fn range(of: &Interval<crate::Anytime>) -> String {
    format!("{:.3} ({:.3} to {:.3})", of.estimate, of.low, of.high)
}
