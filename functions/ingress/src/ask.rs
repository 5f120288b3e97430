//! Asking: one request in, one answer out, in time.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Decision, Endpoint, EndpointName, Envelope, Json, Key, Kind, Mailbox, Opening, RequestId,
    RequestMessage, Timestamp, Unavailable, Write, Written,
    limits::{MAX_ASYNC_DEADLINE, MAX_DEADLINE},
    mutation::{Mutation, mutated},
    now,
    ports::{Consistency, Ledger, Record, Secrets, Stream},
    settle::{RequestState, Settled, give_up, unavailable},
    within,
};
use sha2::{Digest, Sha256};

use crate::{
    Answered, Ingress, Ports, Refusal, TABLE_LIMIT,
    failures::{ChoiceFailure, failures},
    read::missing_version,
    wait::{Waited, wait},
};

/// What a client may say about one request beside its payload.
#[derive(Clone, Debug, Default)]
pub struct RequestOptions {
    /// A deadline of the client's own, from receipt.
    pub deadline: Option<Duration>,
    /// Return at once; the decision is read later.
    pub respond_async: bool,
    /// A repeat with the same key gets the same answer.
    pub idempotency_key: Option<String>,
    /// The partition key; by default the request's id.
    pub key: Option<Key>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Ask {
    pub endpoint: EndpointName,
    pub payload: Json,
    pub options: RequestOptions,
    /// The id of the request, unless it has an idempotency key.
    pub id: RequestId,
    /// Who calls, as the authorizer says; none where a token does not say whose it is.
    pub caller: Option<String>,
    pub received: Timestamp,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub enum Asked {
    Answered(Box<Answer>),
    /// The request is on its way; its decision is read later.
    Accepted(Arc<Envelope>),
}

/// A refusal of a request, which it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub request: RequestId,
    pub refusal: Refusal,
}

/// A decision as it is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub envelope: Arc<Envelope>,
    pub decision: Arc<Decision>,
    /// Whether its commit on the ledger is confirmed.
    pub settled: bool,
    /// Why each choice gave no answer; empty when a model answered.
    pub failures: Vec<ChoiceFailure>,
    /// When the stream had accepted the request; none when this call did not send it.
    pub sent: Option<Timestamp>,
    pub ended: Timestamp,
    pub report: Answered,
}

