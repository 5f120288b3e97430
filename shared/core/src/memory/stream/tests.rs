use tokio::time::Instant;

use super::*;
use crate::names::EndpointName;

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
    put(&stream, vec![record("k", "12345"); 2]).await;
    assert_eq!(lane.next(10, 10, window).await.len(), 2, "full to the byte");
    assert_eq!(begin.elapsed(), window);
    put(&stream, vec![record("k", "12345")]).await;
    assert_eq!(lane.next(10, 10, window).await.len(), 1);
    assert_eq!(begin.elapsed(), 2 * window, "what was taken no longer counts");
}

#[tokio::test]
async fn the_endpoint_of_a_record_is_read_once() {
    let stream = MemoryStream::new("test", 1);
    let lanes = [(); 2].map(|()| stream.subscribe(Position::Latest, 1).remove(0));
    put(&stream, vec![record("k", "e"), record("k", "E")]).await;
    let mut reads = 0;
    for lane in &lanes {
        let batch = lane.next(10, 1_000, Duration::ZERO).await;
        let endpoints = batch.iter().map(|record| {
            let endpoint = record.endpoint(|data| {
                reads += 1;
                std::str::from_utf8(data).unwrap().parse().ok()
            });
            endpoint.map(EndpointName::as_str)
        });
        assert_eq!(endpoints.collect::<Vec<_>>(), [Some("e"), None]);
    }
    assert_eq!(reads, 2);
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
    put(&stream, vec![record("k", "1234567890")]).await;
    put(&stream, vec![record("k", "x")]).await;
    assert_eq!(stream.held(), 11, "puts are throttled while more than the limit is held");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_put_pauses_only_where_its_time_allows_another_try() {
    crate::clock::simulate(now());
    let stream = MemoryStream::new("test", 1);
    stream.outage.set(crate::memory::Trouble::Throttled);
    for (millis, expected) in [(10, 0), (11, 10), (20, 10), (21, 20)] {
        let begin = Instant::now();
        let until = now() + Duration::from_millis(millis);
        stream.put(vec![record("k", "x")], until).await.unwrap_err();
        assert_eq!(begin.elapsed(), Duration::from_millis(expected), "until {millis} ms");
    }
}

#[tokio::test]
async fn both_halves_of_a_split_shard_take_records_until_there_is_one_hash_left() {
    let stream = MemoryStream::new("test", 2);
    assert!(stream.split(1));
    let lanes = stream.subscribe(Position::Latest, 1);
    for key in 0..40 {
        put(&stream, vec![record(&format!("k{key}"), "x")]).await;
    }
    let mut shards = Vec::new();
    for lane in &lanes {
        for record in lane.next(100, 1_000, Duration::ZERO).await {
            assert_eq!(record.shard, lane.shard());
            let name = format!("{}:{}", lane.shard_name(), record.sequence_number());
            assert_eq!(record.event_id(), name);
            shards.push(lane.shard());
        }
    }
    let of_shard = |number| shards.iter().filter(|shard| **shard == number).count();
    assert!((10..30).contains(&of_shard(0)), "{shards:?}");
    assert!((4..16).contains(&of_shard(2)) && (4..16).contains(&of_shard(3)), "{shards:?}");

    // Each first half, again and again.
    let (mut splits, mut number) = (1, 2);
    while splits < 100 && stream.split(number) {
        splits += 1;
        number = 2 * splits;
    }
    assert_eq!(splits, 63, "half of the 2^64 hashes can be halved 63 times");
}

/// Reads a subscription and all that follow it, in turns, until nothing is left.
async fn read_all(first: Vec<Subscription>) -> Vec<String> {
    let (mut lanes, mut read) = (VecDeque::from(first), Vec::new());
    while let Some(lane) = lanes.pop_front() {
        let wait = Duration::from_millis(1);
        match tokio::time::timeout(wait, lane.next(2, 1_000, Duration::ZERO)).await {
            Err(_) => {}
            Ok(batch) if batch.is_empty() => lanes.extend(lane.successors()),
            Ok(batch) => {
                read.extend(texts(&batch).iter().map(ToString::to_string));
                lanes.push_back(lane);
            }
        }
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_split_or_merged_is_read_before_those_that_follow_it() {
    let stream = MemoryStream::new("test", 2);
    let lanes = stream.subscribe(Position::Latest, 2);
    let keys = 40;
    let mut number = 0;
    let mut put_round = async || {
        for key in 0..keys {
            put(&stream, vec![record(&format!("k{key}"), &format!("{key} {number}"))]).await;
        }
        number += 1;
    };
    put_round().await;
    assert!(stream.split(1) && !stream.split(1), "it is closed");
    assert_eq!(stream.open_shards(), [0, 2, 3]);
    put_round().await;
    assert!(stream.merge(0) && !stream.merge(3), "there is none after the last");
    assert_eq!(stream.open_shards(), [4, 3]);
    put_round().await;
    assert!(stream.split(4));
    put_round().await;

    let read = read_all(lanes).await;
    assert_eq!(read.len(), keys * 4);
    for key in 0..keys {
        let of_key: Vec<_> =
            read.iter().filter(|text| text.starts_with(&format!("{key} "))).collect();
        let expected: Vec<_> = (0..4).map(|round| format!("{key} {round}")).collect();
        assert_eq!(of_key, expected.iter().collect::<Vec<_>>(), "in order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_merged_shard_waits_for_both_before_it() {
    let stream = MemoryStream::new("test", 2);
    let lanes = stream.subscribe(Position::Latest, 1);
    assert!(stream.merge(0));
    assert_eq!(lanes[0].next(1, 1, Duration::ZERO).await.len(), 0);
    assert_eq!(lanes[0].successors().len(), 0, "the other is not read to its end");
    assert_eq!(lanes[1].next(1, 1, Duration::ZERO).await.len(), 0);
    assert_eq!(lanes[1].successors().len(), 1);
    assert_eq!(lanes[1].successors().len(), 0, "once");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_starts_over_reads_what_is_retained() {
    let stream = MemoryStream::new("test", 1).retaining(10);
    let whole = stream.subscribe(Position::Latest, 1);
    let lanes = stream.subscribe(Position::Latest, 2);
    for key in ["a", "b", "c", "d"] {
        put(&stream, vec![record(key, key)]).await;
    }
    let lane = lanes.iter().find(|lane| !lane.is_empty()).unwrap();
    let first = lane.next(10, 1_000, Duration::ZERO).await;
    assert!(lane.is_empty());
    lane.start_over();
    assert_eq!(texts(&lane.next(10, 1_000, Duration::ZERO).await), texts(&first));
    drop(first);
    stream.retain(0);
    drop((lanes, whole));
    assert_eq!(stream.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_starts_over_keeps_what_it_has_not_taken() {
    let stream = MemoryStream::new("test", 1).retaining(2);
    let lane = &stream.subscribe(Position::Latest, 1)[0];
    put(&stream, ["a", "b", "c", "d"].map(|data| record("k", data)).to_vec()).await;
    assert_eq!(texts(&lane.next(1, 1_000, Duration::ZERO).await), ["a"]);
    lane.start_over();
    assert_eq!(texts(&lane.next(10, 1_000, Duration::ZERO).await), ["b", "c", "d"]);
    lane.start_over();
    assert_eq!(texts(&lane.next(10, 1_000, Duration::ZERO).await), ["c", "d"]);
}
