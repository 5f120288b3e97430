//! What every implementation of a port must do. Each function panics where it does not.
//!
//! Every call works with new names and ids, so that it can run against a shared table as well.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "it is there to panic")]

mod files;
mod payloads;
pub mod samples;
mod windows;

pub use files::{archive_files, erase};
pub use payloads::payloads;
pub use windows::windows;

use std::{collections::HashSet, slice, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    clock::now,
    endpoint::{Endpoint, Provenance},
    json::Json,
    mailbox::Mailbox,
    message::{Envelope, RequestMessage},
    names::{EndpointName, RequestId},
    ports::{
        Archive, Consistency, EndpointTable, Ledger, OutcomeTable, PublishError, Record, Stored,
        Stream, Watch,
    },
    score::Score,
    write::{Write, Written},
};

/// The rules of a ledger that keeps mailboxes for `retention`.
pub async fn ledger(ledger: &impl Ledger, retention: Duration) {
    the_first_result_of_a_model_counts(ledger).await;
    the_first_decision_stands_and_closes_the_mailbox(ledger).await;
    a_settlement_that_overlooks_a_rival_writes_nothing(ledger).await;
    a_rivals_failure_does_not_stop_a_settlement(ledger).await;
    a_score_filed_before_is_not_settled_on_again(ledger).await;
    an_opened_request_is_opened_once(ledger).await;
    a_mailbox_made_by_a_score_is_not_opened(ledger).await;
    an_unaccepted_request_is_reopened_with_fresh_times(ledger).await;
    an_accepted_or_decided_request_is_not_reopened(ledger).await;
    only_the_latest_opening_is_accepted(ledger).await;
    racing_settlers_agree(ledger).await;
    a_request_past_its_retention_is_forgotten(ledger, retention).await;
    a_watch_returns_each_change(ledger).await;
    a_watch_ends_in_time(ledger).await;
}

async fn read(ledger: &impl Ledger, id: RequestId) -> Option<Mailbox> {
    ledger.read(id, Consistency::Strong).await.expect("the ledger answers")
}

async fn write(ledger: &impl Ledger, write: &Write) -> Written {
    ledger.write(write).await.expect("the ledger answers")
}

fn applied(written: Written) -> Mailbox {
    match written {
        Written::Applied(mailbox) => mailbox,
        other => panic!("not applied: {other:?}"),
    }
}

fn refused(written: Written) -> Mailbox {
    match written {
        Written::Refused(mailbox) => mailbox,
        other => panic!("not refused: {other:?}"),
    }
}

async fn file(ledger: &impl Ledger, envelope: &Arc<Envelope>, scores: &[Score]) -> Mailbox {
    applied(write(ledger, &Write::file(envelope, scores)).await)
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
    let first = samples::settlement(&endpoint, &envelope, slice::from_ref(&a), &[]);
    let mailbox = applied(write(ledger, &first).await);
    let decision = mailbox.decision.clone().expect("a decision");
    assert_eq!(decision.model.as_ref(), Some(&a.model));
    assert_eq!(mailbox.scores, slice::from_ref(&a), "scores are filed in the same write");
    let other = samples::fallback(&endpoint, &envelope);
    let mailbox = refused(write(ledger, &other).await);
    assert_eq!(mailbox.decision.as_ref(), Some(&decision));
    let mailbox = refused(write(ledger, &Write::file(&envelope, &[b])).await);
    assert_eq!(mailbox.scores, [a], "nothing is filed once a decision stands");
    assert_eq!(read(ledger, envelope.id).await, Some(mailbox));
}

async fn a_settlement_that_overlooks_a_rival_writes_nothing(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let (a, b) = (samples::score("a@1", "1"), samples::score("b@1", "2"));
    file(ledger, &envelope, slice::from_ref(&a)).await;
    let rivals = [a.model.clone()];
    let settle = samples::settlement(&endpoint, &envelope, slice::from_ref(&b), &rivals);
    let mailbox = refused(write(ledger, &settle).await);
    assert_eq!(mailbox.decision, None);
    assert_eq!(mailbox.scores, [a]);
    assert_eq!(read(ledger, envelope.id).await, Some(mailbox));
}

async fn a_rivals_failure_does_not_stop_a_settlement(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let failure = samples::failure("a@1");
    file(ledger, &envelope, slice::from_ref(&failure)).await;
    let b = samples::score("b@1", "2");
    let settle = samples::settlement(&endpoint, &envelope, slice::from_ref(&b), &[failure.model]);
    assert!(applied(write(ledger, &settle).await).decision.is_some());
}

async fn a_score_filed_before_is_not_settled_on_again(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let failure = samples::failure("a@1");
    file(ledger, &envelope, slice::from_ref(&failure)).await;
    let score = samples::score("a@1", "1");
    let settle = samples::settlement(&endpoint, &envelope, slice::from_ref(&score), &[]);
    let mailbox = refused(write(ledger, &settle).await);
    assert_eq!(mailbox.decision, None);
    assert_eq!(mailbox.scores, [failure]);
}

