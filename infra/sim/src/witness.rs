//! Who sees what every actor does, and checks the invariants at every step.

mod answers;
mod batches;
mod decisions;
mod payloads;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rendezvous_core::{
    Decision, Endpoint, EndpointName, Envelope, Mailbox, ModelId, RequestId, RequestMessage,
    ScoreMessage, Timestamp, Write, Written,
    clock::with_clock_ahead,
    mutation::unmutated,
    now,
    ports::Record,
    write::{Assignment, Requirement},
};

use crate::{
    Actor,
    actor::Role,
    invariant::{Invariant, Violation},
};

/// Sees what every actor does, and checks the invariants at every step.
#[derive(Debug)]
pub struct Witness {
    retention: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    endpoints: HashMap<(EndpointName, u64), Arc<Endpoint>>,
    requests: HashMap<RequestId, Known>,
    /// When an instance last received a message of a model, by its own clock, and how often that
    /// clock had jumped.
    heard: HashMap<(u64, ModelId), (Timestamp, u32)>,
    /// The calls that ingress is answering, by instance.
    calls: HashMap<u64, answers::Call>,
    /// Requests whose scores were not filed because they came too late.
    late: HashSet<RequestId>,
    /// The requests whose callers have got an answer.
    told: HashSet<RequestId>,
    /// Every decision.
    decisions: Vec<(RequestId, Arc<Decision>)>,
    messages: Messages,
    /// The records of `messages.scores`, by where their bytes are: a record is read once, however
    /// often it is delivered.
    scores: HashMap<usize, (Bytes, Arc<ScoreMessage>)>,
    payloads: payloads::Stored,
    answers: Answers,
    violations: Vec<Violation>,
}

/// What is known of a request.
#[derive(Debug)]
struct Known {
    /// As it was last sent or opened.
    envelope: Arc<Envelope>,
    /// When each opening was received.
    openings: Vec<Timestamp>,
    /// When the opening was received that is marked as accepted.
    accepted: Option<Timestamp>,
    decided: Option<Decided>,
    /// Since when a caller has been told a settled answer, in true time.
    told: Option<Timestamp>,
    /// What identifies the payload that has got a settled answer, for a request with a key.
    payload: Option<u64>,
}

#[derive(Debug)]
struct Decided {
    decision: Arc<Decision>,
    received: Timestamp,
}

/// Every message that was put on the streams.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    pub input: Vec<Bytes>,
    /// Those that can be read.
    pub scores: Vec<Arc<ScoreMessage>>,
}

/// The answers of ingress, counted.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub decided: u64,
    pub unsettled: u64,
    pub accepted: u64,
    /// Without a decision: 503, 504, or the instance died.
    pub none: u64,
    /// Late because of the instance itself, by cause.
    pub marked: BTreeMap<&'static str, u64>,
}

