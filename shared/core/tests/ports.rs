//! The ports in memory conform; settling needs as few calls as the rules allow.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rendezvous_core::{
    Decision, Endpoint, Envelope, Json, Kind, Mailbox, Reason, RequestId, Score, Timestamp, Write,
    conformance,
    conformance::samples,
    memory::{
        MemoryArchive, MemoryEndpoints, MemoryLedger, MemoryOutcomes, MemoryStream, MemoryWindows,
        Position,
    },
    now,
    ports::{Archive, ArchiveFiles, Consistency, Ledger, OutcomeTable},
    settle::{RequestState, Settled, give_up, settle},
};

#[tokio::test]
async fn the_memory_ledger_conforms() {
    conformance::ledger(&MemoryLedger::default(), MemoryLedger::RETENTION).await;
}

#[tokio::test]
async fn the_memory_endpoints_conform() {
    conformance::endpoints(&MemoryEndpoints::default()).await;
}

#[tokio::test]
async fn the_memory_outcomes_conform() {
    let look = async |table: &MemoryOutcomes, endpoint: &_, id| {
        table.get(endpoint, id).map(|outcome| outcome.outcome)
    };
    conformance::outcomes(&MemoryOutcomes::default(), look).await;
}

#[tokio::test]
async fn the_memory_windows_conform() {
    conformance::windows(&MemoryWindows::default()).await;
}

#[tokio::test]
async fn a_full_table_of_outcomes_forgets_the_oldest_and_takes_every_one() {
    let (table, endpoint) = (MemoryOutcomes::default(), samples::endpoint().name);
    let put = async |id, outcome: &Json| table.put(&endpoint, id, outcome.clone(), now()).await;
    let changes = table.changes.subscribe(Position::Latest, 1).remove(0);
    // An entry takes 200 bytes beside its JSON: four of these fill the 4 MiB.
    let quarter = 1024 * 1024 - 200;
    let quarter = Json::parse(&format!("\"{}\"", "x".repeat(quarter - 2))).unwrap();
    let ids = [0; 4].map(|_| RequestId::random());
    for id in ids.into_iter().chain([ids[0], ids[1]]) {
        put(id, &quarter).await.unwrap();
    }
    let kept = || ids.map(|id| table.get(&endpoint, id).is_some());
    assert_eq!(kept(), [true; 4], "what replaces another takes no more");
    put(RequestId::random(), &Json::parse("1").unwrap()).await.unwrap();
    assert_eq!(kept(), [false, true, true, true]);
    put(ids[0], &quarter).await.unwrap();
    assert_eq!(kept(), [true, false, true, true], "it may be reported again");
    let told = changes.next(usize::MAX, usize::MAX, Duration::ZERO).await;
    assert_eq!(told.len(), 8, "none of them is lost");
}

#[tokio::test]
async fn the_memory_stream_conforms() {
    let stream = MemoryStream::new("s", 2);
    let lanes = stream.subscribe(Position::TrimHorizon, 1);
    conformance::stream(&stream, async |_| {
        let mut data = Vec::new();
        // A thousand keys: none of the shards is empty.
        for lane in &lanes {
            let records = lane.next(conformance::STREAMED, usize::MAX, Duration::ZERO).await;
            data.extend(records.iter().map(|record| record.data.clone()));
        }
        data
    })
    .await;
}

