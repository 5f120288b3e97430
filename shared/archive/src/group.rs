//! The rows of one request, of which each entity keeps one.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::{Arm, ModelId, RequestId, Timestamp};

use crate::{
    joined::{Asked, Decided, Joined, Reported, Scored},
    lines::{AllNames, Arrival, DecisionLine, Line, OutcomeLine, RequestLine, ScoreLine},
};

/// The rows of one request so far.
#[derive(Default)]
pub(crate) struct Group {
    request: Option<RequestLine>,
    /// By the number of the model.
    scores: BTreeMap<u32, ScoreLine>,
    replays: BTreeMap<u32, ScoreLine>,
    decision: Option<DecisionLine>,
    first_outcome: Option<OutcomeLine>,
    last_outcome: Option<OutcomeLine>,
    /// The earliest time of receipt in a row, and the latest.
    received: Option<(Timestamp, Timestamp)>,
}

impl Group {
    /// Adds a row.
    pub(crate) fn add(&mut self, line: Line) {
        let received = match &line {
            Line::Request(line) => Some(line.received),
            Line::Score(line) => Some(line.received),
            Line::Decision(line) => Some(line.received),
            Line::Replay(_) | Line::Outcome(_) => None,
        };
        if let Some(at) = received {
            let (first, last) = self.received.unwrap_or((at, at));
            self.received = Some((first.min(at), last.max(at)));
        }
        match line {
            Line::Request(line) => keep_first(&mut self.request, line, |line| &line.arrival),
            Line::Decision(line) => keep_first(&mut self.decision, line, |line| &line.arrival),
            Line::Score(line) => {
                if self.scores.get(&line.model).is_none_or(|kept| line.arrival < kept.arrival) {
                    self.scores.insert(line.model, line);
                }
            }
            Line::Replay(line) => {
                if self.replays.get(&line.model).is_none_or(|kept| line.arrival > kept.arrival) {
                    self.replays.insert(line.model, line);
                }
            }
            Line::Outcome(line) => {
                if self.last_outcome.as_ref().is_none_or(|kept| line.arrival > kept.arrival) {
                    self.last_outcome = Some(line.clone());
                }
                keep_first(&mut self.first_outcome, line, |line| &line.arrival);
            }
        }
    }

    /// When the request was received: by its own row, or the earliest by another.
    pub(crate) fn received(&self) -> Option<Timestamp> {
        let request = self.request.as_ref().map(|request| request.received);
        request.or(self.received.map(|(first, _)| first))
    }

    /// One row of each entity.
    pub(crate) fn join(self, id: RequestId, names: &AllNames) -> Joined {
        let model = |number: u32| names.models.name(number).cloned();
        let models =
            |numbers: Vec<u32>| -> Vec<ModelId> { numbers.into_iter().filter_map(model).collect() };
        let arm = |number: u32| names.arms.name(number).cloned().unwrap_or_else(Arm::main);
        let received = self.received();
        let mut scores: Vec<(ScoreLine, bool)> =
            self.scores.into_values().map(|line| (line, false)).collect();
        let first = scores.iter().map(|(line, _)| line).min_by_key(|line| line.started).cloned();
        for (number, line) in self.replays {
            let is_live = scores.iter().any(|(live, _)| live.model == number);
            if let Some(received) = received.filter(|_| !is_live) {
                scores.push((as_if_live(line, received, first.as_ref()), true));
            }
        }
        scores.sort_by(|(a, _), (b, _)| a.arrival.cmp(&b.arrival));
        let score = |(line, replayed): (ScoreLine, bool)| {
            Some(Scored {
                replayed,
                model: model(line.model)?,
                arrived: line.arrival.at,
                started: line.started,
                finished: line.finished,
                value: line.value,
                failure: line.failure,
            })
        };
        Joined {
            id,
            request: self.request.map(|line| Asked {
                config: line.config,
                arm: arm(line.arm),
                key: line.key,
                received: line.received,
                deadline: line.deadline,
                arrived: line.arrival.at,
                skip: models(line.skip),
                segment: line.segment,
            }),
            scores: scores.into_iter().filter_map(score).collect(),
            decision: self.decision.map(|line| Decided {
                config: line.config,
                arm: arm(line.arm),
                received: line.received,
                deadline: line.deadline,
                decided: line.decided,
                kind: line.kind,
                reason: line.reason,
                model: line.model.and_then(model),
                seen: models(line.seen),
                presumed: models(line.presumed),
                value: line.value,
            }),
            outcome: self.first_outcome.zip(self.last_outcome).map(|(first, last)| Reported {
                arrived: first.arrival.at,
                first: first.value,
                last: last.value,
            }),
            retried: self.received.is_some_and(|(first, last)| first != last),
        }
    }
}

/// The score of a replay as if the model had begun when the first of the others did, or at once, and its score
/// had been as long on its way as that of this one. How long the replay waited in queues says nothing of that.
fn as_if_live(line: ScoreLine, received: Timestamp, first: Option<&ScoreLine>) -> ScoreLine {
    let started = first.map_or(received, |first| first.started);
    let finished = started + line.finished.since(line.started);
    let on_its_way = first.map_or(Duration::ZERO, |first| first.arrival.at.since(first.finished));
    let arrival = Arrival { at: finished + on_its_way, ..line.arrival };
    ScoreLine { arrival, received, started, finished, ..line }
}

fn keep_first<L>(kept: &mut Option<L>, line: L, arrival: impl Fn(&L) -> &Arrival) {
    if kept.as_ref().is_none_or(|kept| arrival(&line) < arrival(kept)) {
        *kept = Some(line);
    }
}
