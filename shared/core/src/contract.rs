//! What every implementation of a port must do. Each function panics where it does not.
//!
//! Every call works with new names and ids, so that it can run against a shared table as well.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "it is there to panic")]

use std::{collections::HashSet, slice, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    clock::now,
    endpoint::Endpoint,
    json::Json,
    mailbox::{Mailbox, Score},
    message::{Envelope, RequestMessage},
    names::{EndpointName, RequestId},
    ports::{
        Archive, Consistency, EndpointTable, Ledger, OutcomeTable, Proposal, Record, Stored, Stream,
    },
};

/// The rules of the ledger.
pub async fn ledger(ledger: &impl Ledger) {
    the_first_result_of_a_model_counts(ledger).await;
    the_first_decision_stands_and_closes_the_mailbox(ledger).await;
    a_settlement_that_overlooks_a_rival_writes_nothing(ledger).await;
    a_rivals_failure_does_not_stop_a_settlement(ledger).await;
    a_score_filed_before_is_not_settled_on_again(ledger).await;
    an_opened_request_is_opened_once(ledger).await;
    racing_settlers_agree(ledger).await;
}

async fn read(ledger: &impl Ledger, id: RequestId) -> Option<Mailbox> {
    ledger.read(id, Consistency::Strong).await.expect("the ledger answers")
}

async fn file(ledger: &impl Ledger, envelope: &Arc<Envelope>, scores: &[Score]) -> Mailbox {
    ledger.file(envelope, scores).await.expect("the ledger answers").expect("not forgotten")
}

async fn settle(
    ledger: &impl Ledger,
    envelope: &Arc<Envelope>,
    scores: &[Score],
    proposal: Proposal,
) -> Mailbox {
    let settled = ledger.settle(envelope, scores, proposal).await;
    settled.expect("the ledger answers").expect("not forgotten")
}

async fn the_first_result_of_a_model_counts(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    assert_eq!(read(ledger, envelope.id).await, None);
    let (a, b) = (samples::score("a@1", "1"), samples::failure("b@1"));
    let mailbox = file(ledger, &envelope, slice::from_ref(&a)).await;
    assert_eq!(mailbox.scores, slice::from_ref(&a));
    let again = [samples::failure("a@1"), b.clone(), samples::score("b@1", "2")];
    let mailbox = file(ledger, &envelope, &again).await;
    assert_eq!(mailbox.scores, [a.clone(), b.clone()]);
    let mailbox = read(ledger, envelope.id).await.expect("a mailbox");
    assert_eq!(
        mailbox,
        Mailbox { envelope: envelope.clone(), opening: None, scores: vec![a, b], decision: None }
    );
}

async fn the_first_decision_stands_and_closes_the_mailbox(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let (a, b) = (samples::score("a@1", "{\"p\": 0.50}"), samples::score("b@1", "2"));
    let first = samples::proposal(&endpoint, &envelope, slice::from_ref(&a));
    let decision = first.decision.clone();
    let mailbox = settle(ledger, &envelope, slice::from_ref(&a), first).await;
    assert_eq!(mailbox.decision.as_deref(), Some(&decision));
    assert_eq!(mailbox.scores, slice::from_ref(&a), "scores are filed in the same write");
    let other = samples::fallback(&endpoint, &envelope);
    let mailbox = settle(ledger, &envelope, slice::from_ref(&b), other).await;
    assert_eq!(mailbox.decision.as_deref(), Some(&decision));
    let mailbox = file(ledger, &envelope, &[b]).await;
    assert_eq!(mailbox.scores, [a], "nothing is filed once a decision stands");
    assert_eq!(read(ledger, envelope.id).await, Some(mailbox));
}

async fn a_settlement_that_overlooks_a_rival_writes_nothing(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let (a, b) = (samples::score("a@1", "1"), samples::score("b@1", "2"));
    file(ledger, &envelope, slice::from_ref(&a)).await;
    let mut proposal = samples::fallback(&endpoint, &envelope);
    proposal.rivals = vec![b.model.clone(), a.model.clone()];
    let mailbox = settle(ledger, &envelope, &[b], proposal).await;
    assert_eq!(mailbox.decision, None);
    assert_eq!(mailbox.scores, [a]);
    assert_eq!(read(ledger, envelope.id).await, Some(mailbox));
}