#[tokio::test]
async fn the_memory_archive_conforms() {
    let look = async |archive: &MemoryArchive, name: &str| -> Option<Bytes> {
        archive.files().into_iter().find(|(file, _)| file == name).map(|(_, body)| body)
    };
    let archive = MemoryArchive::default();
    conformance::archive(&archive, look).await;
    conformance::archive_files(&archive).await;
    conformance::erase(&archive).await;
    archive.put("file", Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(archive.read("file", 1..1).await.unwrap(), "");
    #[expect(clippy::reversed_empty_ranges, reason = "it is the mistake")]
    let reversed = archive.read("file", 2..1).await;
    assert!(reversed.is_err());
}

/// A ledger and one request, received now.
struct Case {
    ledger: MemoryLedger,
    endpoint: Endpoint,
    envelope: Arc<Envelope>,
}

impl Case {
    fn new() -> Self {
        let endpoint = samples::endpoint();
        let envelope = samples::envelope(&endpoint);
        Self { ledger: MemoryLedger::default(), endpoint, envelope }
    }

    async fn settle(&self, scores: &[Score], after_ms: u64) -> RequestState {
        let at = self.envelope.received + Duration::from_millis(after_ms);
        settle(&self.ledger, &self.endpoint, &self.envelope, None, scores, &[], at).await.unwrap()
    }

    async fn decision(&self, scores: &[Score], after_ms: u64) -> Arc<Decision> {
        match self.settle(scores, after_ms).await {
            RequestState::Settled(settled) => settled.decision,
            other => panic!("not settled: {other:?}"),
        }
    }

    fn at(&self, ms: u64) -> Timestamp {
        self.envelope.received + Duration::from_millis(ms)
    }
}

fn who(decision: &Decision) -> (&str, Reason) {
    (decision.model.as_ref().map_or("", |model| model.as_str()), decision.reason)
}

#[tokio::test]
async fn a_champions_score_is_filed_and_settled_in_one_write_and_no_read() {
    let case = Case::new();
    let decision = case.decision(&[samples::score("a@1", "1")], 3).await;
    assert_eq!((who(&decision), decision.kind), (("a@1", Reason::Preferred), Kind::Champion));
    assert_eq!(case.ledger.calls(), (0, 1));
}

#[tokio::test]
async fn a_stand_in_whose_time_has_come_is_settled_in_one_write() {
    let case = Case::new();
    assert_eq!(case.settle(&[samples::failure("a@1")], 3).await, RequestState::Open(case.at(1000)));
    let decision = case.decision(&[samples::score("b@1", "1")], 150).await;
    assert_eq!(who(&decision), ("b@1", Reason::Opened));
    assert_eq!(case.ledger.calls(), (0, 2), "one for the failure, one for the answer");
}

#[tokio::test]
async fn what_was_filed_before_is_not_overlooked() {
    let case = Case::new();
    // b@1 comes early, is filed, and nobody is there when its time comes.
    assert_eq!(
        case.settle(&[samples::score("b@1", "2")], 3).await,
        RequestState::Open(case.at(100))
    );
    let decision = case.decision(&[samples::score("c@1", "3")], 300).await;
    assert_eq!(who(&decision), ("b@1", Reason::Opened));
    assert_eq!(decision.seen.len(), 2);
}

#[tokio::test]
async fn a_survivor_is_found_when_the_failures_came_first() {
    let case = Case::new();
    case.settle(&[samples::failure("a@1")], 1).await;
    let decision = case.decision(&[samples::score("b@1", "2")], 2).await;
    assert_eq!(who(&decision), ("b@1", Reason::Survivor));
}

#[tokio::test]
async fn a_choice_whose_result_is_at_hand_is_not_presumed_silent_in_the_decision() {
    let case = Case::new();
    let (at_hand, at) = ([samples::failure("a@1"), samples::score("b@1", "2")], case.at(1));
    let presumed = ["a@1".parse().unwrap(), "c@1".parse().unwrap()];
    let settled =
        settle(&case.ledger, &case.endpoint, &case.envelope, None, &at_hand, &presumed, at);
    let RequestState::Settled(settled) = settled.await.unwrap() else { panic!("not settled") };
    assert_eq!(who(&settled.decision), ("b@1", Reason::Survivor));
    assert_eq!(settled.decision.presumed, presumed[1..]);
}

#[tokio::test]
async fn a_score_that_comes_again_after_its_failure_was_filed_changes_nothing() {
    let case = Case::new();
    case.settle(&[samples::failure("a@1"), samples::failure("b@1")], 1).await;
    let again = [samples::score("a@1", "1")];
    assert_eq!(case.settle(&again, 2).await, RequestState::Open(case.at(1000)));
    let decision = case.decision(&[samples::failure("c@1")], 3).await;
    assert_eq!((decision.kind, decision.reason), (Kind::Fallback, Reason::Exhausted));
}

#[tokio::test]
async fn racing_settlers_return_one_decision() {
    let case = Case::new();
    let scores = [samples::score("a@1", "1")];
    let (one, two) = tokio::join!(case.decision(&scores, 1000), case.decision(&[], 1000));
    assert_eq!(one, two);
    let mailbox = case.ledger.read(case.envelope.id, Consistency::Strong).await.unwrap();
    assert_eq!(mailbox.unwrap().decision, Some(one));
}

#[tokio::test]
async fn a_known_mailbox_that_is_decided_costs_no_call() {
    let case = Case::new();
    let decision = case.decision(&[], 1000).await;
    let known =
        Mailbox { decision: Some(decision.clone()), ..Mailbox::empty(case.envelope.clone()) };
    let calls = case.ledger.calls();
    let (score, at) = ([samples::score("a@1", "1")], case.at(1));
    let state = settle(&case.ledger, &case.endpoint, &case.envelope, Some(known), &score, &[], at);
    let settled = Settled { decision, scores: Vec::new() };
    assert_eq!(state.await.unwrap(), RequestState::Settled(settled));
    assert_eq!(case.ledger.calls(), calls);
}

#[tokio::test]
async fn a_score_of_a_forgotten_request_settles_nothing() {
    let case = Case { ledger: MemoryLedger::with_capacity(1), ..Case::new() };
    case.decision(&[samples::score("a@1", "1")], 1).await;
    for _ in 0..100 {
        let envelope = samples::envelope(&case.endpoint);
        case.ledger.write(&samples::fallback(&case.endpoint, &envelope)).await.unwrap();
    }
    assert_eq!(case.settle(&[samples::score("a@1", "1")], 2).await, RequestState::Forgotten);
    assert_eq!(case.settle(&[samples::score("b@1", "1")], 2).await, RequestState::Forgotten);
}

#[tokio::test]
async fn a_request_that_was_opened_again_is_not_decided_by_its_former_envelope() {
    let case = Case::new();
    let open = Write::open(&case.envelope, [1; 32], None);
    let former = case.ledger.write(&open).await.unwrap().into_mailbox().unwrap();
    let again = samples::later(&case.envelope);
    case.ledger.write(&Write::reopen(&again, former.opening.unwrap())).await.unwrap();
    let reopened = RequestState::Reopened(again);
    // With and without a score, at the deadline, and when the request could not be sent.
    assert_eq!(case.settle(&[samples::score("a@1", "1")], 3).await, reopened);
    assert_eq!(case.settle(&[], 1000).await, reopened);
    let state = give_up(&case.ledger, &case.endpoint, &case.envelope, case.at(5)).await;
    assert_eq!(state.unwrap(), reopened);
    let mailbox = case.ledger.read(case.envelope.id, Consistency::Strong).await.unwrap().unwrap();
    assert_eq!((mailbox.scores.len(), mailbox.decision), (0, None));
}

#[tokio::test]
async fn a_request_that_could_not_be_sent_is_given_up_unless_a_model_has_scored_it() {
    let case = Case::new();
    let give_up = || give_up(&case.ledger, &case.endpoint, &case.envelope, case.at(5));
    case.settle(&[samples::failure("b@1")], 1).await;
    let RequestState::Settled(settled) = give_up().await.unwrap() else { panic!("not settled") };
    assert_eq!(
        (settled.decision.kind, settled.decision.reason),
        (Kind::Fallback, Reason::Unavailable)
    );
    assert_eq!(give_up().await.unwrap(), RequestState::Settled(settled), "its decision stands");

    let case = Case::new();
    case.settle(&[samples::score("b@1", "2")], 1).await;
    let state = self::give_up(&case.ledger, &case.endpoint, &case.envelope, case.at(5)).await;
    assert_eq!(state.unwrap(), RequestState::Open(case.at(5)));
}
