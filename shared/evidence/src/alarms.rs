//! Alarms: fixed rules over merged windows.
//!
//! | alarm | rule |
//! | --- | --- |
//! | `drift` | the distance from the baseline is beyond its bound and the index is above 0.25 ([`Drift`]); over an hour also beyond that of the canary |
//! | `calibration_high`, `calibration_low` | the mean value is above, or below, the mean outcome by more than [`MISCALIBRATED`], and not by chance at 99 % |
//! | `disagreement` | two models disagree on more than [`DISAGREEMENT`] of the requests, for sure at 99 % |
//! | `callers_silent`, `callers_surging` | as [`callers`](crate::callers) says |
//! | `model_silent` | no message, while at least [`SILENT_AFTER`] requests waited for it |
//! | `model_failing` | more than [`FAILING`] of its messages are failures, for sure at 99 % |
//! | `ramp_stopped` | a guard has removed an arm, or has not come to a verdict in [`STUCK`] times `hold_minutes`, a day at least |
//!
//! An alarm that depends on how much is looked at says so ([`Over`]): of the last minutes and of the last hour,
//! both against the same hour of the day of the baseline, of the last 24 hours, and of seven days. A drift or a
//! disagreement of the last minutes needs [`ENOUGH`] values.
//!
//! **The hour.** The requests of an hour are often alike, e.g. they share their weather, or one caller has sent most of them. Then
//! their values are not independent, an hour has as little to say as one value, and no bound holds. So features are
//! not looked at over an hour, and a model is compared with the canary, which scores the same
//! requests: the model's distance must exceed the canary's by more than both bounds. The canary
//! itself, and a model without one, are not looked at over an hour.
//!
//! **Subjects.** What changes about requests or outcomes changes several features and models at once. Drifts
//! over the same time are one alarm with a list of subjects ([`Alarm::together`]), and so are disagreements
//! and calibrations. A silent or failing model and a ramp are each an alarm of their own, since each is mended by itself.
//!
//! The rules are not fitted to data. `for sure` means the lower end of a confidence sequence, so that looking every
//! minute does no harm.

use std::time::Duration;

use rendezvous_core::{Arm, FailureKind, ModelId, arms::Guard};
use serde::{Deserialize, Serialize};

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

/// How many values of the last minutes are enough for a drift or a disagreement of them.
pub const ENOUGH: u64 = 1_000;

/// How much an observation covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The last 5 minutes, against the same hour of the day.
    Minutes,
    /// The last hour, against the same hour of the day.
    Hour,
    /// The last 24 hours.
    Day,
    /// Seven days.
    Week,
}

impl Over {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minutes => "5 minutes",
            Self::Hour => "1 hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
        }
    }
}

/// What the rules look at, each with the time that it should cover.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// Of a model's values or of a feature; of a model also what the canary's values say for the same time.
    Drift {
        of: &'a str,
        over: Over,
        drift: &'a Drift,
        canary: Option<(&'a ModelId, &'a Drift)>,
    },
    /// The last 7 days whose outcomes are complete.
    Outcomes {
        model: &'a ModelId,
        outcomes: &'a Outcomes,
    },
    Pair {
        first: &'a ModelId,
        second: &'a ModelId,
        over: Over,
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
    /// How much it covers, where there are several.
    pub over: Option<Over>,
    /// Alarms of this name over the same time are one alarm with several subjects.
    pub together: bool,
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
        Observation::Drift { of, over, drift, canary } => of_drift(of, over, drift, canary),
        Observation::Outcomes { model, outcomes } => calibration(model, outcomes),
        Observation::Pair { first, second, over, pair } => disagreement(first, second, over, pair),
        Observation::Callers(unusual) => Some(callers(unusual)),
        Observation::Model { model, expected, window } => match window {
            Some(window) if window.messages() > 0 => failing(model, window),
            _ => silent(model, expected),
        },
        Observation::Ramp { arm, guard, held, verdict } => ramp(arm, guard, held, verdict),
    }
}

fn of_drift(
    of: &str,
    over: Over,
    drift: &Drift,
    canary: Option<(&ModelId, &Drift)>,
) -> Option<Alarm> {
    let Drift { distance, bound, index, baseline, recent } = drift;
    if !drift.is_drift() || (over == Over::Minutes && *recent < ENOUGH) {
        return None;
    }
    let canary = canary.filter(|(model, _)| model.as_str() != of);
    if over == Over::Hour {
        let (_, of_canary) = canary?;
        if distance - of_canary.distance <= bound + of_canary.bound {
            return None;
        }
    }
    let canary = canary.map_or_else(String::new, |(model, drift)| {
        let says = if drift.is_drift() { "drifts, too" } else { "does not drift" };
        format!(
            "; the canary {model} {says}: distance {:.3}, index {:.2}",
            drift.distance, drift.index
        )
    });
    Some(Alarm {
        name: "drift",
        subject: of.to_owned(),
        over: Some(over),
        together: true,
        meaning: "The distribution differs from that of the baseline, far more than by chance.",
        first: "Compare the quantiles with those of the baseline. If the features or the canary have changed, ask \
                whoever sends the requests; if only a model's values have, see whether its version has.",
        figures: format!(
            "distance {distance:.3}, by chance at most {bound:.3}; index {index:.2}, large from 0.25; \
             {recent} values against {baseline}{canary}"
        ),
    })
}

fn calibration(model: &ModelId, outcomes: &Outcomes) -> Option<Alarm> {
    let (predicted, observed) = outcomes.means()?;
    let excess = outcomes.excess().interval(Confidence::DEFAULT)?;
    let wrong = excess.estimate.abs() > MISCALIBRATED && excess.excludes(0.0);
    // A model that says too much after it has said too little is another alarm: it must not be hidden by the first one.
    let (name, meaning) = if excess.estimate > 0.0 {
        ("calibration_high", "The model's values are too high on average.")
    } else {
        ("calibration_low", "The model's values are too low on average.")
    };
    wrong.then(|| Alarm {
        name,
        subject: model.to_string(),
        over: Some(Over::Week),
        together: true,
        meaning,
        first: "See whether the outcomes are complete and of the right requests. Then train the model again, or \
                promote one that is calibrated.",
        figures: format!(
            "predicted {predicted:.3}, observed {observed:.3} on {} requests; at most {MISCALIBRATED} apart",
            outcomes.count()
        ),
    })
}

fn disagreement(first: &ModelId, second: &ModelId, over: Over, pair: &Pair) -> Option<Alarm> {
    if over == Over::Minutes && pair.paired() < ENOUGH {
        return None;
    }
    let above = above(pair.disagreement()?, DISAGREEMENT)?;
    Some(Alarm {
        name: "disagreement",
        subject: format!("{first}, {second}"),
        over: Some(over),
        together: true,
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
    Alarm { name, subject: String::new(), over: None, together: false, meaning, first, figures }
}

fn silent(model: &ModelId, expected: u64) -> Option<Alarm> {
    (expected >= SILENT_AFTER).then(|| Alarm {
        name: "model_silent",
        subject: model.to_string(),
        over: None,
        together: false,
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
        over: None,
        together: false,
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
        over: None,
        together: false,
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