async fn a_rivals_failure_does_not_stop_a_settlement(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let failure = samples::failure("a@1");
    file(ledger, &envelope, slice::from_ref(&failure)).await;
    let mut proposal = samples::fallback(&endpoint, &envelope);
    proposal.rivals = vec![failure.model];
    let mailbox = settle(ledger, &envelope, &[], proposal).await;
    assert!(mailbox.decision.is_some());
}

async fn a_score_filed_before_is_not_settled_on_again(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let failure = samples::failure("a@1");
    file(ledger, &envelope, slice::from_ref(&failure)).await;
    let score = samples::score("a@1", "1");
    let proposal = samples::proposal(&endpoint, &envelope, slice::from_ref(&score));
    let mailbox = settle(ledger, &envelope, &[score], proposal).await;
    assert_eq!(mailbox.decision, None);
    assert_eq!(mailbox.scores, [failure]);
}

async fn an_opened_request_is_opened_once(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    assert_eq!(ledger.open(&envelope, [7; 32]).await.expect("answered"), None);
    let mut later = (*samples::envelope(&endpoint)).clone();
    later.id = envelope.id;
    let found = ledger.open(&Arc::new(later), [8; 32]).await.expect("answered").expect("found");
    let opening = found.opening.expect("opened");
    assert_eq!((opening.payload_sha256, opening.accepted), ([7; 32], false));
    assert_eq!(found.envelope, envelope, "the first envelope stays");
    ledger.mark_accepted(envelope.id).await.expect("marked");
    let mailbox = file(ledger, &envelope, &[samples::score("a@1", "1")]).await;
    assert!(mailbox.opening.expect("still opened").accepted);
}

async fn racing_settlers_agree(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let score = samples::score("a@1", "1");
    let with_score = samples::proposal(&endpoint, &envelope, slice::from_ref(&score));
    let without = samples::fallback(&endpoint, &envelope);
    let (one, two) = tokio::join!(
        settle(ledger, &envelope, slice::from_ref(&score), with_score),
        settle(ledger, &envelope, &[], without),
    );
    let decisions = [one.decision, two.decision];
    assert!(decisions[0].is_some());
    assert_eq!(decisions[0], decisions[1]);
}

/// The rules of the endpoints table.
pub async fn endpoints(table: &impl EndpointTable) {
    let endpoint = samples::endpoint();
    let name: EndpointName = format!("contract-{}", RequestId::random()).parse().expect("a name");
    assert_eq!(table.current(&name).await.expect("answered"), None);
    assert_eq!(table.version(&name, 1).await.expect("answered"), None);
    for version in 1..=2 {
        let published = table.publish(&name, endpoint.configuration.clone()).await;
        assert_eq!(published.expect("published"), version);
        assert_eq!(table.current(&name).await.expect("answered"), Some(version));
    }
    let first = table.version(&name, 1).await.expect("answered").expect("kept");
    let expected = Endpoint { name, version: 1, configuration: endpoint.configuration.clone() };
    assert_eq!(*first, expected);
}

/// The rules of the outcomes table, as far as they show in it: `look` reads an outcome back.
pub async fn outcomes<T: OutcomeTable>(
    table: &T,
    look: impl AsyncFn(&T, &EndpointName, RequestId) -> Option<Json>,
) {
    let endpoint = samples::endpoint();
    let id = RequestId::random();
    assert_eq!(look(table, &endpoint.name, id).await, None);
    for text in ["{\"late\": true}", "{\"late\":false, \"late\":1}"] {
        let outcome = Json::parse(text).expect("JSON");
        table.put(&endpoint.name, id, outcome.clone(), now()).await.expect("kept");
        assert_eq!(look(table, &endpoint.name, id).await, Some(outcome));
    }
}

/// How many requests [`stream`] puts on a stream, of an endpoint that nobody serves: more than any
/// stream takes in two calls.
pub const STREAMED: usize = 1_001;

/// The rules of a stream: `look` reads the data of all of its records.
pub async fn stream<S: Stream>(stream: &S, look: impl AsyncFn(&S) -> Vec<Bytes>) {
    let endpoint = samples::endpoint();
    let record = |i: usize| {
        let envelope = samples::envelope(&endpoint);
        let payload = Json::parse(&i.to_string()).expect("JSON");
        let data = RequestMessage::write(&envelope, &payload).expect("a message");
        Record { key: envelope.key.clone(), data }
    };
    let records: Vec<Record> = (0..STREAMED).map(record).collect();
    stream.put(records.clone(), now() + Duration::from_mins(1)).await.expect("taken");
    let found: HashSet<Bytes> = look(stream).await.into_iter().collect();
    let lost = records.iter().filter(|record| !found.contains(&record.data)).count();
    assert_eq!(lost, 0, "records that were taken are on the stream, byte for byte");
}

