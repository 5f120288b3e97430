//! Asking: one request in, one answer out, in time.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, join_all, select};
use rendezvous_core::{
    Endpoint, EndpointName, Envelope, Json, Kind, Mailbox, Opening, Payload, RequestId,
    RequestMessage, Sha256Digest, Timestamp, Unavailable, Write, Written,
    limits::MAX_DEADLINE,
    mutation::{Mutation, mutated},
    now,
    payloads::{PAYLOAD_STORE, store},
    ports::{Consistency, Ledger, Record, Secrets, Stream},
    settle::{RequestState, Settled, give_up, unavailable},
    within,
};

use crate::{
    Answered, Ingress, Ports, Refusal, RequestOptions, TABLE_LIMIT,
    asked::{Answer, Ask, Asked, Refused},
    failures::failures,
    read::missing_version,
    wait::{Waited, wait},
};

/// A request that is understood.
struct Call {
    options: RequestOptions,
    payload: Json,
    /// Of the payload, where it is needed: for an opening, and for a payload that is stored.
    digest: Option<Sha256Digest>,
    endpoint: Arc<Endpoint>,
    envelope: Arc<Envelope>,
    /// When this call came in. A repeat's envelope is that of the first call.
    received: Timestamp,
    /// When ingress began with this call: after a cold start later than `received`.
    begun: Timestamp,
    owner: Option<[u8; 16]>,
    repeat: bool,
}

/// Waits for `call`, and runs `other` until then.
async fn beside<T>(call: impl Future<Output = T>, other: Option<impl Future<Output = ()>>) -> T {
    // On the heap, because there seldom is one.
    let Some(other) = other.map(Box::pin) else { return call.await };
    match select(pin!(call), other).await {
        Either::Left((waited, _)) => waited,
        Either::Right(((), call)) => call.await,
    }
}

/// What came of opening a mailbox.
enum Opened {
    /// By this call, with this envelope.
    Now(Arc<Endpoint>, Arc<Envelope>),
    /// By a call before: its endpoint and envelope count.
    Before(Arc<Endpoint>, Mailbox, Opening),
}

impl<P: Ports> Ingress<P> {
    /// Asks the models and returns the decision, or for `respond_async` the envelope.
    pub async fn ask(&self, ask: Ask) -> Result<Asked, Refused> {
        let place = self.places.try_acquire();
        self.ask_if(place.is_ok(), ask).await
    }

    /// Asks several requests at the same time; the answers are in the order of the requests. There is room
    /// for all of them or for none.
    pub async fn ask_all(&self, asks: Vec<Ask>) -> Vec<Result<Asked, Refused>> {
        let count = u32::try_from(asks.len()).unwrap_or(u32::MAX);
        let places = self.places.try_acquire_many(count);
        join_all(asks.into_iter().map(|ask| self.ask_if(places.is_ok(), ask))).await
    }

    async fn ask_if(&self, admitted: bool, ask: Ask) -> Result<Asked, Refused> {
        let id = ask.id;
        let refused = |refusal| Refused { request: id, refusal };
        let call = self.understand(ask).await.map_err(refused)?;
        let request = call.envelope.id;
        let answered = if admitted { self.answer(call).await } else { self.turn_away(&call) };
        answered.map_err(|refusal| Refused { request, refusal })
    }

    /// Answers a request that there is no room for, at once and without any other call: with the fallback, or
    /// not at all where there is none and where nobody waits.
    fn turn_away(&self, call: &Call) -> Result<Asked, Refusal> {
        let decision = unavailable(&call.endpoint, &call.envelope, now());
        if decision.kind == Kind::None || call.options.respond_async {
            return Err(Refusal::Busy);
        }
        // There are many of them when there are any: none is logged.
        Ok(self.answered(call, Waited::unsettled(decision, Vec::new()), None))
    }

