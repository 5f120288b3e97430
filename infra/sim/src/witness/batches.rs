//! The batches of rendezvous: which models an instance has heard, and what it acknowledges.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rendezvous_aws::batch::{Response, StreamBatch};
use rendezvous_core::{
    Decision, RequestId, ScoreMessage,
    memory::MemoryLedger,
    mutation::unmutated,
    now,
    ports::{Consistency, Ledger},
};

use super::{Seen, Witness, true_time};
use crate::{Actor, invariant::Invariant};

/// How old the last message of a model is at least before the model is presumed silent.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// How long after its deadline a request's scores are filed.
const FILED_FOR: Duration = Duration::from_mins(1);

/// The scores of a batch that is delivered to an instance.
pub(crate) struct Delivered {
    scores: Vec<(usize, Arc<ScoreMessage>)>,
    sequences: Vec<String>,
    /// Of the instance, so far.
    disturbances: (u32, u32),
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hears")?;
        for (_, message) in &self.scores {
            write!(f, " {} of {}", message.score.model, message.envelope.id)?;
        }
        Ok(())
    }
}

impl Witness {
    /// An instance of rendezvous receives a batch.
    pub(crate) fn hears(&self, actor: &Actor, batch: &StreamBatch<'_>) -> Delivered {
        let records = batch.records().iter().flatten();
        let seen = &mut *self.seen();
        let parsed = records
            .clone()
            .enumerate()
            .filter_map(|(index, record)| Some((index, seen.score(&record.content.bytes)?)));
        let scores: Vec<_> = parsed.collect();
        let sequences = records.map(|record| record.sequence.to_string()).collect();
        let (at, (_, jumps)) = (now(), actor.disturbances());
        for (_, message) in &scores {
            seen.heard.insert((actor.key(), message.score.model.clone()), (at, jumps));
        }
        Delivered { scores, sequences, disturbances: actor.disturbances() }
    }

    /// The instance responds: of the records before the first that it names it takes care.
    pub(crate) fn acknowledges(
        &self,
        ledger: &MemoryLedger,
        actor: &Actor,
        delivered: &Delivered,
        response: &Response,
    ) {
        if actor.disturbances() != delivered.disturbances {
            // By another clock another score is too late.
            let ids = delivered.scores.iter().map(|(_, message)| message.envelope.id);
            self.seen().late.extend(ids);
            return;
        }
        let failed = response.batch_item_failures.first();
        let failed = failed.map(|failed| {
            delivered.sequences.iter().position(|sequence| *sequence == failed.item_identifier)
        });
        let end = failed.map_or(usize::MAX, |index| index.unwrap_or(0));
        let seen = &mut *self.seen();
        let mut done = HashSet::new();
        for (index, message) in &delivered.scores {
            if *index < end && done.insert((message.envelope.id, &message.score.model)) {
                unmutated(|| self.is_filed(ledger, seen, message));
            }
        }
    }

    fn is_filed(&self, ledger: &MemoryLedger, seen: &mut Seen, message: &ScoreMessage) {
        let at = now();
        let ScoreMessage { envelope, score, .. } = message;
        let Some(endpoint) = seen.endpoint(envelope) else { return };
        let is_listed = endpoint.configuration.schedule(&envelope.arm).lists(&score.model);
        let is_kept = true_time() < envelope.received + self.retention;
        if at.since(envelope.deadline) > FILED_FOR {
            seen.late.insert(envelope.id);
            return;
        }
        if !is_listed || !is_kept {
            return;
        }
        let read = ledger.read(envelope.id, Consistency::Strong).now_or_never();
        let mailbox = read.and_then(Result::ok).flatten();
        let filed = mailbox.is_some_and(|mailbox| {
            mailbox.decision.is_some() || mailbox.result_of(&score.model).is_some()
        });
        if !filed {
            let what = format!("the acknowledged score of {} is not filed", score.model);
            seen.violation(Invariant::Filed, envelope.id, what);
        }
    }
}

/// An instance proposes a decision that presumes models silent.
pub(super) fn presumes(seen: &mut Seen, actor: &Actor, id: RequestId, decision: &Decision) {
    let (at, (_, jumps)) = (now(), actor.disturbances());
    for model in &decision.presumed {
        let heard = seen.heard.get(&(actor.key(), model.clone()));
        if let Some((last, jumped)) = heard
            && *jumped == jumps
            && at.since(*last) < QUIET_FOR
        {
            let ms = at.since(*last).as_millis();
            let what =
                format!("{} presumes {model} silent, which it heard {ms} ms ago", actor.name());
            seen.violation(Invariant::Presumed, id, what);
        }
    }
}
