//! What-if: what each archived request would have been answered under another schedule.
//!
//! Every model has scored every request, so that the answer under another schedule is computed and not
//! guessed: the scores are put into a mailbox at the times at which they could be filed, and
//! [`Schedule::decide`], the function that decides in production, is asked at each.
//!
//! # When a score counts
//!
//! From its arrival on the stream `scores` plus the [filing time](FilingTime): that of the same archive.
//! Ingress settles a margin before the deadline, as of the deadline; what is filed later does not count.
//! A request whose own deadline was that of its schedule has the deadline of the other schedule; one with a
//! shorter deadline of its client's keeps it, if it is the shorter one; a longer one (`respond-async`) stays.
//! Elapsed time is that from the receipt to the instant for which it was decided: without the way back to
//! the client.
//!
//! What the models would have done otherwise is not computed. With a shorter deadline they shed more requests
//! as `expired`, so that a queue in front of them is shorter and others are scored sooner; with a longer one the
//! opposite. Without queues, or where models score late requests too, the prediction is exact but for the
//! filing time, which differs from request to request.
//!
//! # What was not observed
//!
//! [`Unobserved`] counts the requests on whose answer under the other schedule the archive is silent.
//! They are in `changed` as if nothing of that kind had happened otherwise; none of them is in
//! `at_least`, all of them are in `at_most`.

mod explain;
mod filing;
mod given;
mod past;
mod predict;
mod replay;
mod side;

use std::time::Duration;

use rendezvous_archive::Joined;
use rendezvous_core::{EndpointName, Invalid, Schedule, schedule::Choice};
use serde::Serialize;

pub use {
    explain::{Explanation, Step, What, explain},
    filing::FilingTime,
    given::{Conditions, Configurations},
    past::{NotSame, Recomputed, Why},
    predict::{ChangedRange, Point, Unobserved},
    side::{Elapsed, Side},
};

use past::Past;
use predict::Predicted;

/// Recomputes archived requests under other schedules. Memory does not grow with the requests.
pub struct WhatIf<'c> {
    past: Past<'c>,
    asked: Predicted<'c>,
    sweep: Vec<Predicted<'c>>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Requests that were decided: those that are compared.
    pub requests: u64,
    /// How many of them would have had another answer: another model's, or another fallback.
    pub changed: u64,
    pub changed_range: ChangedRange,
    /// The requests whose answer the archive does not determine, by reason; one may have several.
    pub unobserved: Unobserved,
    /// The decisions, under the configurations that were in force.
    pub recomputed: Recomputed,
    pub real: Side,
    pub whatif: Side,
    /// From the arrival of a score until it counts, in milliseconds.
    pub filing_ms: f64,
    /// How long before the deadline ingress settles, in milliseconds.
    pub margin_ms: f64,
    /// The frontier of quality against time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<Point>,
}

impl<'c> WhatIf<'c> {
    /// Recomputes under `schedule`, and under each of `sweep` as well. `configurations` are all versions
    /// that are stamped on the requests.
    pub fn new(
        endpoint: &EndpointName,
        schedule: Schedule,
        sweep: Vec<Schedule>,
        conditions: Conditions,
        configurations: &'c Configurations,
    ) -> Self {
        let predicted =
            |schedule| Predicted::new(endpoint.clone(), schedule, conditions, configurations);
        Self {
            past: Past::new(endpoint.clone(), configurations),
            asked: predicted(schedule),
            sweep: sweep.into_iter().map(predicted).collect(),
        }
    }

    /// Takes the next request, in any order.
    pub fn push(&mut self, request: &Joined) {
        self.past.push(request);
        self.asked.push(request);
        for predicted in &mut self.sweep {
            predicted.push(request);
        }
    }

    pub fn report(self) -> Report {
        let Self { past, asked, sweep } = self;
        let Conditions { filing, margin } = asked.conditions;
        Report {
            requests: past.requests,
            changed: asked.changed,
            changed_range: asked.range(),
            unobserved: asked.unobserved,
            recomputed: past.recomputed,
            real: past.tally.side(),
            filing_ms: filing.as_secs_f64() * 1e3,
            margin_ms: margin.as_secs_f64() * 1e3,
            sweep: sweep.iter().map(Predicted::point).collect(),
            whatif: asked.tally.side(),
        }
    }
}

/// The schedule with another deadline. A choice that would open at it or later opens a millisecond
/// before it, which changes no answer: at the deadline every choice is open.
pub fn with_deadline(schedule: &Schedule, deadline: Duration) -> Result<Schedule, Invalid> {
    let latest = deadline.saturating_sub(Duration::from_millis(1));
    let choices = schedule
        .choices()
        .iter()
        .map(|choice| Choice { model: choice.model.clone(), after: choice.after.min(latest) });
    Schedule::new(choices.collect(), deadline, schedule.fallback().cloned())
}