impl Witness {
    /// A witness of a system whose ledger keeps mailboxes for `retention`.
    pub fn new(retention: Duration) -> Self {
        Self { retention, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A configuration is published.
    pub fn published(&self, endpoint: &Arc<Endpoint>) {
        let key = (endpoint.name.clone(), endpoint.version);
        self.seen().endpoints.insert(key, endpoint.clone());
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    /// An invariant does not hold.
    pub fn report(&self, violation: Violation) {
        self.seen().violations.push(violation);
    }

    pub fn answers(&self) -> Answers {
        self.seen().answers.clone()
    }

    /// Every message that was put on the streams so far.
    pub fn messages(&self) -> Messages {
        self.seen().messages.clone()
    }

    /// How many requests the stream `input` has accepted so far, repeats included.
    pub fn requests(&self) -> usize {
        self.seen().messages.input.len()
    }

    /// The configuration that a request is decided under.
    pub fn endpoint(&self, envelope: &Envelope) -> Option<Arc<Endpoint>> {
        self.seen().endpoint(envelope)
    }

    /// Whether a caller has got an answer to the request.
    pub fn is_told(&self, id: RequestId) -> bool {
        self.seen().told.contains(&id)
    }

    /// Whether a score of the request came more than a minute after its deadline.
    pub fn is_late(&self, id: RequestId) -> bool {
        self.seen().late.contains(&id)
    }

    /// Every request that was sent or has a mailbox, by id.
    pub fn known(&self) -> Vec<RequestId> {
        let mut known: Vec<RequestId> = self.seen().requests.keys().copied().collect();
        known.sort_unstable();
        known
    }

    /// The requests that were decided, with their decisions.
    pub fn decisions(&self) -> Vec<(RequestId, Arc<Decision>)> {
        self.seen().decisions.clone()
    }

    /// Somebody reads a mailbox.
    pub(crate) fn sees(&self, mailbox: &Mailbox) {
        let seen = &mut *self.seen();
        unmutated(|| decisions::sees(seen, mailbox, self.retention));
    }

    /// An actor is about to write to the ledger.
    pub(crate) fn proposes(&self, actor: &Actor, write: &Write) {
        let seen = &mut *self.seen();
        for assignment in &write.set {
            match assignment {
                Assignment::Decision(decision) if actor.role() == Role::Rendezvous => {
                    batches::presumes(seen, actor, write.envelope.id, decision);
                }
                Assignment::Accepted => {
                    if let Some(call) = seen.calls.get_mut(&actor.key()) {
                        call.marked = true;
                    }
                }
                Assignment::Envelope => seen.begins_with(actor, &write.envelope),
                _ => {}
            }
        }
    }

    /// A write has taken effect, or was refused.
    pub(crate) fn wrote(&self, write: &Write, written: &Written) {
        let seen = &mut *self.seen();
        match written {
            Written::Applied(mailbox) => {
                seen.expects(write);
                let opens = write.set.iter().any(|each| matches!(each, Assignment::Envelope));
                if opens {
                    seen.opened(mailbox, self.retention);
                }
                unmutated(|| decisions::sees(seen, mailbox, self.retention));
            }
            Written::Refused(mailbox) => {
                unmutated(|| decisions::sees(seen, mailbox, self.retention));
            }
            Written::Forgotten => {}
        }
    }

    /// An actor is about to put records on a stream.
    pub(crate) fn sends(&self, actor: &Actor, records: &[Record]) {
        if actor.role() != Role::Ingress {
            return;
        }
        let seen = &mut *self.seen();
        for record in records {
            let Ok(message) = RequestMessage::parse(&record.data) else { continue };
            let envelope = Arc::new(message.envelope);
            seen.begins_with(actor, &envelope);
            answers::sends(seen, actor, &envelope);
        }
    }

    /// Something goes wrong between an instance and what it depends on.
    pub(crate) fn troubles(&self, actor: &Actor) {
        if let Some(call) = self.seen().calls.get_mut(&actor.key()) {
            call.troubled = true;
        }
    }

    /// The stream has confirmed the records.
    pub(crate) fn sent(&self, actor: &Actor) {
        if let Some(call) = self.seen().calls.get_mut(&actor.key()) {
            call.sent = true;
        }
    }

    /// Records are on a stream.
    pub(crate) fn puts(&self, actor: &Actor, records: &[Record]) {
        let seen = &mut *self.seen();
        for Record { data, .. } in records {
            if actor.role() == Role::Ingress {
                seen.messages.input.push(data.clone());
            } else if let Some(message) = seen.score(data) {
                seen.messages.scores.push(message);
            }
        }
    }
}

impl Seen {
    /// The score in a record.
    fn score(&mut self, data: &Bytes) -> Option<Arc<ScoreMessage>> {
        let place = data.as_ptr() as usize;
        if let Some((_, message)) = self.scores.get(&place) {
            return Some(message.clone());
        }
        let message = Arc::new(ScoreMessage::parse(data).ok()?);
        self.scores.insert(place, (data.clone(), message.clone()));
        Some(message)
    }

    fn violation(&mut self, invariant: Invariant, request: RequestId, what: impl Into<String>) {
        let (request, what) = (Some(request), what.into());
        self.violations.push(Violation { invariant, request, what });
    }

    fn endpoint(&self, envelope: &Envelope) -> Option<Arc<Endpoint>> {
        self.endpoints.get(&(envelope.endpoint.clone(), envelope.config)).cloned()
    }

    fn known(&mut self, envelope: &Arc<Envelope>) -> &mut Known {
        self.requests.entry(envelope.id).or_insert_with(|| Known {
            envelope: envelope.clone(),
            openings: Vec::new(),
            accepted: None,
            decided: None,
            told: None,
            payload: None,
        })
    }

    /// An instance of ingress sends or opens a request with this envelope.
    fn begins_with(&mut self, actor: &Actor, envelope: &Arc<Envelope>) {
        self.known(envelope);
        if let Some(call) = self.calls.get_mut(&actor.key()) {
            call.envelope.get_or_insert_with(|| envelope.clone());
        }
    }

    /// A write that was applied expected the mailbox as it was last opened.
    fn expects(&mut self, write: &Write) {
        let id = write.envelope.id;
        let last = self.requests.get(&id).and_then(|known| known.openings.last().copied());
        let other = write
            .require
            .iter()
            .any(|each| matches!(each, Requirement::OpenedAt(at) if last.is_some() && *at != last));
        if other {
            let what = "it was opened again or marked, although another call had opened it again";
            self.violation(Invariant::SentAsOpened, id, what);
        }
    }

    /// A mailbox was opened, or opened again.
    fn opened(&mut self, mailbox: &Mailbox, retention: Duration) {
        let (id, received) = (mailbox.envelope.id, mailbox.envelope.received);
        let known = self.known(&mailbox.envelope);
        let first = known.openings.first().copied().unwrap_or(received);
        if true_time() >= first + retention {
            // The former mailbox is forgotten: this is another request.
            *known = Known {
                envelope: mailbox.envelope.clone(),
                openings: Vec::new(),
                accepted: None,
                decided: None,
                told: None,
                payload: None,
            };
        }
        let (accepted, decided) = (known.accepted, known.decided.is_some());
        known.envelope = mailbox.envelope.clone();
        if !known.openings.contains(&received) {
            known.openings.push(received);
        }
        if accepted.is_some_and(|at| at != received) {
            let what = "it was opened again after the stream had accepted it";
            self.violation(Invariant::SentAsOpened, id, what);
        }
        if decided {
            self.violation(Invariant::OneDecision, id, "it was opened after its decision");
        }
    }
}

/// The time of the services, which is right.
fn true_time() -> Timestamp {
    with_clock_ahead(0, now)
}