const SHA: [u8; 32] = [7; 32];
const OWNER: Option<[u8; 16]> = Some([9; 16]);

async fn an_opened_request_is_opened_once(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let opened = applied(write(ledger, &Write::open(&envelope, SHA, OWNER)).await);
    let opening = opened.opening.expect("opened");
    assert_eq!((opening.payload_sha256, opening.owner, opening.accepted), (SHA, OWNER, false));
    let later = samples::later(&envelope);
    let found = refused(write(ledger, &Write::open(&later, [8; 32], None)).await);
    assert_eq!(found, opened, "the first opening stays");
    let accepted = applied(write(ledger, &Write::accept(&envelope)).await);
    assert!(accepted.opening.expect("opened").accepted);
    let mailbox = file(ledger, &envelope, &[samples::score("a@1", "1")]).await;
    assert_eq!(mailbox.opening, accepted.opening);
    assert_eq!(read(ledger, envelope.id).await, Some(mailbox));
}

async fn a_mailbox_made_by_a_score_is_not_opened(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let filed = file(ledger, &envelope, &[samples::score("b@1", "1")]).await;
    let found = refused(write(ledger, &Write::open(&envelope, SHA, OWNER)).await);
    assert_eq!(found, filed);
    assert_eq!(read(ledger, envelope.id).await, Some(filed), "it has no opening");
}

async fn an_unaccepted_request_is_reopened_with_fresh_times(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let opened = applied(write(ledger, &Write::open(&envelope, SHA, OWNER)).await);
    let b = samples::score("b@1", "1");
    file(ledger, &envelope, slice::from_ref(&b)).await;
    let later = samples::later(&envelope);
    let former = opened.opening.expect("opened");
    let reopened = applied(write(ledger, &Write::reopen(&later, former)).await);
    assert_eq!(reopened.envelope, later);
    assert_eq!(reopened.scores, slice::from_ref(&b), "scores of the same payload stay");
    assert_eq!(reopened.opening.expect("opened").owner, OWNER);
    assert_eq!(read(ledger, envelope.id).await.as_ref(), Some(&reopened));
    let late = refused(write(ledger, &Write::file(&envelope, &[samples::score("a@1", "1")])).await);
    assert_eq!(late, reopened, "who has the former times must look at the new ones first");
    let settle = samples::settlement(&endpoint, &envelope, &[samples::score("a@1", "1")], &[]);
    assert_eq!(refused(write(ledger, &settle).await), reopened);
    let again = samples::later(&later);
    let twice = refused(write(ledger, &Write::reopen(&again, former)).await);
    assert_eq!(twice, reopened, "of two repeats one reopens");
    assert_eq!(file(ledger, &later, &[samples::score("a@1", "1")]).await.scores.len(), 2);
}

async fn an_accepted_or_decided_request_is_not_reopened(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    for decided in [false, true] {
        let envelope = samples::envelope(&endpoint);
        let opened = applied(write(ledger, &Write::open(&envelope, SHA, OWNER)).await);
        let closed = if decided {
            applied(write(ledger, &samples::fallback(&endpoint, &envelope)).await)
        } else {
            applied(write(ledger, &Write::accept(&envelope)).await)
        };
        let former = opened.opening.expect("opened");
        let reopen = Write::reopen(&samples::later(&envelope), former);
        assert_eq!(refused(write(ledger, &reopen).await), closed);
    }
}

async fn only_the_latest_opening_is_accepted(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    assert_eq!(write(ledger, &Write::accept(&envelope)).await, Written::Forgotten, "no mailbox");
    let opened = applied(write(ledger, &Write::open(&envelope, SHA, OWNER)).await);
    let later = samples::later(&envelope);
    let reopen = Write::reopen(&later, opened.opening.expect("opened"));
    applied(write(ledger, &reopen).await);
    let found = refused(write(ledger, &Write::accept(&envelope)).await);
    assert!(!found.opening.expect("opened").accepted);
    let found = applied(write(ledger, &Write::accept(&later)).await);
    assert!(found.opening.expect("opened").accepted);
}

async fn racing_settlers_agree(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let score = samples::score("a@1", "1");
    let with_score = samples::settlement(&endpoint, &envelope, slice::from_ref(&score), &[]);
    let without = samples::fallback(&endpoint, &envelope);
    let (one, two) = tokio::join!(write(ledger, &with_score), write(ledger, &without));
    let decision = |written: Written| written.into_mailbox().and_then(|m| m.decision);
    let decisions = [decision(one), decision(two)];
    assert!(decisions[0].is_some());
    assert_eq!(decisions[0], decisions[1]);
}