    async fn understand(&self, ask: Ask) -> Result<Call, Refusal> {
        let Ask { endpoint: name, payload, options, id, caller, received } = ask;
        options.check()?;
        let begun = now();
        // Until the schedule is known, only the client's own deadline is.
        let longest = received + options.deadline.unwrap_or(MAX_DEADLINE);
        let limit = self.due(longest, begun).since(now());
        let current = within("endpoints table", limit, self.endpoints.current(&name)).await?;
        let endpoint = current.ok_or_else(|| Refusal::UnknownEndpoint(name.clone()))?;
        let (id, owner) = match &options.idempotency_key {
            Some(key) => {
                // The arm, and with it the deadline, is not known before the id is.
                let due = self.due(options.earliest(&endpoint, received), begun);
                self.keyed(caller.as_deref(), &name, key, due).await?
            }
            None => (id, None),
        };
        let envelope = Arc::new(options.envelope(id, &endpoint, received));
        if now() > self.due(envelope.deadline, begun) {
            // It is known now, so that a repeat has its whole time.
            let what = "the configuration was read after the deadline";
            return Err(Unavailable::timed_out("endpoints table", what).into());
        }
        let must_hash = options.opens() || self.must_store(&payload);
        let digest = must_hash.then(|| Sha256Digest::of(payload.as_str()));
        let repeat = false;
        Ok(Call { options, payload, digest, endpoint, envelope, received, begun, owner, repeat })
    }

    /// Whether a payload is too large for a message.
    fn must_store(&self, payload: &Json) -> bool {
        payload.as_str().len() > self.settings.inline_payload_bytes
    }

    /// When a call must be answered at the latest.
    ///
    /// A call with which ingress begins after its deadline, or just before, is late whatever
    /// happens. It gets the time to be sent and to be settled, so that the models see it.
    fn due(&self, deadline: Timestamp, begun: Timestamp) -> Timestamp {
        deadline.max(begun + self.settings.margin * 2)
    }

    /// The id and the owner's tag of a request with an idempotency key.
    async fn keyed(
        &self,
        caller: Option<&str>,
        name: &EndpointName,
        key: &str,
        due: Timestamp,
    ) -> Result<(RequestId, Option<[u8; 16]>), Refusal> {
        let caller = caller.ok_or_else(|| {
            let what = "An Idempotency-Key needs a token that says whose it is, by its claim sub or \
                        client_id.";
            Refusal::Malformed(what.to_owned())
        })?;
        let limit = || due.since(now()).min(TABLE_LIMIT);
        let stack = within("secrets", limit(), self.secrets.idempotency()).await?;
        // Until every mailbox with an id of the former kind is past its retention.
        if now() < stack.created + self.settings.ledger_retention {
            let former = RequestId::from_idempotency_key_before_0_2(caller, name, key);
            let read = self.ledger.read(former, Consistency::Strong);
            if within("ledger", limit(), read).await?.is_some_and(|m| m.opening.is_some()) {
                return Ok((former, None));
            }
        }
        let id = RequestId::from_idempotency_key(&stack.secret, caller, name, key);
        Ok((id, Some(stack.secret.owner(caller))))
    }

