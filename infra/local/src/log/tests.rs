use std::sync::Arc;

use rendezvous_core::{
    Json, RequestId, Timestamp, Write,
    conformance::samples,
    memory::{Change, Entry, Journal, MemoryLedger, MemoryOutcomes, MemoryStream, Part, Position},
    now,
    ports::{Ledger, OutcomeTable, Record, Stream},
};
use rendezvous_folder::{DataFolder, FolderLog, Kept};

use super::{
    entries::{Frames, Read, read},
    writer::Writer,
};

fn log() -> (tempfile::TempDir, FolderLog) {
    let directory = tempfile::tempdir().unwrap();
    let folder = FolderLog::new(&DataFolder::serve(directory.path()).unwrap()).unwrap();
    (directory, folder)
}

#[tokio::test]
async fn everything_comes_back_from_the_log_as_it_was() {
    let (_directory, folder) = log();
    let journal = Arc::new(Journal::new(0));
    let stream = |name| MemoryStream::new(name, 1).kept_in(Some(journal.clone()));
    let (input, scores) = (stream("input"), stream("scores"));
    let ledger = Arc::new(MemoryLedger::default().kept_in(Some(journal.clone())));
    let outcomes = MemoryOutcomes::kept_in(Some(journal.clone()));
    let _changes = ledger.changes.subscribe(Position::Latest, 1);
    let _outcomes = outcomes.changes.subscribe(Position::Latest, 1);

    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    let record = |data: &'static str| Record { key: envelope.key.clone(), data: data.into() };
    input.put(vec![record("request")], now()).await.unwrap();
    scores.put(vec![record("score"), record("another")], now()).await.unwrap();
    ledger.write(&Write::open(&envelope, [7; 32], Some([1; 16]))).await.unwrap();
    ledger.write(&Write::accept(&envelope)).await.unwrap();
    ledger.write(&samples::fallback(&endpoint, &envelope)).await.unwrap();
    let (id, outcome) = (RequestId::random(), Json::parse("{ \"late\": 1.0}").unwrap());
    outcomes.put(&endpoint.name, id, outcome, Timestamp::from_micros(5)).await.unwrap();

    let writer = Writer::new(&folder, &journal, &ledger, Vec::new());
    journal.close();
    assert_eq!(writer.run(), 0);
    let all = |part| {
        let [number] = folder.segments(part).unwrap()[..] else { panic!("not one segment") };
        let segment = folder.read(part, number).unwrap();
        assert_eq!(segment.torn, None);
        segment.entries.iter().map(|entry| read(entry).unwrap()).collect::<Vec<_>>()
    };
    let mailboxes = all(Part::Ledger);
    let [Read::Mailbox(opened), Read::Mailbox(accepted), Read::Mailbox(decided)] = &mailboxes[..]
    else {
        panic!("{mailboxes:?}")
    };
    assert!(opened.decision.is_none() && !opened.opening.unwrap().accepted);
    assert!(accepted.decision.is_none() && accepted.opening.unwrap().accepted);
    assert!(decided.decision.is_some());
    assert_eq!((&decided.envelope, decided.opening), (&envelope, accepted.opening));
    let records = all(Part::Streams);
    let expected = [
        Read::Input(record("request")),
        Read::Scores(record("score")),
        Read::Scores(record("another")),
        Read::Mailbox(opened.clone()),
        Read::Mailbox(decided.clone()),
    ];
    assert_eq!(records[..5], expected);
    let [Read::Outcome(Change::Outcome { id: of, new, .. })] = &records[5..] else {
        panic!("{records:?}")
    };
    assert_eq!((*of, new.outcome.as_str()), (id, "{ \"late\": 1.0}"));
}

#[test]
fn an_entry_that_is_none_is_an_error() {
    let entry = |kind, data: &'static str| {
        let kept = Kept { kind, arrived: now(), key: "".into(), data: data.into() };
        read(&kept).unwrap_err().to_string()
    };
    assert!(entry(9, "{}").contains("unknown kind 9"));
    assert!(entry(3, "[").contains("not what was written"));
    assert!(entry(4, "{}").contains("not what was written"));
    assert_ne!(entry(1, "{}"), "", "a record has a key");
}

#[tokio::test]
async fn a_mailbox_that_stays_does_not_keep_the_segments_after_its_own() {
    let (_directory, folder) = log();
    let journal = Arc::new(Journal::new(200));
    let ledger = Arc::new(MemoryLedger::default().kept_in(Some(journal.clone())));
    let _changes = ledger.changes.subscribe(Position::Latest, 1);
    let endpoint = samples::endpoint();
    let mut frames = Frames::default();
    // A former process has left a segment with a mailbox that is still open, and one without any that is needed.
    let open = Write::open(&samples::envelope(&endpoint), [7; 32], None).apply(None);
    let open = open.into_mailbox().unwrap();
    frames.push(&Entry::Mailbox(open.clone()));
    for number in [100, 101] {
        folder.append_to(Part::Ledger, number).append(&mut frames.of[1]).unwrap();
    }
    ledger.restore(open.clone(), journal.hold(Part::Ledger, 100));
    drop(journal.hold(Part::Ledger, 101));
    let writer = Writer::new(&folder, &journal, &ledger, vec![100, 101]);
    let end = journal.clone();
    let thread = std::thread::spawn(move || writer.run());
    ledger.write(&samples::fallback(&endpoint, &samples::envelope(&endpoint))).await.unwrap();
    while folder.segments(Part::Ledger).unwrap() != [201] {
        tokio::task::yield_now().await;
    }
    end.close();
    assert_eq!(thread.join().unwrap(), 0);
    let entries = folder.read(Part::Ledger, 201).unwrap().entries;
    assert!(entries.iter().any(|entry| read(entry) == Ok(Read::Mailbox(open.clone()))));
}
