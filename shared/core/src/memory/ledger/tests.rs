use super::*;
use crate::{clock::sleep_until, conformance::samples, memory::Position, score::Score};

async fn file(
    ledger: &MemoryLedger,
    envelope: &Arc<Envelope>,
    scores: &[Score],
) -> Result<Written, Unavailable> {
    ledger.write(&Write::file(envelope, scores)).await
}

fn held(ledger: &MemoryLedger) -> usize {
    ledger.parts.iter().map(|part| lock(part).entries.len()).sum()
}

#[tokio::test]
async fn a_full_ledger_forgets_the_oldest_and_lets_no_late_score_bring_it_back() {
    let ledger = MemoryLedger::with_capacity(PARTS);
    let endpoint = samples::endpoint();
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let envelope = samples::envelope(&endpoint);
        let write = samples::fallback(&endpoint, &envelope);
        assert!(matches!(ledger.write(&write).await.unwrap(), Written::Applied(_)));
        all.push(envelope);
    }
    assert!(held(&ledger) <= PARTS);
    for part in &ledger.parts {
        assert_eq!(lock(part).forgotten.len(), FORGOTTEN_FACTOR, "no more ids are kept");
    }
    let score = [samples::score("a@1", "1")];
    for old in &all[..500] {
        assert_eq!(file(&ledger, old, &score).await, Ok(Written::Forgotten));
        let write = samples::fallback(&endpoint, old);
        assert_eq!(ledger.write(&write).await, Ok(Written::Forgotten));
    }
    let anew = ledger.write(&Write::open(&all[0], [1; 32], None)).await.unwrap();
    assert!(matches!(anew, Written::Applied(_)), "the id of a forgotten request is opened anew");
}

#[test]
fn a_request_as_old_as_the_latest_whose_id_is_not_kept_may_be_forgotten() {
    let envelope = samples::envelope(&samples::endpoint());
    let part = |horizon| Part { horizon, ..Part::default() };
    let microsecond = Duration::from_micros(1);
    assert!(part(envelope.received).may_have_forgotten(&envelope));
    assert!(!part(envelope.received - microsecond).may_have_forgotten(&envelope));
    let mut waited_for = part(envelope.received);
    waited_for.watched.insert(envelope.id, <_>::default());
    assert!(!waited_for.may_have_forgotten(&envelope), "its wait would have ended");
    waited_for.forgotten.insert(envelope.id);
    assert!(waited_for.may_have_forgotten(&envelope));
}

