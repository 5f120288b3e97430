//! The ingress function: the HTTP interface. It checks what comes in, sends it to the stream
//! `input`, waits on the ledger, and answers in time. It reacts to time; the rendezvous function
//! reacts to scores.

mod http;
mod pace;
mod wait;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::http::StatusCode;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use rendezvous_core::{
    Arm, Decision, Endpoint, EndpointName, Endpoints, Envelope, Json, Kind, Mailbox, ModelId,
    Reason, RequestId, RequestMessage, Score, Timestamp, Unavailable,
    message::{MAX_PAYLOAD_BYTES, MAX_SCORE_BYTES},
    now,
    ports::{Consistency, EndpointTable, Ledger, OutcomeTable, Record, Stream},
    settle::{Standing, settle},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    http::{Call, Problem, Route, Wishes, answer, set_header},
    pace::Pace,
    wait::{Answer, give_up, wait, within},
};
pub use crate::{pace::Bounds, wait::Settings};

/// How long a call that waits for no decision may wait for a table.
const TABLE_PATIENCE: Duration = Duration::from_secs(5);

/// The largest outcome, in bytes: as for a score.
const MAX_OUTCOME_BYTES: usize = MAX_SCORE_BYTES;

/// The Lambda function of ingress.
pub struct Ingress<E, S, L, O> {
    endpoints: Endpoints<E>,
    input: Arc<S>,
    ledger: Arc<L>,
    outcomes: Arc<O>,
    settings: Settings,
    paces: Mutex<HashMap<EndpointName, Pace>>,
}

