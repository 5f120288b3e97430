use tokio::time::Instant;

use super::*;
use crate::{
    Json, Write,
    conformance::samples,
    memory::{MemoryLedger, MemoryOutcomes, Position, Subscription},
    names::RequestId,
    ports::{Consistency, Ledger, OutcomeTable, Record, Stream},
};

const NO: Duration = Duration::ZERO;

fn journal() -> Arc<Journal> {
    Arc::new(Journal::new(10))
}

fn take(journal: &Journal) -> Taken {
    journal.take([false; 2], NO).unwrap()
}

async fn put(stream: &MemoryStream, data: &'static str) {
    let record = Record { key: "k".parse().unwrap(), data: data.into() };
    stream.put(vec![record], now()).await.unwrap();
}

async fn read<T>(lane: &Subscription<T>) -> Vec<Arc<StoredRecord<T>>> {
    lane.next(100, usize::MAX, NO).await
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_waits_until_all_before_is_written() {
    let journal = journal();
    let stream = MemoryStream::new("input", 1).kept_in(Some(journal.clone()));
    journal.written().await.expect("there is nothing to write");
    put(&stream, "a").await;
    let first = take(&journal);
    put(&stream, "b").await;
    let waits = tokio::spawn({
        let journal = journal.clone();
        async move { journal.written().await }
    });
    yield_now().await;
    journal.wrote(&first);
    yield_now().await;
    assert!(!waits.is_finished(), "b is not written");
    let second = take(&journal);
    let [Entry::Record("input", record)] = &second.entries[..] else { panic!("{second:?}") };
    assert_eq!(record.data, "b");
    journal.wrote(&second);
    waits.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_written_calls_fail_with_the_reason() {
    let journal = journal();
    let stream = MemoryStream::new("input", 1).kept_in(Some(journal.clone()));
    put(&stream, "a").await;
    let begin = Instant::now();
    let late = journal.written().await.unwrap_err();
    assert_eq!((late.dependency, begin.elapsed()), ("log", PATIENCE));
    let taken = take(&journal);
    journal.check().expect("it was just taken");
    assert!(journal.failed("the disk is full".to_owned(), NO), "it should be tried again");
    assert!(journal.check().unwrap_err().to_string().contains("the disk is full"));
    assert!(journal.written().await.unwrap_err().to_string().contains("the disk is full"));
    journal.wrote(&taken);
    journal.check().unwrap();
    journal.written().await.unwrap();
    journal.close();
    assert!(!journal.failed("the disk is full".to_owned(), Duration::MAX));
    assert!(journal.take([false; 2], Duration::MAX).is_none());
}

#[tokio::test]
async fn a_segment_of_the_streams_is_released_when_every_subscription_has_dropped_its_records() {
    let journal = journal();
    let stream = MemoryStream::new("input", 1).kept_in(Some(journal.clone()));
    let lanes = [Position::Latest; 2].map(|position| stream.subscribe(position, 1).remove(0));
    put(&stream, "a").await;
    let first = journal.take([true, false], NO).unwrap();
    assert_eq!((first.segments, &first.released), ([10, 11], &vec![]));
    put(&stream, "b").await;
    let second = take(&journal);
    assert_eq!(second.segments, [12, 11]);
    drop((first, second));
    let batches = [read(&lanes[0]).await, read(&lanes[1]).await];
    assert_eq!(take(&journal).released, []);
    drop(batches);
    assert_eq!(take(&journal).released, [(Part::Streams, 10)], "and 12 is in use");
    assert_eq!(take(&journal).released, []);
}

#[tokio::test]
async fn a_segment_of_the_ledger_is_released_when_its_mailboxes_are_rewritten_or_forgotten() {
    let journal = journal();
    let ledger = MemoryLedger::default().kept_in(Some(journal.clone()));
    let _changes = ledger.changes.subscribe(Position::Latest, 1);
    let endpoint = samples::endpoint();
    let [opened, scored] = [(); 2].map(|()| samples::envelope(&endpoint));
    ledger.write(&Write::open(&opened, [0; 32], None)).await.unwrap();
    ledger.write(&Write::file(&scored, &[samples::score("a@1", "1")])).await.unwrap();
    let first = journal.take([false, true], NO).unwrap();
    assert!(matches!(first.entries[..], [Entry::Change(_), Entry::Change(_)]), "{first:?}");
    ledger.write(&Write::accept(&opened)).await.unwrap();
    let second = take(&journal);
    let [Entry::Mailbox(mailbox)] = &second.entries[..] else { panic!("{second:?}") };
    assert!(mailbox.opening.is_some_and(|opening| opening.accepted));
    ledger.write(&Write::file(&scored, &[samples::score("b@1", "1")])).await.unwrap();
    assert!(take(&journal).entries.is_empty(), "nobody is told of a second score");
    ledger.keep_again(11);
    let again = take(&journal);
    let [Entry::Mailbox(mailbox)] = &again.entries[..] else { panic!("{again:?}") };
    assert_eq!((mailbox.envelope.id, mailbox.scores.len()), (scored.id, 2));
    assert_eq!(again.released, [(Part::Ledger, 11)]);
}

#[tokio::test]
async fn what_a_former_process_has_kept_is_there_again_and_nothing_else_gets_a_mailbox() {
    let former = journal();
    let ledger = MemoryLedger::default().kept_in(Some(former.clone()));
    let _changes = ledger.changes.subscribe(Position::Latest, 1);
    let endpoint = samples::endpoint();
    let [decided, unknown] = [(); 2].map(|()| samples::envelope(&endpoint));
    ledger.write(&samples::fallback(&endpoint, &decided)).await.unwrap();
    let taken = take(&former);
    let [Entry::Change(change)] = &taken.entries[..] else { panic!("{taken:?}") };
    let Change::Mailbox { new, .. } = &change.data else { panic!("{change:?}") };

    let journal = journal();
    let ledger = MemoryLedger::default().kept_in(Some(journal.clone()));
    ledger.restore(new.clone(), journal.hold(Part::Ledger, 3));
    ledger.restored();
    let read = ledger.read(decided.id, Consistency::Strong).await.unwrap();
    assert_eq!(read.as_ref(), Some(new));
    let again = ledger.write(&samples::fallback(&endpoint, &decided)).await.unwrap();
    assert!(matches!(again, crate::write::Written::Refused(_)), "{again:?}");
    let filed = Write::file(&unknown, &[samples::score("a@1", "1")]);
    assert_eq!(ledger.write(&filed).await.unwrap(), crate::write::Written::Forgotten);
    let fresh = samples::envelope(&endpoint);
    let filed = Write::file(&fresh, &[samples::score("a@1", "1")]);
    assert!(matches!(ledger.write(&filed).await, Ok(crate::write::Written::Applied(_))));
    drop(ledger);
    assert_eq!(take(&journal).released, [(Part::Ledger, 3)]);
}

#[tokio::test]
async fn a_full_ledger_that_is_restored_forgets_the_oldest_and_does_not_decide_them_again() {
    let journal = journal();
    let ledger = MemoryLedger::with_capacity(16).kept_in(Some(journal.clone()));
    let endpoint = samples::endpoint();
    let envelopes: Vec<_> = (0..200).map(|_| samples::envelope(&endpoint)).collect();
    for envelope in &envelopes {
        let mailbox = samples::fallback(&endpoint, envelope).apply(None).into_mailbox().unwrap();
        ledger.restore(mailbox, journal.hold(Part::Ledger, 3));
    }
    ledger.restored();
    let newest = ledger.read(envelopes[199].id, Consistency::Strong).await.unwrap();
    assert!(newest.is_some_and(|mailbox| mailbox.decision.is_some()));
    let mut kept = 0;
    for envelope in &envelopes {
        let written = ledger.write(&samples::fallback(&endpoint, envelope)).await.unwrap();
        kept += usize::from(written != crate::write::Written::Forgotten);
        assert!(!matches!(written, crate::write::Written::Applied(_)), "decided twice");
    }
    assert!(kept <= 16, "{kept}");
}

#[tokio::test]
async fn what_is_delivered_again_has_its_time_and_is_not_handed_over_again() {
    let journal = journal();
    let stream = MemoryStream::new("input", 1).kept_in(Some(journal.clone()));
    let lane = stream.subscribe(Position::Latest, 1).remove(0);
    let outcomes = MemoryOutcomes::kept_in(Some(journal.clone()));
    let changes = outcomes.changes.subscribe(Position::Latest, 1).remove(0);
    let (endpoint, id) = (samples::endpoint().name, RequestId::random());
    outcomes.put(&endpoint, id, Json::parse("1").unwrap(), now()).await.unwrap();
    let taken = take(&journal);
    let [Entry::Change(change)] = &taken.entries[..] else { panic!("{taken:?}") };
    let then = Timestamp::from_micros(7);
    outcomes.changes.restore(change.data.clone(), then, journal.hold(Part::Streams, 1));
    let record = Record { key: "k".parse().unwrap(), data: "a".into() };
    stream.restore(record, then, journal.hold(Part::Streams, 2));
    assert!(take(&journal).entries.is_empty());
    let (records, changes) = (read(&lane).await, read(&changes).await);
    assert_eq!((records.len(), records[0].arrived), (1, then));
    assert_eq!((changes.len(), changes[1].arrived), (2, then));
    drop((records, changes, taken));
    let mut released = take(&journal).released;
    released.sort_unstable();
    assert_eq!(released, [(Part::Streams, 1), (Part::Streams, 2)]);
}
