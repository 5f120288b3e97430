//! How long it takes until a score counts.

use std::time::Duration;

use rendezvous_archive::{Joined, Scored};
use rendezvous_core::Reason;

use crate::times::Times;

/// The filing time of an archive: from the arrival of a score on the stream until the instant for which
/// the decision that it brought about was made. It includes the stream's delivery and the batch before it.
///
/// A decision seems to have been brought about by a score when its reason is `preferred`, `survivor` or
/// `exhausted`, it is before the deadline, and of the models in `seen` this one's message arrived last.
/// Decisions at an instant of the schedule (`opened`) and at the deadline are not counted, and neither
/// is one that seems older than its last message: the clocks of stream and function differ, and Kinesis
/// rounds to milliseconds.
#[derive(Clone, Debug, Default)]
pub struct FilingTime(Times);

impl FilingTime {
    /// Takes the next request.
    pub fn push(&mut self, request: &Joined) {
        let Some(decision) = &request.decision else { return };
        let by_a_score =
            matches!(decision.reason, Reason::Preferred | Reason::Survivor | Reason::Exhausted);
        if !by_a_score || decision.decided >= decision.deadline || request.retried {
            return;
        }
        let seen = |score: &&Scored| decision.seen.contains(&score.model);
        let last = request.scores.iter().filter(seen).map(|score| score.arrived).max();
        if let Some(arrived) = last.filter(|arrived| *arrived <= decision.decided) {
            self.0.add(decision.decided.since(arrived));
        }
    }

    /// The median; zero where no decision was brought about by a score.
    pub fn median(&self) -> Duration {
        self.0.quantile(0.5)
    }
}
