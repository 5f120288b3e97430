//! Runs a function from its beginning through a list of events, up to its next call of a port.
//!
//! Between two events a function depends on nothing but what it was told, so that the list of events
//! stands for the state that it has reached.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use rendezvous::Rendezvous;
use rendezvous_aws::batch::{Batch, Data, Record, Response, StreamBatch};
use rendezvous_core::{
    Decision, Endpoint, Envelope, Failure, FailureKind, Json, Kind, Provenance, Reason, Score,
    ScoreMessage, Timestamp, clock,
    memory::{MemoryEndpoints, MemoryOutcomes, MemoryPayloads, MemorySecrets},
    now,
    ports::{EndpointTable, NoTelemetry},
};
use rendezvous_ingress::{
    Ask, Asked, Dependencies, Ingress, Ports, Refusal, RequestOptions, Settings,
};
use tokio::runtime::Runtime;

use crate::{
    ports::{Answer, Call, ScriptedLedger, ScriptedStream, Slot},
    setups::{CALLER, ENDPOINT, IDEMPOTENCY_KEY, MARGIN, Role, SECRET, START, Sends, Setup},
};

/// A record of the stream `scores`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) model: &'static str,
    pub(crate) sends: Sends,
    /// How often the model had sent a message about the request before. Each score is another.
    pub(crate) run: u8,
}

/// What happens to an actor. An instant is its number in the setup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The call of a client or reader begins.
    Begin(usize),
    /// An instance is handed the records from the position `first` on.
    Invoke {
        at: usize,
        first: usize,
        messages: Vec<Message>,
    },
    /// The clock has moved on.
    Clock(usize),
    Answer(Answer),
}

/// What an actor does after an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Does {
    /// It waits for the answer to its call of this number.
    Calls(u32, Call),
    /// It waits for the clock.
    Sleeps,
    Ended(Arc<Outcome>),
}

/// What a call or a batch ended with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// A settled answer, or the read of a decision.
    Settled {
        decision: Arc<Decision>,
        envelope: Arc<Envelope>,
    },
    Unsettled(Kind, Reason),
    /// The request is on its way.
    Accepted,
    /// A read found no decision.
    Open,
    UnknownRequest,
    KeyReused,
    Unavailable,
    /// The records before this position are acknowledged.
    Handled(usize),
}

struct Scripted;

impl Ports for Scripted {
    type Endpoints = MemoryEndpoints;
    type Input = ScriptedStream;
    type Ledger = ScriptedLedger;
    type Outcomes = MemoryOutcomes;
    type Payloads = MemoryPayloads;
    type Secrets = MemorySecrets;
    type Telemetry = NoTelemetry;
}

/// Before this, a presuming instance has heard two messages of another model than the first choice.
const WARM_UP: Duration = Duration::from_secs(70);

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
}

type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// What an actor of `role` does after `events`.
pub(crate) fn run(setup: &Setup, role: Role, events: &[Event]) -> Does {
    RUNTIME.with(|runtime| runtime.block_on(play(setup, role, events)))
}

async fn play(setup: &Setup, role: Role, events: &[Event]) -> Does {
    clock::simulate(START - WARM_UP);
    let slot = Arc::new(Slot::default());
    let instance = match role {
        Role::Rendezvous { presuming, .. } => Some(instance(setup, &slot, presuming).await),
        _ => None,
    };
    let mut running: Option<Running> = None;
    let mut does = Does::Sleeps;
    for event in events {
        match event {
            Event::Clock(at) => wait_until(setup.at(*at)).await,
            Event::Answer(answer) => slot.answer(answer.clone()),
            Event::Begin(at) => {
                wait_until(setup.at(*at)).await;
                running = Some(call(setup, role, *at, &slot).await);
            }
            Event::Invoke { at, first, messages } => {
                wait_until(setup.at(*at)).await;
                let instance = instance.clone().expect("an instance of rendezvous");
                running = Some(invocation(instance, *first, messages));
            }
        }
        let future = running.as_mut().expect("an actor that has begun");
        does = match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            Poll::Ready(outcome) => {
                running = None;
                Does::Ended(Arc::new(outcome))
            }
            Poll::Pending => match slot.waiting() {
                Some((number, call)) => Does::Calls(number, call),
                None => Does::Sleeps,
            },
        };
    }
    does
}

