//! An archived request in a mailbox of its own.

use std::{sync::Arc, time::Duration};

use rendezvous_archive::{Joined, Scored};
use rendezvous_core::{
    Arm, EndpointName, Envelope, Failure, Json, Kind, Mailbox, ModelId, Reason, RequestId,
    Schedule, Score, Timestamp, schedule::Verdict,
};

use serde_json::value::RawValue;

use super::given::Conditions;

/// A mailbox that is used for one request after the other.
pub(super) struct Replay {
    mailbox: Mailbox,
    /// Which score it is does not matter to a schedule.
    some_score: Json,
}

/// An answer by a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    pub(super) reason: Reason,
    /// The choice that answers.
    pub(super) choice: Option<usize>,
    /// The instant for which it is decided.
    pub(super) decided: Timestamp,
}

impl Replay {
    pub(super) fn new(endpoint: EndpointName) -> Self {
        let envelope = Envelope {
            id: RequestId::from_bytes([0; 16]),
            endpoint,
            config: 0,
            arm: Arm::main(),
            key: RequestId::from_bytes([0; 16]).to_key(),
            received: Timestamp::default(),
            deadline: Timestamp::default(),
            traceparent: None,
            skip: Vec::new(),
            replay: None,
        };
        let mailbox = Mailbox::empty(Arc::new(envelope));
        Self { mailbox, some_score: Json::from(RawValue::NULL) }
    }

    /// The verdict on the results of these models, all at hand; none where one's result is missing.
    pub(super) fn decide(
        &mut self,
        schedule: &Schedule,
        (received, deadline): (Timestamp, Timestamp),
        now: Timestamp,
        scores: &[&Scored],
        presumed: &[ModelId],
    ) -> Option<Answer> {
        self.mailbox.scores.clear();
        for score in scores {
            self.file(score);
        }
        self.answer(schedule, (received, deadline), now, presumed)
    }

    /// What the schedule answers when each score counts from its time.
    ///
    /// Rendezvous decides when a score has come, with the choices that it presumes silent; ingress at the
    /// instants of the schedule, and a margin before the deadline as of the deadline. A score that would count
    /// at the very instant at which ingress reads is not filed yet.
    pub(super) fn play(
        &mut self,
        schedule: &Schedule,
        (received, deadline): (Timestamp, Timestamp),
        request: &Joined,
        presumed: &[ModelId],
        Conditions { filing, margin }: Conditions,
    ) -> Option<Answer> {
        self.mailbox.scores.clear();
        let last = (deadline - margin).max(received);
        let is_choice =
            |score: &&Scored| schedule.choices().iter().any(|choice| choice.model == score.model);
        let mut coming = request.scores.iter().filter(is_choice).peekable();
        let counts_from = |score: &Scored| score.arrived + filing;
        // The next instant of the schedule.
        let mut opens = last;
        loop {
            let comes = coming.peek().map_or(last, |score| counts_from(score));
            let now = comes.min(opens);
            if now >= last {
                break;
            }
            let by_a_score = comes < opens;
            if by_a_score {
                while let Some(score) = coming.next_if(|score| counts_from(score) <= now) {
                    self.file(score);
                }
            }
            let presumed = if by_a_score { presumed } else { &[] };
            let times = (received, deadline);
            match self.verdict(schedule, times, now, presumed) {
                Verdict::WaitUntil(instant) => opens = instant,
                settled => return answer(&settled, now),
            }
        }
        while let Some(score) = coming.next_if(|score| counts_from(score) < last) {
            self.file(score);
        }
        self.answer(schedule, (received, deadline), deadline, &[])
    }

    fn file(&mut self, score: &Scored) {
        let result = match score.failure {
            None => Ok(self.some_score.clone()),
            Some(kind) => Err(Failure { kind, message: String::new() }),
        };
        let Scored { model, started, finished, .. } = score;
        let (model, started, finished) = (model.clone(), *started, *finished);
        self.mailbox.scores.push(Score { model, started, finished, result });
    }

    fn verdict<'a>(
        &'a self,
        schedule: &'a Schedule,
        (received, deadline): (Timestamp, Timestamp),
        now: Timestamp,
        presumed: &[ModelId],
    ) -> Verdict<'a> {
        schedule.decide(received, deadline, now, &self.mailbox, presumed)
    }

    fn answer(
        &self,
        schedule: &Schedule,
        times: (Timestamp, Timestamp),
        now: Timestamp,
        presumed: &[ModelId],
    ) -> Option<Answer> {
        answer(&self.verdict(schedule, times, now, presumed), now)
    }
}

fn answer(verdict: &Verdict<'_>, decided: Timestamp) -> Option<Answer> {
    match verdict {
        Verdict::Settle(settlement) => Some(Answer {
            kind: settlement.kind,
            reason: settlement.reason,
            choice: settlement.choice,
            decided,
        }),
        // No decision stands in a mailbox that is replayed.
        Verdict::Stands(_) | Verdict::WaitUntil(_) => None,
    }
}

/// The deadline that a request has under another schedule, from its receipt on: see
/// [`whatif`](super).
pub(super) fn allowed(own: Duration, in_force: Option<Duration>, other: Duration) -> Duration {
    match in_force {
        Some(in_force) if own < in_force => own.min(other),
        Some(in_force) if own > in_force => own,
        _ => other,
    }
}