/// A request that is understood.
struct Call {
    options: RequestOptions,
    payload: Json,
    endpoint: Arc<Endpoint>,
    envelope: Arc<Envelope>,
    /// When this call came in. A repeat's envelope is that of the first call.
    received: Timestamp,
    owner: Option<[u8; 16]>,
    repeat: bool,
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
        let id = ask.id;
        let refused = |refusal| Refused { request: id, refusal };
        let call = self.understand(ask).await.map_err(refused)?;
        let request = call.envelope.id;
        self.answer(call).await.map_err(|refusal| Refused { request, refusal })
    }

    async fn understand(&self, ask: Ask) -> Result<Call, Refusal> {
        let Ask { endpoint: name, payload, options, id, caller, received } = ask;
        let endpoint = self.describe(&name).await?;
        check_deadline(&options)?;
        let (id, owner) = match &options.idempotency_key {
            Some(key) => self.keyed(caller.as_deref(), &name, key).await?,
            None => (id, None),
        };
        let envelope = Arc::new(envelope(id, &endpoint, &options, received));
        Ok(Call { options, payload, endpoint, envelope, received, owner, repeat: false })
    }

    /// The id and the owner's tag of a request with an idempotency key.
    async fn keyed(
        &self,
        caller: Option<&str>,
        name: &EndpointName,
        key: &str,
    ) -> Result<(RequestId, Option<[u8; 16]>), Refusal> {
        let caller = caller.ok_or_else(|| {
            let what = "An Idempotency-Key needs a token that says whose it is, by its claim sub or \
                        client_id.";
            Refusal::Malformed(what.to_owned())
        })?;
        let stack = within("secrets", TABLE_LIMIT, self.secrets.idempotency()).await?;
        // Until every mailbox with an id of the former kind is past its retention.
        if now() < stack.created + self.settings.ledger_retention {
            let former = RequestId::from_idempotency_key_before_0_2(caller, name, key);
            let read = self.ledger.read(former, Consistency::Strong);
            if within("ledger", TABLE_LIMIT, read).await?.is_some_and(|m| m.opening.is_some()) {
                return Ok((former, None));
            }
        }
        let id = RequestId::from_idempotency_key(&stack.secret, caller, name, key);
        Ok((id, Some(stack.secret.owner(caller))))
    }

    async fn answer(&self, mut call: Call) -> Result<Asked, Refusal> {
        let opens = call.options.idempotency_key.is_some() || call.options.respond_async;
        let mut must_send = true;
        if opens {
            match self.open(&call).await {
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
            if opens && !mutated(Mutation::ForgetAccepted) {
                self.mark_accepted(&call.envelope).await;
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
        let waited = wait(&*self.ledger, &call.endpoint, &call.envelope, margin).await;
        self.respond(call, waited, Some(sent))
    }

    /// Opens the mailbox of a request that must not be sent twice.
    ///
    /// A mailbox that was opened before, but whose request was neither accepted by the stream nor
    /// decided, is opened again with the times of this call once its deadline has passed: so a
    /// retry that a 503 asked for can succeed.
    async fn open(&self, call: &Call) -> Result<Opened, Refusal> {
        let Call { endpoint, envelope, .. } = call;
        let payload_sha256 = Sha256::digest(call.payload.as_str()).into();
        let mut write = Write::open(envelope, payload_sha256, call.owner);
        loop {
            let limit = self.time_to_send(envelope);
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
            let version = self.endpoints.version(&former.endpoint, former.config).await?;
            let version = version.ok_or_else(|| missing_version(former))?;
            return Ok(Opened::Before(version, mailbox, opening));
        }
    }

    /// How long the calls before the wait may take.
    fn time_to_send(&self, envelope: &Envelope) -> Duration {
        let margin = self.settings.margin;
        (envelope.deadline - margin).since(now()).max(margin)
    }

    async fn send(&self, call: &Call) -> Result<(), Unavailable> {
        let Call { envelope, payload, .. } = call;
        let data = RequestMessage::write(envelope, payload).map_err(|invalid| {
            // Everything in it was read as JSON before.
            tracing::error!(request = %envelope.id, %invalid, "a request cannot be written as JSON");
            Unavailable::down("stream input", "the message cannot be written")
        })?;
        let limit = self.time_to_send(envelope);
        let records = vec![Record { key: envelope.key.clone(), data }];
        let put = self.input.put(records, now() + limit);
        let put = async { put.await.map_err(|rejected| rejected.cause) };
        within("stream input", limit, put).await
    }

    async fn mark_accepted(&self, envelope: &Arc<Envelope>) {
        let write = Write::accept(envelope);
        let limit = self.time_to_send(envelope);
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
        let limit = self.time_to_send(envelope).min(self.settings.margin * 4);
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
        let Call { envelope, endpoint, .. } = call;
        let Waited { decision, settled, scores } = waited;
        let ended = now();
        if !settled {
            tracing::warn!(
                request = %envelope.id,
                kind = decision.kind.as_str(),
                reason = decision.reason.as_str(),
                "answered unsettled"
            );
        }
        let report = Answered {
            endpoint: envelope.endpoint.clone(),
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

/// A deadline of the client's own is at most 29 s, or 15 minutes for an asynchronous request.
fn check_deadline(options: &RequestOptions) -> Result<(), Refusal> {
    let longest = if options.respond_async { MAX_ASYNC_DEADLINE } else { MAX_DEADLINE };
    match options.deadline {
        Some(deadline) if deadline > longest => Err(Refusal::Malformed(format!(
            "The deadline is {} ms; it must be at most {} ms, or {} ms with Prefer: respond-async.",
            deadline.as_millis(),
            MAX_DEADLINE.as_millis(),
            MAX_ASYNC_DEADLINE.as_millis(),
        ))),
        _ => Ok(()),
    }
}

fn envelope(
    id: RequestId,
    endpoint: &Endpoint,
    options: &RequestOptions,
    received: Timestamp,
) -> Envelope {
    let key = options.key.clone().unwrap_or_else(|| id.to_key());
    let arm = endpoint.configuration.assign(&key, received);
    let schedule = endpoint.configuration.schedule(&arm);
    let allowed = match options.deadline {
        // Nobody waits, so the client may allow the models more time than the schedule does.
        Some(deadline) if options.respond_async => deadline,
        Some(deadline) => deadline.min(schedule.deadline()),
        None => schedule.deadline(),
    };
    Envelope {
        id,
        endpoint: endpoint.name.clone(),
        config: endpoint.version,
        arm,
        key,
        received,
        // `wait=0` means the shortest deadline.
        deadline: received + allowed.max(Duration::from_millis(1)),
        traceparent: options.traceparent.clone(),
    }
}