#[tokio::test(start_paused = true)]
async fn an_open_request_is_kept_a_second_beyond_its_deadline() {
    crate::clock::simulate(now());
    let ledger = MemoryLedger::with_capacity(1);
    let endpoint = samples::endpoint();
    // Both are in one part of the table, which has room for one.
    let of_one_part = |first: u8| {
        let mut id = [7; 16];
        id[0] = first;
        let envelope = Arc::unwrap_or_clone(samples::envelope(&endpoint));
        Arc::new(Envelope { id: RequestId::from_bytes(id), ..envelope })
    };
    let (one, other) = (of_one_part(1), of_one_part(2));
    file(&ledger, &one, &[]).await.unwrap();
    sleep_until(one.deadline + GRACE).await;
    assert!(file(&ledger, &other, &[]).await.unwrap_err().is_throttled());
    let filed = file(&ledger, &one, &[samples::score("a@1", "1")]).await.unwrap();
    assert_eq!(filed.into_mailbox().unwrap().scores.len(), 1, "a full table is written to");
    sleep_until(one.deadline + GRACE + Duration::from_millis(1)).await;
    assert!(matches!(file(&ledger, &other, &[]).await.unwrap(), Written::Applied(_)));
    assert_eq!(file(&ledger, &one, &[]).await.unwrap(), Written::Forgotten);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_read_until_its_retention_has_passed() {
    crate::clock::simulate(now());
    let ledger = MemoryLedger::default();
    let envelope = samples::envelope(&samples::endpoint());
    file(&ledger, &envelope, &[]).await.unwrap();
    let past = envelope.received + MemoryLedger::RETENTION;
    let read = async || ledger.read(envelope.id, Consistency::Strong).await.unwrap();
    sleep_until(past - Duration::from_millis(1)).await;
    assert!(read().await.is_some());
    sleep_until(past).await;
    assert!(read().await.is_none());
}

#[tokio::test]
async fn a_watch_that_ends_leaves_the_others() {
    let ledger = MemoryLedger::default();
    let envelope = samples::envelope(&samples::endpoint());
    let watched = || ledger.parts.iter().map(|part| lock(part).watched.len()).sum::<usize>();
    let (one, mut other) = (ledger.watch(&envelope), ledger.watch(&envelope));
    drop(one);
    assert_eq!(watched(), 1);
    let (changed, filed) =
        tokio::join!(other.changed(now() + Duration::from_secs(5)), file(&ledger, &envelope, &[]),);
    assert_eq!(changed.unwrap(), filed.unwrap().into_mailbox());
    drop(other);
    assert_eq!(watched(), 0);
}

#[tokio::test]
async fn a_request_whose_first_score_is_slow_is_not_taken_for_forgotten() {
    let ledger = MemoryLedger::with_capacity(PARTS * 100);
    let endpoint = samples::endpoint();
    let slow = samples::envelope(&endpoint);
    for _ in 0..PARTS * 200 {
        let envelope = samples::envelope(&endpoint);
        ledger.write(&samples::fallback(&endpoint, &envelope)).await.unwrap();
    }
    let filed = file(&ledger, &slow, &[samples::score("a@1", "1")]).await.unwrap();
    assert_eq!(filed.into_mailbox().unwrap().scores.len(), 1);
}

#[tokio::test]
async fn a_ledger_full_of_open_requests_throttles_and_forgets_none() {
    let ledger = MemoryLedger::with_capacity(1);
    let endpoint = samples::endpoint();
    let mut throttled = 0;
    for _ in 0..100 {
        let envelope = samples::envelope(&endpoint);
        if let Err(cause) = file(&ledger, &envelope, &[]).await {
            assert!(cause.is_throttled());
            throttled += 1;
        }
    }
    assert_eq!(throttled, 100 - held(&ledger));
    assert!(held(&ledger) <= PARTS);
}

#[tokio::test]
async fn an_open_request_is_kept_and_holds_up_nobody() {
    let ledger = MemoryLedger::with_capacity(PARTS * 2);
    let endpoint = samples::endpoint();
    let open = samples::envelope(&endpoint);
    file(&ledger, &open, &[]).await.unwrap();
    for _ in 0..1_000 {
        let envelope = samples::envelope(&endpoint);
        ledger.write(&samples::fallback(&endpoint, &envelope)).await.unwrap();
    }
    assert!(ledger.read(open.id, Consistency::Strong).await.unwrap().is_some());
    let filed = file(&ledger, &open, &[samples::score("a@1", "1")]).await.unwrap();
    assert_eq!(filed.into_mailbox().unwrap().scores.len(), 1);
}

#[tokio::test]
async fn a_new_mailbox_and_its_decision_are_told_once_to_those_who_listen() {
    let ledger = MemoryLedger::default();
    let endpoint = samples::endpoint();
    let settle = async |envelope: &Arc<Envelope>| {
        let write = samples::fallback(&endpoint, envelope);
        ledger.write(&write).await.unwrap().into_mailbox().unwrap()
    };
    settle(&samples::envelope(&endpoint)).await;
    assert_eq!(ledger.changes.held(), 0, "nobody has listened");

    let lane = &ledger.changes.subscribe(Position::TrimHorizon, 1)[0];
    let envelope = samples::envelope(&endpoint);
    let opened = ledger.write(&Write::open(&envelope, [1; 32], None)).await.unwrap();
    let filed = file(&ledger, &envelope, &[samples::score("a@1", "1")]).await.unwrap();
    let new = settle(&envelope).await;
    settle(&envelope).await;
    let accepted = ledger.write(&Write::accept(&envelope)).await.unwrap();
    assert!(matches!(accepted, Written::Applied(_)), "a later change of a decided mailbox");
    let told = lane.next(10, usize::MAX, Duration::ZERO).await;
    assert_eq!(told.len(), 2);
    let opened = opened.into_mailbox().unwrap();
    assert_eq!(told[0].data, Change::Mailbox { old: None, new: opened });
    assert_eq!(told[1].data, Change::Mailbox { old: filed.into_mailbox(), new });
    drop(told);
    assert_eq!(ledger.changes.held(), 0);
}

#[tokio::test]
async fn listeners_that_are_far_behind_throttle_the_ledger_and_lose_nothing() {
    let ledger =
        MemoryLedger { changes: MemoryStream::holding("ledger", 1, 10_000), ..<_>::default() };
    let endpoint = samples::endpoint();
    let lane = &ledger.changes.subscribe(Position::TrimHorizon, 1)[0];
    let mut decided = 0;
    loop {
        let envelope = samples::envelope(&endpoint);
        match ledger.write(&samples::fallback(&endpoint, &envelope)).await {
            Ok(_) => decided += 1,
            Err(error) => break assert!(error.is_throttled()),
        }
        assert!(decided < 1_000, "it is never throttled");
    }
    assert_eq!(lane.next(1_000, usize::MAX, Duration::ZERO).await.len(), decided);
}