impl<E, S, L, O> Ingress<E, S, L, O>
where
    E: EndpointTable,
    S: Stream,
    L: Ledger,
    O: OutcomeTable,
{
    pub fn new(
        endpoints: Arc<E>,
        input: Arc<S>,
        ledger: Arc<L>,
        outcomes: Arc<O>,
        settings: Settings,
    ) -> Self {
        let endpoints = Endpoints::new(endpoints);
        Self { endpoints, input, ledger, outcomes, settings, paces: Mutex::default() }
    }

    /// Answers one HTTP request. Whatever goes wrong has a status and a problem document.
    pub async fn handle(
        &self,
        event: ApiGatewayV2httpRequest,
    ) -> (ApiGatewayV2httpResponse, Handled) {
        let id = RequestId::random();
        let start = now();
        let call = Call::new(event);
        let answered = match call.route() {
            Ok(Route::Ask(name)) => self.ask(&call, &name, id).await,
            Ok(Route::Read(name, id)) => {
                self.read(&name, id).await.map(Reply::from).map_err(|p| p.about(id))
            }
            Ok(Route::Report(name, id)) => {
                self.report(&call, &name, id).await.map(Reply::from).map_err(|p| p.about(id))
            }
            Ok(Route::Describe(name)) => self.describe(&name).await.map(Reply::from),
            Ok(Route::Health) => Ok(answer(StatusCode::OK, &Health { status: "ok" }).into()),
            Err(problem) => Err(problem),
        };
        let Reply { mut response, answered } =
            answered.unwrap_or_else(|problem| problem.about(id).refuse().into());
        if !response.headers.contains_key("server-timing") {
            let total = millis(now().since(start));
            set_header(&mut response.headers, "server-timing", &format!("total;dur={total}"));
        }
        let status = u16::try_from(response.status_code).unwrap_or(500);
        (response, Handled { status, answered })
    }

    /// `POST /v1/endpoints/{endpoint}/requests`
    async fn ask(&self, call: &Call, name: &EndpointName, id: RequestId) -> Result<Reply, Problem> {
        let received = call.received(now());
        let wishes = call.wishes()?;
        let payload = call.json(MAX_PAYLOAD_BYTES)?;
        let endpoint = self.endpoints.current(name).await.map_err(|e| Problem::unavailable(&e))?;
        let endpoint = endpoint.ok_or_else(|| unknown_endpoint(name))?;
        let id = match &wishes.idempotency_key {
            Some(key) => {
                let caller = call.caller().ok_or_else(|| {
                    Problem::malformed(
                        "An Idempotency-Key needs a token that says whose it is, by its claim sub or \
                         client_id."
                            .to_owned(),
                    )
                })?;
                RequestId::from_idempotency_key(caller, name, key)
            }
            None => id,
        };
        let envelope = Arc::new(envelope(id, &endpoint, &wishes, received));
        let asked = Asked {
            wishes,
            payload,
            endpoint,
            envelope,
            received,
            repeat: false,
            margin: self.settings.margin,
        };
        self.answer(asked).await.map_err(|problem| problem.about(id))
    }

    async fn answer(&self, mut asked: Asked) -> Result<Reply, Problem> {
        let opens = asked.wishes.idempotency_key.is_some() || asked.wishes.respond_async;
        let mut must_send = true;
        if opens {
            match self.open(&asked).await {
                Ok(Opened::New) => {}
                Ok(Opened::Before { endpoint, envelope, decision, accepted }) => {
                    asked = Asked { endpoint, envelope, repeat: true, ..asked };
                    if let Some(decision) = decision
                        && !asked.wishes.respond_async
                    {
                        return Ok(respond(&asked, &Answer::settled(decision), None));
                    }
                    must_send = !accepted;
                }
                // Without a mailbox of ours the request must not be sent, it could be sent twice,
                // nor be decided, it could be another's.
                Err(OpenError::Unavailable(cause)) => {
                    let answer = Answer::unavailable(&asked.endpoint, &asked.envelope);
                    return fall_back(&asked, &cause, &answer);
                }
                Err(OpenError::Problem(problem)) => return Err(problem),
            }
        }
        if must_send {
            if let Err(cause) = self.send(&asked).await {
                return self.cannot_send(&asked, &cause).await;
            }
            if opens {
                let until = asked.envelope.deadline - self.settings.margin;
                let marked = within(until, self.ledger.mark_accepted(asked.envelope.id)).await;
                if let Err(cause) = marked {
                    // The worst that follows is that a repeat sends it once more.
                    tracing::warn!(request = %asked.envelope.id, %cause, "the mailbox is not marked");
                }
            }
        }
        if asked.wishes.respond_async {
            return Ok(accepted(&asked.envelope).into());
        }
        Ok(self.wait(&asked).await)
    }

    async fn wait(&self, asked: &Asked) -> Reply {
        let sent = now();
        let Asked { endpoint, envelope, .. } = asked;
        let pace = self.paces().get(&endpoint.name).copied().unwrap_or_default();
        let answer = wait(&*self.ledger, endpoint, envelope, pace, self.settings).await;
        if let Some(taken) = answer.taken {
            self.paces().entry(endpoint.name.clone()).or_default().observe(taken);
        }
        respond(asked, &answer, Some(sent))
    }

    /// Opens the mailbox of a request that must not be sent twice.
    async fn open(&self, asked: &Asked) -> Result<Opened, OpenError> {
        let payload_sha256 = Sha256::digest(asked.payload.as_str()).into();
        let until = asked.envelope.deadline - self.settings.margin;
        let opened = within(until, self.ledger.open(&asked.envelope, payload_sha256)).await?;
        let Some(Mailbox { envelope, opening: Some(opening), decision, .. }) = opened else {
            return Ok(Opened::New);
        };
        if opening.payload_sha256 != payload_sha256 {
            return Err(OpenError::Problem(Problem::new(
                StatusCode::CONFLICT,
                "idempotency-key-reused",
                "The idempotency key was used before",
                "It came with another payload then; a key belongs to one payload.".to_owned(),
            )));
        }
        let endpoint = self.endpoints.version(&envelope.endpoint, envelope.config);
        let endpoint = within(until, endpoint).await?.ok_or_else(|| gone(&envelope))?;
        Ok(Opened::Before { endpoint, envelope, decision, accepted: opening.accepted })
    }

    async fn send(&self, asked: &Asked) -> Result<(), Unavailable> {
        let Asked { envelope, payload, .. } = asked;
        let data = RequestMessage::write(envelope, payload).map_err(|invalid| {
            // Everything in it has been read as JSON before.
            tracing::error!(request = %envelope.id, %invalid, "a request cannot be written");
            Unavailable::Down("writer of messages".into())
        })?;
        let until = (envelope.deadline - self.settings.margin).max(now() + self.settings.margin);
        let put = self.input.put(vec![Record { key: envelope.key.clone(), data }], until);
        let slow = |_| Unavailable::Down("stream (no answer in time)".into());
        let put = tokio::time::timeout(until.since(now()), put).await.map_err(slow)?;
        put.map_err(|rejected| rejected.cause)
    }

    /// The stream does not take the request: the fallback is committed, at once.
    async fn cannot_send(&self, asked: &Asked, cause: &Unavailable) -> Result<Reply, Problem> {
        let Asked { endpoint, envelope, .. } = asked;
        if endpoint.configuration.schedule.fallback().is_none() {
            return Err(Problem::unavailable(cause));
        }
        match give_up(&*self.ledger, endpoint, envelope, self.settings).await {
            Some(answer) => fall_back(asked, cause, &answer),
            None if asked.wishes.respond_async => Ok(accepted(envelope).into()),
            None => Ok(self.wait(asked).await),
        }
    }

    /// `GET /v1/endpoints/{endpoint}/requests/{id}`
    async fn read(
        &self,
        name: &EndpointName,
        id: RequestId,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let until = now() + TABLE_PATIENCE;
        let unavailable = |cause| Problem::unavailable(&cause);
        let mailbox = within(until, self.ledger.read(id, Consistency::Strong)).await;
        let Some(mailbox) = mailbox.map_err(unavailable)?.filter(|m| m.envelope.endpoint == *name)
        else {
            return Err(unknown_request(name, id));
        };
        let (envelope, scores) = (mailbox.envelope.clone(), mailbox.scores.clone());
        let endpoint = self.endpoints.version(name, envelope.config).await.map_err(unavailable)?;
        let endpoint = endpoint.ok_or_else(|| Problem::unavailable(&gone(&envelope)))?;
        let settled = settle(&*self.ledger, &endpoint, &envelope, Some(mailbox), &[], now());
        let scores = scores.iter().map(ScoreBody::new).collect();
        Ok(match within(until, settled).await.map_err(unavailable)? {
            Standing::Settled(decision) => {
                let decision = DecisionBody::new(&envelope, &decision, true);
                answer(StatusCode::OK, &MailboxBody { decision, scores })
            }
            Standing::Open(_) => answer(StatusCode::ACCEPTED, &OpenBody::new(&envelope, scores)),
            Standing::Forgotten => return Err(unknown_request(name, id)),
        })
    }

    /// `PUT /v1/endpoints/{endpoint}/requests/{id}/outcome`
    async fn report(
        &self,
        call: &Call,
        name: &EndpointName,
        id: RequestId,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let outcome = call.json(MAX_OUTCOME_BYTES)?;
        let until = now() + TABLE_PATIENCE;
        let unavailable = |cause| Problem::unavailable(&cause);
        // The request may have left the ledger long ago, so only the endpoint can be checked.
        if self.endpoints.current(name).await.map_err(unavailable)?.is_none() {
            return Err(unknown_endpoint(name));
        }
        within(until, self.outcomes.put(name, id, outcome, now())).await.map_err(unavailable)?;
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(StatusCode::NO_CONTENT.as_u16());
        Ok(response)
    }

    /// `GET /v1/endpoints/{endpoint}`
    async fn describe(&self, name: &EndpointName) -> Result<ApiGatewayV2httpResponse, Problem> {
        let endpoint = self.endpoints.current(name).await.map_err(|e| Problem::unavailable(&e))?;
        let endpoint = endpoint.ok_or_else(|| unknown_endpoint(name))?;
        Ok(answer(StatusCode::OK, &EndpointBody::new(&endpoint)))
    }

    fn paces(&self) -> MutexGuard<'_, HashMap<EndpointName, Pace>> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of one call, for whoever counts.
#[derive(Clone, Debug)]
pub struct Handled {
    /// The HTTP status.
    pub status: u16,
    /// Where the call was answered with a decision, be it that there is no answer.
    pub answered: Option<Answered>,
}

/// One request's answer, as its client met it.
#[derive(Clone, Debug)]
pub struct Answered {
    pub endpoint: EndpointName,
    pub kind: Kind,
    pub reason: Reason,
    pub settled: bool,
    /// Somebody has asked the same before, by the same idempotency key, and was answered the same.
    pub repeat: bool,
    /// From the receipt of this call to its answer.
    pub took: Duration,
    /// How long it might have taken, and the part of that at whose end it is settled.
    pub allowed: Duration,
    pub margin: Duration,
}

/// The grace after the deadline in which an answer is not late.
const GRACE: Duration = Duration::from_millis(5);

impl Answered {
    /// Which part of its time it took; 1 is the last look before the deadline.
    pub fn share(&self) -> f64 {
        let usable = self.allowed.saturating_sub(self.margin).max(Duration::from_millis(1));
        self.took.div_duration_f64(usable)
    }

    /// Whether it left more than 5 ms after its deadline.
    pub fn late(&self) -> bool {
        self.took > self.allowed + GRACE
    }
}

struct Reply {
    response: ApiGatewayV2httpResponse,
    answered: Option<Answered>,
}

impl From<ApiGatewayV2httpResponse> for Reply {
    fn from(response: ApiGatewayV2httpResponse) -> Self {
        Self { response, answered: None }
    }
}

/// A request that is understood.
struct Asked {
    wishes: Wishes,
    payload: Json,
    endpoint: Arc<Endpoint>,
    envelope: Arc<Envelope>,
    /// When this call came in. A repeat's envelope is that of the first call.
    received: Timestamp,
    repeat: bool,
    /// How long before its deadline it is settled.
    margin: Duration,
}

/// What came of opening a mailbox.
enum Opened {
    New,
    /// Somebody has opened it before: his endpoint and envelope count.
    Before {
        endpoint: Arc<Endpoint>,
        envelope: Arc<Envelope>,
        decision: Option<Arc<Decision>>,
        /// The stream has accepted the request.
        accepted: bool,
    },
}

enum OpenError {
    Problem(Problem),
    Unavailable(Unavailable),
}

impl From<Unavailable> for OpenError {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

fn envelope(id: RequestId, endpoint: &Endpoint, wishes: &Wishes, received: Timestamp) -> Envelope {
    let limits = [wishes.deadline, wishes.wait].into_iter().flatten();
    let allowed = limits.fold(endpoint.configuration.schedule.deadline(), Duration::min);
    Envelope {
        id,
        endpoint: endpoint.name.clone(),
        config: endpoint.version,
        arm: Arm::main(),
        key: wishes.key.clone().unwrap_or_else(|| id.to_key()),
        received,
        // `wait=0` is as short as it gets, not never.
        deadline: received + allowed.max(Duration::from_millis(1)),
        traceparent: wishes.traceparent.clone(),
    }
}

fn unknown_endpoint(name: &EndpointName) -> Problem {
    Problem::not_found(format!("There is no endpoint {name}."))
}

fn unknown_request(name: &EndpointName, id: RequestId) -> Problem {
    Problem::not_found(format!(
        "{name} knows no request {id}. It may be too old, or not scored by any model yet."
    ))
}

fn gone(envelope: &Envelope) -> Unavailable {
    let Envelope { endpoint, config, .. } = envelope;
    Unavailable::Down(format!("endpoints table (version {config} of {endpoint} is missing)").into())
}

fn accepted(envelope: &Envelope) -> ApiGatewayV2httpResponse {
    let mut response = answer(StatusCode::ACCEPTED, &OpenBody::new(envelope, Vec::new()));
    let location = format!("/v1/endpoints/{}/requests/{}", envelope.endpoint, envelope.id);
    set_header(&mut response.headers, "location", &location);
    set_header(&mut response.headers, "preference-applied", "respond-async");
    response
}

/// Answers with the fallback because a dependency did not let us ask the models.
fn fall_back(asked: &Asked, cause: &Unavailable, answer: &Answer) -> Result<Reply, Problem> {
    let Asked { endpoint, envelope, wishes, .. } = asked;
    tracing::warn!(request = %envelope.id, endpoint = %endpoint.name, %cause, "cannot ask the models");
    let nothing_to_read_later = wishes.respond_async && !answer.settled;
    if answer.decision.kind == Kind::None || nothing_to_read_later {
        return Err(Problem::unavailable(cause));
    }
    if wishes.respond_async {
        return Ok(accepted(envelope).into());
    }
    Ok(respond(asked, answer, None))
}

fn respond(asked: &Asked, answered: &Answer, sent: Option<Timestamp>) -> Reply {
    let Asked { envelope, .. } = asked;
    let Answer { decision, settled, .. } = answered;
    let end = now();
    let counted = Answered {
        endpoint: envelope.endpoint.clone(),
        kind: decision.kind,
        reason: decision.reason,
        settled: *settled,
        repeat: asked.repeat,
        took: end.since(asked.received),
        allowed: envelope.deadline.since(envelope.received),
        margin: asked.margin,
    };
    if !settled {
        tracing::warn!(request = %envelope.id, kind = decision.kind.as_str(), reason = decision.reason.as_str(), "answered unsettled");
    }
    if decision.kind == Kind::None {
        let waited = decision.decided.since(envelope.received).as_millis();
        let detail = match decision.reason {
            Reason::Exhausted => format!("Every model failed within {waited} ms."),
            _ => format!("No model answered within {waited} ms."),
        };
        let detail = format!("{detail} The endpoint has no fallback.");
        let problem =
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", "There is no answer", detail);
        let response = problem.about(envelope.id).refuse();
        return Reply { response, answered: Some(counted) };
    }
    let mut response = answer(StatusCode::OK, &DecisionBody::new(envelope, decision, *settled));
    let total = millis(counted.took);
    let timing = sent.map_or_else(
        || format!("total;dur={total}"),
        |sent| {
            let sending = millis(sent.since(asked.received));
            let waiting = millis(end.since(sent));
            format!("send;dur={sending}, wait;dur={waiting}, total;dur={total}")
        },
    );
    set_header(&mut response.headers, "server-timing", &timing);
    if let Some(wait) = asked.wishes.wait {
        set_header(
            &mut response.headers,
            "preference-applied",
            &format!("wait={}", wait.as_secs()),
        );
    }
    Reply { response, answered: Some(counted) }
}

/// Milliseconds with three decimals, that is, to the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct DecisionBody<'a> {
    request: RequestId,
    endpoint: &'a EndpointName,
    score: Option<&'a Json>,
    model: Option<&'a ModelId>,
    kind: Kind,
    reason: Reason,
    settled: bool,
    config: u64,
    /// From the receipt of the request to its decision, so a repeat gets the same answer.
    elapsed_ms: f64,
}

impl<'a> DecisionBody<'a> {
    fn new(envelope: &'a Envelope, decision: &'a Decision, settled: bool) -> Self {
        Self {
            request: envelope.id,
            endpoint: &envelope.endpoint,
            score: decision.score.as_ref(),
            model: decision.model.as_ref(),
            kind: decision.kind,
            reason: decision.reason,
            settled,
            config: decision.config,
            elapsed_ms: millis(decision.decided.since(envelope.received)),
        }
    }
}

#[derive(Serialize)]
struct MailboxBody<'a> {
    #[serde(flatten)]
    decision: DecisionBody<'a>,
    scores: Vec<ScoreBody<'a>>,
}

