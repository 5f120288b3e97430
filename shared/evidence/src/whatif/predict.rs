//! Answers under another schedule.

use std::collections::HashMap;

use rendezvous_archive::{Decided, Joined};
use rendezvous_core::{
    Arm, Configuration, EndpointName, FailureKind, Json, Kind, ModelId, Reason, Schedule,
};
use serde::Serialize;

use super::{
    given::{Conditions, Configurations},
    replay::{Answer, Replay, allowed},
    side::{Side, Tally},
};

/// Requests whose answer under the other schedule the archive does not determine, by what was not
/// observed. A score that could not have changed the answer is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unobserved {
    /// A model shed the request because its deadline had passed; with a later one it had scored it.
    pub expired: u64,
    /// An observer has neither scored it nor failed: it was not asked for this request, or was down.
    pub sampled_out: u64,
    /// A choice, or a model that the configuration did not list, has neither scored it nor failed.
    /// Under the other schedule it might be presumed silent.
    pub unscored: u64,
    /// The decider presumed a choice silent. Whether it would have under the other schedule depends on
    /// the instance.
    pub presumed: u64,
    /// A client sent it again, with fresh times.
    pub retried: u64,
    /// A stream or the ledger was unavailable. It is taken to be so under the other schedule, too.
    pub unavailable: u64,
    /// The version of its configuration is not known any more, and so which deadline it had.
    pub no_configuration: u64,
    /// It has no decision, so that there is nothing to compare; it is not among the requests.
    pub undecided: u64,
}

/// Between these is the number of changed answers, whatever was not observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedRange {
    pub at_least: u64,
    pub at_most: u64,
}

/// A schedule of the sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    pub deadline_ms: f64,
    pub changed: u64,
    pub changed_range: ChangedRange,
    pub whatif: Side,
}

/// The schedule's fallback, seen from a version of the configuration.
struct Fallback {
    /// The number in it at which the version points.
    value: Option<f64>,
    /// The arms whose fallback is the same JSON, white space aside.
    same: Vec<Arm>,
}

impl Fallback {
    fn new(schedule: &Schedule, configuration: &Configuration) -> Self {
        let parse = |json: &Json| serde_json::from_str::<serde_json::Value>(json.as_str()).ok();
        let fallback = schedule.fallback().and_then(parse);
        let number = |pointer| fallback.as_ref()?.pointer(pointer)?.as_f64();
        let value = configuration.value().and_then(number);
        let arms = configuration.arms();
        let same = arms.filter(|(_, other)| other.fallback().and_then(parse) == fallback);
        Self { value, same: same.map(|(arm, _)| arm.clone()).collect() }
    }
}

pub(super) struct Predicted<'c> {
    schedule: Schedule,
    pub(super) conditions: Conditions,
    configurations: &'c Configurations,
    fallbacks: HashMap<u64, Fallback>,
    replay: Replay,
    pub(super) changed: u64,
    /// Those whose answer is not determined, and how many of them are in `changed`.
    undetermined: u64,
    undetermined_changed: u64,
    pub(super) unobserved: Unobserved,
    pub(super) tally: Tally,
}

impl<'c> Predicted<'c> {
    pub(super) fn new(
        endpoint: EndpointName,
        schedule: Schedule,
        conditions: Conditions,
        configurations: &'c Configurations,
    ) -> Self {
        let fallbacks = configurations
            .iter()
            .map(|(version, configuration)| (*version, Fallback::new(&schedule, configuration)));
        let fallbacks = fallbacks.collect();
        let (unobserved, tally) = <_>::default();
        Self {
            schedule,
            conditions,
            configurations,
            fallbacks,
            replay: Replay::new(endpoint),
            changed: 0,
            undetermined: 0,
            undetermined_changed: 0,
            unobserved,
            tally,
        }
    }