/// Moves the clock on and lets every timer that is due fire.
async fn wait_until(instant: Timestamp) {
    tokio::time::advance(instant.since(now())).await;
}

/// The endpoints at an instant.
async fn endpoints(setup: &Setup, at: usize) -> Arc<MemoryEndpoints> {
    let table = MemoryEndpoints::default();
    let published = setup.versions_at(at) as u64;
    for version in 1..=published {
        let configuration = setup.configuration(version).expect("a version of the setup");
        let provenance = Provenance::new("tests", "").expect("a provenance");
        let expected = (version > 1).then(|| version - 1);
        table.publish(&ENDPOINT, configuration, provenance, expected).await.expect("published");
    }
    Arc::new(table)
}

/// The endpoint as a version of its configuration makes it.
pub(crate) fn endpoint(setup: &Setup, version: u64) -> Option<Endpoint> {
    let configuration = setup.configuration(version)?;
    Some(Endpoint { name: ENDPOINT.clone(), version, configuration })
}

async fn call(setup: &Setup, role: Role, at: usize, slot: &Arc<Slot>) -> Running {
    let dependencies = Dependencies::<Scripted> {
        endpoints: endpoints(setup, at).await,
        input: Arc::new(ScriptedStream(slot.clone())),
        ledger: Arc::new(ScriptedLedger(slot.clone())),
        outcomes: Arc::default(),
        payloads: Arc::default(),
        // Older than the ledger's retention, so that no id of a former kind is looked up.
        secrets: Arc::new(
            MemorySecrets::new(&SECRET, Timestamp::from_micros(0)).expect("a secret"),
        ),
        telemetry: Arc::new(NoTelemetry),
    };
    let settings = Settings {
        margin: MARGIN,
        max_payload_bytes: 1_000,
        inline_payload_bytes: 1_000,
        ledger_retention: Duration::from_hours(72),
        in_flight: 1,
    };
    let ingress = Ingress::new(dependencies, settings);
    let id = setup.request();
    match role {
        Role::Ask { respond_async, payload } => {
            let key = setup.keyed.then(|| IDEMPOTENCY_KEY.to_owned());
            let options =
                RequestOptions { respond_async, idempotency_key: key, ..Default::default() };
            let ask = Ask {
                endpoint: ENDPOINT.clone(),
                payload: Json::parse(&payload.to_string()).expect("JSON"),
                options,
                id,
                caller: Some(CALLER.to_owned()),
                received: now(),
            };
            Box::pin(async move { answered(ingress.ask(ask).await) })
        }
        Role::Read => Box::pin(async move {
            match ingress.read(&ENDPOINT, id, Some(CALLER)).await {
                Ok(reading) => match reading.state {
                    Ok(settled) => {
                        Outcome::Settled { decision: settled.decision, envelope: reading.envelope }
                    }
                    Err(_) => Outcome::Open,
                },
                Err(refusal) => refused(&refusal),
            }
        }),
        Role::Rendezvous { .. } => panic!("an instance of rendezvous is invoked with a batch"),
    }
}

fn answered(answer: Result<Asked, rendezvous_ingress::Refused>) -> Outcome {
    match answer {
        Ok(Asked::Answered(answer)) if answer.settled => {
            Outcome::Settled { decision: answer.decision, envelope: answer.envelope }
        }
        Ok(Asked::Answered(answer)) => {
            Outcome::Unsettled(answer.decision.kind, answer.decision.reason)
        }
        Ok(Asked::Accepted(_)) => Outcome::Accepted,
        Err(refused) => self::refused(&refused.refusal),
    }
}