#[derive(Serialize)]
struct OpenBody<'a> {
    request: RequestId,
    endpoint: &'a EndpointName,
    config: u64,
    deadline_us: Timestamp,
    scores: Vec<ScoreBody<'a>>,
}

impl<'a> OpenBody<'a> {
    fn new(envelope: &'a Envelope, scores: Vec<ScoreBody<'a>>) -> Self {
        let Envelope { id, endpoint, config, deadline, .. } = envelope;
        Self { request: *id, endpoint, config: *config, deadline_us: *deadline, scores }
    }
}

#[derive(Serialize)]
struct ScoreBody<'a> {
    model: &'a ModelId,
    started_us: Timestamp,
    finished_us: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a rendezvous_core::Failure>,
}

impl<'a> ScoreBody<'a> {
    fn new(score: &'a Score) -> Self {
        Self {
            model: &score.model,
            started_us: score.started,
            finished_us: score.finished,
            score: score.result.as_ref().ok(),
            failure: score.result.as_ref().err(),
        }
    }
}

#[derive(Serialize)]
struct EndpointBody<'a> {
    endpoint: &'a EndpointName,
    config: u64,
    #[serde(flatten)]
    configuration: &'a rendezvous_core::Configuration,
}

impl<'a> EndpointBody<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        Self {
            endpoint: &endpoint.name,
            config: endpoint.version,
            configuration: &endpoint.configuration,
        }
    }
}
