//! What really happened, and whether it can be recomputed.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_archive::{Decided, Joined};
use rendezvous_core::{EndpointName, Reason, RequestId};
use serde::Serialize;

use super::{given::Configurations, replay::Replay, side::Tally};

/// How many decisions are named that cannot be recomputed.
const NAMED: usize = 100;

/// The decisions, recomputed with [`decide`](rendezvous_core::Schedule::decide) from what the decider had
/// seen and presumed, at the instant for which it decided, under the version and arm stamped on it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recomputed {
    /// Kind, reason and model are the same.
    pub same: u64,
    pub different: u64,
    /// Those that differ, by reason.
    pub why: BTreeMap<Why, u64>,
    /// The first hundred of them.
    pub not_same: Vec<NotSame>,
}

/// A decision that cannot be recomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotSame {
    pub request: RequestId,
    pub why: Why,
}

/// Why a decision cannot be recomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its reason is `unavailable`: no schedule made it.
    Unavailable,
    /// The version of the configuration is not known any more.
    NoConfiguration,
    /// The archive lacks a score that the decider had seen.
    ScoreMissing,
    /// A client sent the request again, and the scores may be of either time.
    Retried,
    /// The schedule decides otherwise, or not yet.
    Differs,
}

pub(super) struct Past<'c> {
    configurations: &'c Configurations,
    replay: Replay,
    pub(super) requests: u64,
    pub(super) recomputed: Recomputed,
    pub(super) tally: Tally,
}

impl<'c> Past<'c> {
    pub(super) fn new(endpoint: EndpointName, configurations: &'c Configurations) -> Self {
        let (recomputed, tally) = <_>::default();
        Self { configurations, replay: Replay::new(endpoint), requests: 0, recomputed, tally }
    }

    pub(super) fn push(&mut self, request: &Joined) {
        let Some(decision) = &request.decision else { return };
        self.requests += 1;
        let valued = decision.value.zip(request.outcome.and_then(|outcome| outcome.last));
        let Decided { kind, model, .. } = decision;
        self.tally.add(*kind, model.as_ref(), elapsed(decision), valued);
        match self.differs(request, decision) {
            None => self.recomputed.same += 1,
            Some(why) => {
                self.recomputed.different += 1;
                *self.recomputed.why.entry(why).or_default() += 1;
                if self.recomputed.not_same.len() < NAMED {
                    self.recomputed.not_same.push(NotSame { request: request.id, why });
                }
            }
        }
    }

    /// Why the decision is not what the schedule decides; `None` where it is.
    pub(super) fn differs(&mut self, request: &Joined, decision: &Decided) -> Option<Why> {
        if decision.reason == Reason::Unavailable {
            return Some(Why::Unavailable);
        }
        let Some(configuration) = self.configurations.get(&decision.config) else {
            return Some(Why::NoConfiguration);
        };
        let live = |model| request.score_of(model).filter(|score| !score.replayed);
        let seen: Vec<_> = decision.seen.iter().filter_map(live).collect();
        if seen.len() < decision.seen.len() {
            return Some(Why::ScoreMissing);
        }
        let schedule = configuration.schedule(&decision.arm);
        let Decided { received, deadline, decided, presumed, .. } = decision;
        let times = (*received, *deadline);
        let answer = self.replay.decide(schedule, times, *decided, &seen, presumed);
        let is_same = answer.is_some_and(|answer| {
            let model = answer.choice.map(|choice| &schedule.choices()[choice].model);
            answer.kind == decision.kind
                && answer.reason == decision.reason
                && model == decision.model.as_ref()
        });
        match is_same {
            true => None,
            false if request.retried => Some(Why::Retried),
            false => Some(Why::Differs),
        }
    }
}

fn elapsed(decision: &Decided) -> Duration {
    decision.decided.since(decision.received)
}