    pub(super) fn push(&mut self, request: &Joined) {
        let Some(decision) = &request.decision else {
            self.unobserved.undecided += 1;
            return;
        };
        let in_force = self.configurations.get(&decision.config);
        let Some(answer) = self.answer(request, decision, in_force) else { return };
        let model = answer.choice.map(|choice| &self.schedule.choices()[choice].model);
        let score = model.and_then(|model| request.score_of(model));
        let fallback = self.fallbacks.get(&decision.config);
        let value = match answer.kind {
            Kind::Fallback => fallback.and_then(|fallback| fallback.value),
            _ => score.and_then(|score| score.value),
        };
        let truth = request.outcome.and_then(|outcome| outcome.last);
        let elapsed = answer.decided.since(decision.received);
        self.tally.add(answer.kind, model, elapsed, value.zip(truth));
        let changed = match (&decision.model, model) {
            (Some(former), Some(model)) => former != model,
            (None, None) => !fallback.is_some_and(|other| other.same.contains(&decision.arm)),
            _ => true,
        };
        let undetermined = self.count_unobserved(request, decision, in_force, answer);
        self.changed += u64::from(changed);
        self.undetermined += u64::from(undetermined);
        self.undetermined_changed += u64::from(undetermined && changed);
    }

    fn answer(
        &mut self,
        request: &Joined,
        decision: &Decided,
        in_force: Option<&Configuration>,
    ) -> Option<Answer> {
        if decision.reason == Reason::Unavailable {
            let Decided { decided, .. } = *decision;
            let given_up = self.schedule.give_up(Reason::Unavailable);
            let (kind, reason) = (given_up.kind, given_up.reason);
            return Some(Answer { kind, reason, choice: None, decided });
        }
        let Decided { received, deadline, presumed, .. } = decision;
        let former = in_force.map(|configuration| configuration.schedule(&decision.arm).deadline());
        let allowed = allowed(deadline.since(*received), former, self.schedule.deadline());
        let times = (*received, *received + allowed);
        self.replay.play(&self.schedule, times, request, presumed, self.conditions)
    }

    /// Counts what was not observed and could have changed the answer; whether there is any.
    fn count_unobserved(
        &mut self,
        request: &Joined,
        decision: &Decided,
        in_force: Option<&Configuration>,
        answer: Answer,
    ) -> bool {
        let elapsed = answer.decided.since(decision.received);
        let is_later = decision.received + elapsed > decision.deadline;
        let listed = |model: &ModelId| {
            let mut observers = in_force.map(Configuration::observers).into_iter().flatten();
            observers.any(|observer| observer.model == *model)
        };
        let (mut expired, mut sampled_out, mut unscored) = (false, false, false);
        for (index, choice) in self.schedule.choices().iter().enumerate() {
            // It is preferred to the answer, or could have been before the answer.
            let matters = answer.choice.is_none_or(|answered| index < answered)
                || (answer.choice != Some(index) && choice.after < elapsed);
            if !matters {
                continue;
            }
            match request.score_of(&choice.model) {
                Some(score) => {
                    expired |= is_later && score.failure == Some(FailureKind::Expired);
                }
                None if listed(&choice.model) => sampled_out = true,
                None => unscored = true,
            }
        }
        let unobserved = &mut self.unobserved;
        let mut any = false;
        let mut count = |happened: bool, counter: &mut u64| {
            *counter += u64::from(happened);
            any |= happened;
        };
        count(expired, &mut unobserved.expired);
        count(sampled_out, &mut unobserved.sampled_out);
        count(unscored, &mut unobserved.unscored);
        count(!decision.presumed.is_empty(), &mut unobserved.presumed);
        count(request.retried, &mut unobserved.retried);
        count(decision.reason == Reason::Unavailable, &mut unobserved.unavailable);
        count(in_force.is_none(), &mut unobserved.no_configuration);
        any
    }

    pub(super) fn range(&self) -> ChangedRange {
        let at_least = self.changed - self.undetermined_changed;
        ChangedRange { at_least, at_most: at_least + self.undetermined }
    }

    pub(super) fn point(&self) -> Point {
        Point {
            deadline_ms: self.schedule.deadline().as_secs_f64() * 1e3,
            changed: self.changed,
            changed_range: self.range(),
            whatif: self.tally.side(),
        }
    }
}