/// The rules of the archive: `look` reads a file back.
pub async fn archive<A: Archive>(archive: &A, look: impl AsyncFn(&A, &str) -> Option<Bytes>) {
    let name = format!("contract/{}/a file.bin", RequestId::random());
    assert_eq!(look(archive, &name).await, None);
    let (first, second) = (Bytes::from_static(b"\x00first\xff"), Bytes::from_static(b"second"));
    assert_eq!(archive.put(&name, first.clone()).await.expect("stored"), Stored::New);
    assert_eq!(archive.put(&name, second).await.expect("answered"), Stored::Already);
    assert_eq!(look(archive, &name).await, Some(first), "the first file of a name stays");
}

/// Values that the suite and other tests of the workspace share.
pub mod samples {
    use std::{sync::Arc, time::Duration};

    use crate::{
        clock::now,
        endpoint::{Configuration, Endpoint},
        json::Json,
        mailbox::{Decision, Kind, Mailbox, Reason, Score},
        message::{Envelope, Failure, FailureKind},
        names::{Arm, RequestId},
        ports::Proposal,
        schedule::Verdict,
    };

    /// `a@1` at once, `b@1` after 100 ms, `c@1` after 200 ms, a fallback after 1 s; `d@1` looks on.
    pub const CONFIGURATION: &str = r#"{
    "schedule": {
        "choices": [ { "model": "a@1" },
                     { "model": "b@1", "after_ms": 100 },
                     { "model": "c@1", "after_ms": 200 } ],
        "deadline_ms": 1000,
        "fallback": { "p": 0.22 }
    },
    "observers": [ { "model": "d@1", "role": "challenger" } ],
    "value": "/p"
}"#;

    /// Version 1 of an endpoint of [`CONFIGURATION`].
    pub fn endpoint() -> Endpoint {
        Endpoint {
            name: "sample".parse().expect("a name"),
            version: 1,
            configuration: Configuration::parse(CONFIGURATION).expect("a configuration"),
        }
    }

    /// A new request of `endpoint`, received now.
    pub fn envelope(endpoint: &Endpoint) -> Arc<Envelope> {
        let (id, received) = (RequestId::random(), now());
        Arc::new(Envelope {
            id,
            endpoint: endpoint.name.clone(),
            config: endpoint.version,
            arm: Arm::main(),
            key: id.to_key(),
            received,
            deadline: received + endpoint.configuration.schedule.deadline(),
            traceparent: None,
        })
    }

    pub fn score(model: &str, json: &str) -> Score {
        result(model, Ok(Json::parse(json).expect("JSON")))
    }

    pub fn failure(model: &str) -> Score {
        result(model, Err(Failure::new(FailureKind::Failed, "on purpose")))
    }

    fn result(model: &str, result: Result<Json, Failure>) -> Score {
        let finished = now();
        let started = finished - Duration::from_millis(1);
        Score { model: model.parse().expect("a model id"), started, finished, result }
    }

    /// The settlement that the schedule comes to with `scores`, which must suffice.
    pub fn proposal(endpoint: &Endpoint, envelope: &Arc<Envelope>, scores: &[Score]) -> Proposal {
        let mut mailbox = Mailbox::empty(envelope.clone());
        mailbox.file(scores);
        let schedule = &endpoint.configuration.schedule;
        let at = envelope.received;
        match schedule.decide(envelope.received, envelope.deadline, at, &mailbox) {
            Verdict::Settle(settlement) => Proposal {
                decision: Decision::new(&settlement, endpoint, envelope, &mailbox.scores, at),
                rivals: Vec::new(),
            },
            other => panic!("these scores do not settle: {other:?}"),
        }
    }

    /// A settlement on the fallback.
    pub fn fallback(endpoint: &Endpoint, envelope: &Envelope) -> Proposal {
        let settlement = endpoint.configuration.schedule.give_up(Reason::Deadline);
        assert_eq!(settlement.kind, Kind::Fallback);
        Proposal {
            decision: Decision::new(&settlement, endpoint, envelope, &[], envelope.deadline),
            rivals: Vec::new(),
        }
    }
}
