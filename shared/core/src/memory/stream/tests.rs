use super::*;

fn record(key: &str, data: &str) -> Record {
    Record { key: key.parse().unwrap(), data: Bytes::from(data.to_owned()) }
}

async fn put(stream: &MemoryStream, records: Vec<Record>) {
    stream.put(records, now()).await.unwrap();
}

fn texts(batch: &[Arc<StoredRecord>]) -> Vec<&str> {
    batch.iter().map(|record| std::str::from_utf8(&record.data).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn positions_count_from_what_is_retained() {
    crate::clock::simulate(now());
    let stream = MemoryStream::new("test", 1).retaining(2);
    put(&stream, vec![record("k", "a"), record("k", "b"), record("k", "c")]).await;
    let all = stream.subscribe(Position::TrimHorizon, 1);
    let batch = all[0].next(10, 1_000, Duration::ZERO).await;
    assert_eq!(texts(&batch), ["a", "b", "c"], "nobody had subscribed: all was kept");
    sleep(Duration::from_secs(1)).await;
    let later = now();
    put(&stream, vec![record("k", "d")]).await;
    let horizon = stream.subscribe(Position::TrimHorizon, 1);
    let at = stream.subscribe(Position::At(later), 1);
    let latest = stream.subscribe(Position::Latest, 1);
    put(&stream, vec![record("k", "e")]).await;
    assert_eq!(texts(&horizon[0].next(10, 1_000, Duration::ZERO).await), ["c", "d", "e"]);
    assert_eq!(texts(&at[0].next(10, 1_000, Duration::ZERO).await), ["d", "e"]);
    assert_eq!(texts(&latest[0].next(10, 1_000, Duration::ZERO).await), ["e"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_closes_when_full_by_count_or_bytes_or_when_its_window_has_passed() {
    let stream = MemoryStream::new("test", 1);
    let lane = &stream.subscribe(Position::Latest, 1)[0];
    put(&stream, vec![record("k", "12345"); 5]).await;
    let begin = Instant::now();
    let window = Duration::from_secs(2);
    assert_eq!(lane.next(2, 1_000, window).await.len(), 2);
    assert_eq!(lane.next(10, 9, window).await.len(), 1);
    assert_eq!(lane.next(10, 3, window).await.len(), 1, "one too large goes alone");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(lane.next(10, 1_000, window).await.len(), 1);
    assert_eq!(begin.elapsed(), window);
}

#[tokio::test]
async fn a_key_keeps_to_its_shard_and_lane_in_order() {
    let stream = MemoryStream::new("test", 3);
    let lanes = stream.subscribe(Position::Latest, 4);
    assert_eq!(lanes.len(), 12);
    for i in 0..300 {
        put(&stream, vec![record(&format!("k{}", i % 30), &format!("k{} {i}", i % 30))]).await;
    }
    let mut keys = 0;
    for lane in &lanes {
        if lane.is_empty() {
            continue;
        }
        let batch = lane.next(1_000, usize::MAX, Duration::ZERO).await;
        assert!(batch.iter().is_sorted_by_key(|record| record.sequence));
        let mut of_lane: Vec<_> = batch.iter().map(|record| record.key.as_str()).collect();
        of_lane.sort_unstable();
        of_lane.dedup();
        keys += of_lane.len();
        assert_eq!(batch.len(), of_lane.len() * 10);
    }
    assert_eq!(keys, 30);
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_throttles_until_a_subscriber_lets_go() {
    let stream = MemoryStream::new("test", 1).holding_at_most(10);
    let lane = &stream.subscribe(Position::Latest, 1)[0];
    put(&stream, vec![record("k", "12345678901")]).await;
    let rejected = stream.put(vec![record("k", "x")], now()).await.unwrap_err();
    assert_eq!(rejected.indexes, [0]);
    drop(lane.next(1, 100, Duration::ZERO).await);
    put(&stream, vec![record("k", "x")]).await;
    assert_eq!(stream.held(), 1);
}