fn refused(refusal: &Refusal) -> Outcome {
    match refusal {
        Refusal::UnknownRequest(..) => Outcome::UnknownRequest,
        Refusal::KeyReused => Outcome::KeyReused,
        Refusal::Unavailable(_) => Outcome::Unavailable,
        other => panic!("the setup allows no such call: {other:?}"),
    }
}

type Instance = Arc<Rendezvous<MemoryEndpoints, ScriptedLedger, NoTelemetry>>;

async fn instance(setup: &Setup, slot: &Arc<Slot>, presuming: bool) -> Instance {
    let last = setup.instants.len() - 1;
    let endpoints = endpoints(setup, last).await;
    let ledger = Arc::new(ScriptedLedger(slot.clone()));
    let instance = Arc::new(Rendezvous::new(endpoints, ledger, Arc::new(NoTelemetry)));
    if presuming {
        warm_up(setup, &instance).await;
    }
    instance
}

/// Lets an instance hear of two expired requests that the last model alone has answered, so that it
/// presumes the others silent, without a call of the ledger.
async fn warm_up(setup: &Setup, instance: &Instance) {
    let (model, _) = setup.models.last().expect("a model");
    let begun = now();
    for (number, received) in [begun - WARM_UP, begun].into_iter().enumerate() {
        let envelope = Envelope {
            id: format!("0199a3c0-0000-7000-8000-00000000010{number}").parse().expect("an id"),
            received,
            deadline: received + Duration::from_millis(1),
            ..first_envelope(setup)
        };
        let message = Message { envelope: envelope.into(), model, sends: Sends::Score, run: 0 };
        instance.handle(batch(0, &[message])).await;
        wait_until(START - Duration::from_secs(5)).await;
    }
}

/// The envelope of a request that is received at the first instant.
fn first_envelope(setup: &Setup) -> Envelope {
    let deadline = setup.configuration(1).expect("a version");
    let arm = rendezvous_core::Arm::main();
    Envelope {
        id: setup.request(),
        endpoint: ENDPOINT.clone(),
        config: 1,
        key: setup.request().to_key(),
        received: START,
        deadline: START + deadline.schedule(&arm).deadline(),
        arm,
        traceparent: None,
        skip: Vec::new(),
        replay: None,
    }
}

fn invocation(instance: Instance, first: usize, messages: &[Message]) -> Running {
    let batch = batch(first, messages);
    let end = first + messages.len();
    Box::pin(async move { Outcome::Handled(acknowledged(&instance.handle(batch).await, end)) })
}

/// The position before which a response acknowledges records.
fn acknowledged(response: &Response, end: usize) -> usize {
    response
        .batch_item_failures
        .first()
        .map_or(end, |failure| failure.item_identifier.parse().expect("a sequence number"))
}

/// Records of the stream `scores`; a record's sequence number is its position on it.
fn batch(first: usize, messages: &[Message]) -> StreamBatch<'static> {
    let record = |(index, message): (usize, &Message)| {
        let raw = serde_json::value::to_raw_value(&*message.envelope).expect("an envelope");
        let bytes = ScoreMessage::write(&raw, &score(message), None).expect("a message");
        let data = Data::new(message.envelope.key.as_str().to_owned(), bytes);
        Record::new("shardId-000000000000", (first + index).to_string(), START, data)
    };
    Batch::new("arn", messages.iter().enumerate().map(record).collect())
}

/// The result that a message carries.
fn score(message: &Message) -> Score {
    let Message { model, run, .. } = message;
    let result = match message.sends {
        Sends::Score => {
            Ok(Json::parse(&format!("{{\"by\":{model:?},\"run\":{run}}}")).expect("JSON"))
        }
        Sends::Failure => Err(Failure::new(FailureKind::Failed, format_args!("run {run}"))),
    };
    Score { model: model.parse().expect("a model id"), started: START, finished: START, result }
}