async fn a_request_past_its_retention_is_forgotten(ledger: &impl Ledger, retention: Duration) {
    let endpoint = samples::endpoint();
    // A ledger may round the end of the retention up to a second.
    let received = now() - retention - Duration::from_secs(2);
    let old = samples::received_at(&samples::envelope(&endpoint), received);
    let filed = write(ledger, &Write::file(&old, &[samples::score("a@1", "1")])).await;
    assert_eq!(filed, Written::Forgotten);
    let settled = write(ledger, &samples::fallback(&endpoint, &old)).await;
    assert_eq!(settled, Written::Forgotten);
    // A mailbox past its retention that is not deleted yet, made by a writer whose clock is behind.
    write(ledger, &Write::open(&old, SHA, OWNER)).await;
    assert_eq!(read(ledger, old.id).await, None);
    let fresh = samples::received_at(&old, now());
    let opened = applied(write(ledger, &Write::open(&fresh, [8; 32], None)).await);
    assert_eq!((&opened.envelope, opened.scores.len()), (&fresh, 0));
    assert_eq!(opened.opening.expect("opened").payload_sha256, [8; 32]);
}

/// Longer than eventual consistency or polling takes anywhere.
const SOON: Duration = Duration::from_secs(10);

async fn a_watch_returns_each_change(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let mut watch = ledger.watch(&envelope);
    let a_failure = samples::failure("a@1");
    let changes = [
        Write::file(&envelope, slice::from_ref(&a_failure)),
        samples::settlement(&endpoint, &envelope, &[samples::score("b@1", "1")], &[]),
    ];
    for change in changes {
        let (written, seen) = tokio::join!(write(ledger, &change), watch.changed(now() + SOON));
        assert_eq!(seen.expect("the ledger answers"), Some(applied(written)));
    }
    let mut late = ledger.watch(&envelope);
    let seen = late.changed(now() + SOON).await.expect("the ledger answers");
    assert!(seen.is_some_and(|mailbox| mailbox.decision.is_some()), "the first call does not wait");
}

async fn a_watch_ends_in_time(ledger: &impl Ledger) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let mut watch = ledger.watch(&envelope);
    let until = now() + Duration::from_millis(20);
    assert_eq!(watch.changed(until).await.expect("the ledger answers"), None);
    assert!(now() >= until);
    let filed = file(ledger, &envelope, &[samples::failure("a@1")]).await;
    assert_eq!(watch.changed(now() + SOON).await.expect("answered"), Some(filed.clone()));
    let until = now() + Duration::from_millis(20);
    let unchanged = watch.changed(until).await.expect("the ledger answers");
    assert_eq!((unchanged, now() >= until), (Some(filed), true));
}

/// The rules of the endpoints table.
pub async fn endpoints(table: &impl EndpointTable) {
    let endpoint = samples::endpoint();
    let name: EndpointName =
        format!("conformance-{}", RequestId::random()).parse().expect("a name");
    assert_eq!(table.current(&name).await.expect("answered"), None);
    assert_eq!(table.version(&name, 1).await.expect("answered"), None);
    assert!(!table.list().await.expect("answered").contains(&name));
    assert_eq!(table.history(&name).await.expect("answered"), []);
    let provenance =
        |version: u64| Provenance::new("ann", format!("version {version}")).expect("a provenance");
    let publish = async |expected: Option<u64>| {
        let next = expected.unwrap_or(0) + 1;
        table.publish(&name, endpoint.configuration.clone(), provenance(next), expected).await
    };
    for (version, expected) in [(1, None), (2, Some(1)), (3, Some(2))] {
        assert_eq!(publish(expected).await, Ok(version));
        assert_eq!(table.current(&name).await.expect("answered"), Some(version));
        for other in
            [None, Some(version - 1), Some(version + 1)].into_iter().filter(|o| *o != Some(0))
        {
            let conflict = PublishError::Conflict { expected: other, current: Some(version) };
            assert_eq!(publish(other).await, Err(conflict));
        }
    }
    let first = table.version(&name, 1).await.expect("answered").expect("kept");
    let expected =
        Endpoint { name: name.clone(), version: 1, configuration: endpoint.configuration.clone() };
    assert_eq!(*first, expected);
    assert!(table.list().await.expect("answered").contains(&name));
    let history = table.history(&name).await.expect("answered");
    let replaced: Vec<_> = history.iter().map(|p| (p.version, p.replaced)).collect();
    assert_eq!(replaced, [(1, None), (2, Some(1)), (3, Some(2))]);
    for publication in &history {
        assert_eq!(publication.provenance, Some(provenance(publication.version)));
        assert!(now().since(publication.published) < SOON * 6);
    }
    let (one, two) = tokio::join!(publish(Some(3)), publish(Some(3)));
    assert_eq!([&one, &two].into_iter().filter(|result| **result == Ok(4)).count(), 1, "one wins");
    let lost = if one == Ok(4) { two } else { one };
    assert_eq!(lost, Err(PublishError::Conflict { expected: Some(3), current: Some(4) }));
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
    let name = format!("conformance/{}/a file.bin", RequestId::random());
    assert_eq!(look(archive, &name).await, None);
    let (first, second) = (Bytes::from_static(b"\x00first\xff"), Bytes::from_static(b"second"));
    assert_eq!(archive.put(&name, first.clone()).await.expect("stored"), Stored::New);
    assert_eq!(archive.put(&name, second).await.expect("answered"), Stored::Already);
    assert_eq!(look(archive, &name).await, Some(first), "the first file of a name stays");
}