    async fn answer(&self, mut call: Call) -> Result<Asked, Refusal> {
        let opening = call.digest.filter(|_| call.options.opens());
        let mut must_send = true;
        if let Some(digest) = opening {
            match self.open(&call, *digest.as_bytes()).await {
                Ok(Opened::Now(endpoint, envelope)) => call = Call { endpoint, envelope, ..call },
                Ok(Opened::Before(endpoint, mailbox, opening)) => {
                    if !mutated(Mutation::KeepOwnEnvelope) {
                        call = Call { endpoint, envelope: mailbox.envelope.clone(), ..call };
                    }
                    call.repeat = true;
                    // A decided request needs no model, whether or not the stream has it.
                    must_send = !opening.accepted && mailbox.decision.is_none();
                    if !call.options.respond_async
                        && let Ok(settled) = Settled::of(mailbox)
                    {
                        return Ok(self.respond(&call, settled.into(), None));
                    }
                }
                // Without a mailbox the request must not be sent, it could be sent twice, and not
                // be decided, it could be another caller's.
                Err(Refusal::Unavailable(cause)) => {
                    let decision = unavailable(&call.endpoint, &call.envelope, now());
                    return self.fall_back(&call, cause, Waited::unsettled(decision, Vec::new()));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        if must_send {
            if let Err(cause) = self.send(&call).await {
                return self.cannot_send(&call, cause).await;
            }
            if opening.is_some() && !mutated(Mutation::ForgetAccepted) {
                self.mark_accepted(&call).await;
            }
        }
        if call.options.respond_async {
            return Ok(Asked::Accepted(call.envelope));
        }
        Ok(self.wait(&call).await)
    }

    async fn wait(&self, call: &Call) -> Asked {
        let sent = now();
        let margin = self.settings.margin;
        let due = self.due_of(call);
        let waiting = wait(&*self.ledger, &call.endpoint, &call.envelope, margin, due);
        let waited = beside(waiting, self.endpoints.catch_up(&call.envelope.endpoint)).await;
        self.respond(call, waited, Some(sent))
    }

    /// Opens the mailbox of a request that must not be sent twice.
    ///
    /// A mailbox that was opened before, but whose request was neither accepted by the stream nor
    /// decided, is opened again with the times of this call once its deadline has passed: so a
    /// retry that a 503 asked for can succeed.
    async fn open(&self, call: &Call, payload_sha256: [u8; 32]) -> Result<Opened, Refusal> {
        let Call { endpoint, envelope, .. } = call;
        let mut write = Write::open(envelope, payload_sha256, call.owner);
        loop {
            let limit = self.time_to_send(call);
            let mailbox = match within("ledger", limit, self.ledger.write(&write)).await? {
                Written::Applied(_) | Written::Forgotten => {
                    return Ok(Opened::Now(endpoint.clone(), envelope.clone()));
                }
                Written::Refused(mailbox) => mailbox,
            };
            // Without an opening it was a score that made this mailbox.
            let Some(opening) = mailbox.opening else {
                return Ok(Opened::Now(endpoint.clone(), envelope.clone()));
            };
            if opening.payload_sha256 != payload_sha256 && !mutated(Mutation::IgnoreDigest) {
                return Err(Refusal::KeyReused);
            }
            // The answer to this very write was lost, and the client of the ledger tried it again. A
            // mailbox that is accepted or decided was opened by another call in the same millisecond.
            let unsent = mailbox.decision.is_none() && !opening.accepted;
            if mailbox.envelope == *envelope && unsent {
                return Ok(Opened::Now(endpoint.clone(), envelope.clone()));
            }
            let in_vain = unsent && now() >= mailbox.envelope.deadline;
            if in_vain && !mutated(Mutation::KeepOldDeadline) {
                write = Write::reopen(envelope, opening);
                continue;
            }
            let former = &mailbox.envelope;
            let version = self.endpoints.version(&former.endpoint, former.config);
            let version = within("endpoints table", self.time_to_send(call), version).await?;
            let version = version.ok_or_else(|| missing_version(former))?;
            return Ok(Opened::Before(version, mailbox, opening));
        }
    }

    /// When this call must be answered at the latest. A repeat has as much time as the first call.
    /// An asynchronous call does not wait for the decision, so that it has less.
    fn due_of(&self, call: &Call) -> Timestamp {
        let Envelope { received, deadline, .. } = *call.envelope;
        let due = self.due(call.received + deadline.since(received), call.begun);
        if call.options.respond_async { due.min(call.begun + TABLE_LIMIT) } else { due }
    }

    /// How long a call before the wait may take: a margin is left for the wait.
    fn time_to_send(&self, call: &Call) -> Duration {
        (self.due_of(call) - self.settings.margin).since(now())
    }

    /// Sends the request. A payload that is too large for a message is stored first, so that whoever reads
    /// the message finds it.
    async fn send(&self, call: &Call) -> Result<(), Unavailable> {
        let Call { envelope, payload, .. } = call;
        let written = match call.digest.filter(|_| self.must_store(payload)) {
            Some(digest) => {
                let stored = store(&*self.payloads, envelope, payload, digest);
                let reference = within(PAYLOAD_STORE, self.time_to_send(call), stored).await?;
                RequestMessage::write_payload(envelope, &Payload::Stored(reference))
            }
            None => RequestMessage::write(envelope, payload),
        };
        let data = written.map_err(|invalid| {
            // Everything in it was read as JSON before.
            tracing::error!(request = %envelope.id, %invalid, "a request cannot be written as JSON");
            Unavailable::down("stream input", "the message cannot be written")
        })?;
        let limit = self.time_to_send(call);
        let records = vec![Record { key: envelope.key.clone(), data }];
        let put = self.input.put(records, now() + limit);
        let put = async { put.await.map_err(|rejected| rejected.cause) };
        within("stream input", limit, put).await
    }

    async fn mark_accepted(&self, call: &Call) {
        let Call { envelope, .. } = call;
        let write = Write::accept(envelope);
        let limit = self.time_to_send(call);
        if let Err(cause) = within("ledger", limit, self.ledger.write(&write)).await {
            // At worst a repeat sends it once more.
            tracing::warn!(request = %envelope.id, %cause, "the mailbox is not marked as accepted");
        }
    }

    /// The stream does not take the request: commits the fallback at once.
    async fn cannot_send(&self, call: &Call, cause: Unavailable) -> Result<Asked, Refusal> {
        let Call { endpoint, envelope, .. } = call;
        if endpoint.configuration.schedule(&envelope.arm).fallback().is_none() {
            return Err(Refusal::Unavailable(cause));
        }
        let limit = self.due_of(call).since(now()).min(self.settings.margin * 4);
        let given_up = give_up(&*self.ledger, endpoint, envelope, now());
        let unsettled = || Waited::unsettled(unavailable(endpoint, envelope, now()), Vec::new());
        let waited = match within("ledger", limit, given_up).await {
            Ok(RequestState::Settled(settled)) => settled.into(),
            // A model has scored it: it was sent, although the stream did not confirm it.
            Ok(RequestState::Open(_)) if call.options.respond_async => {
                return Ok(Asked::Accepted(envelope.clone()));
            }
            Ok(RequestState::Open(_)) => return Ok(self.wait(call).await),
            Ok(RequestState::Reopened(_) | RequestState::Forgotten) => unsettled(),
            Err(cause) => {
                tracing::warn!(request = %envelope.id, %cause, "the fallback is not committed");
                unsettled()
            }
        };
        self.fall_back(call, cause, waited)
    }

    /// Answers without the models because of `cause`.
    fn fall_back(&self, call: &Call, cause: Unavailable, waited: Waited) -> Result<Asked, Refusal> {
        let Call { envelope, options, .. } = call;
        tracing::warn!(request = %envelope.id, endpoint = %envelope.endpoint, %cause, "the models cannot be asked");
        // An asynchronous caller reads the ledger later, so that only a commit counts.
        let nothing_to_read = options.respond_async && !waited.settled;
        if waited.decision.kind == Kind::None || nothing_to_read {
            return Err(Refusal::Unavailable(cause));
        }
        if options.respond_async {
            return Ok(Asked::Accepted(envelope.clone()));
        }
        Ok(self.respond(call, waited, None))
    }

    fn respond(&self, call: &Call, waited: Waited, sent: Option<Timestamp>) -> Asked {
        if !waited.settled {
            tracing::warn!(
                request = %call.envelope.id,
                kind = waited.decision.kind.as_str(),
                reason = waited.decision.reason.as_str(),
                "answered unsettled"
            );
        }
        self.answered(call, waited, sent)
    }

    fn answered(&self, call: &Call, waited: Waited, sent: Option<Timestamp>) -> Asked {
        let Call { envelope, endpoint, .. } = call;
        let Waited { decision, settled, scores } = waited;
        let ended = now();
        let report = Answered {
            endpoint: envelope.endpoint.clone(),
            arm: envelope.arm.clone(),
            kind: decision.kind,
            reason: decision.reason,
            settled,
            repeat: call.repeat,
            took: ended.since(call.received),
            allowed: envelope.deadline.since(envelope.received),
            margin: self.settings.margin,
        };
        let failures = failures(endpoint, &decision, &scores);
        let envelope = envelope.clone();
        Asked::Answered(Box::new(Answer {
            envelope,
            decision,
            settled,
            failures,
            sent,
            ended,
            report,
        }))
    }
}
