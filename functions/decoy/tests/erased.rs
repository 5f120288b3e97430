//! Of a request that has a tombstone nothing is archived, from whatever source.

use std::{sync::atomic::Ordering, time::Duration};

use crate::common::*;
use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, Row, ScoreRow, tombstones};
use rendezvous_core::{
    RequestId, Timestamp, now,
    ports::{Archive, Erase},
};
use rendezvous_decoy::{Stream, Table};
use tokio::time::advance;

const TOMBSTONE: &str = "tombstones/x-1.json";

/// Hands over what there is of these requests, from every source. Returns whether it was acknowledged.
async fn deliver(bed: &Bed, requests: &[usize], arrived: Timestamp) -> bool {
    let number = |source: u64, n: usize| source * 1_000 + n as u64;
    let input = requests.iter().map(|n| record(0, number(1, *n), arrived, &request(*n, "{}")));
    let scores = requests
        .iter()
        .map(|n| record(0, number(2, *n), arrived, &score(*n, 1, "a@1", "\"score\":{}")));
    let decided = |n| {
        decided(
            n,
            "\"kind\":\"champion\",\"reason\":\"preferred\",\"model\":\"a@1\",\"seen\":[],\"score\":{}",
        )
    };
    let decisions = requests.iter().map(|n| change(number(3, *n), arrived, open(*n), decided(*n)));
    let outcomes =
        requests.iter().map(|n| change(number(4, *n), arrived, item([]), outcome(*n, "{}", 5)));
    let (input, scores): (Vec<_>, Vec<_>) = (input.collect(), scores.collect());
    let (decisions, outcomes): (Vec<_>, Vec<_>) = (decisions.collect(), outcomes.collect());
    bed.records(Stream::Input, &input).await.0
        && bed.records(Stream::Scores, &scores).await.0
        && bed.changes(Table::Ledger, &decisions).await.0
        && bed.changes(Table::Outcomes, &outcomes).await.0
}

/// The requests that a table has rows of.
fn of<R: Row>(bed: &Bed) -> Vec<RequestId> {
    let mut ids: Vec<RequestId> = bed.rows::<R>().iter().map(Row::request_id).collect();
    ids.sort();
    ids
}

fn archived(bed: &Bed) -> [Vec<RequestId>; 4] {
    [
        of::<RequestRow<'_>>(bed),
        of::<ScoreRow<'_>>(bed),
        of::<DecisionRow<'_>>(bed),
        of::<OutcomeRow<'_>>(bed),
    ]
}

async fn bury(bed: &Bed, request: usize) {
    let request: RequestId = id(request).parse().unwrap();
    let body = tombstones::write(&"e".parse().unwrap(), [request].into_iter());
    bed.archive.files.put(TOMBSTONE, body).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_request_with_a_tombstone_are_left_out_and_the_others_archived() {
    rendezvous_core::clock::simulate(now());
    let bed = Bed::new().await;
    bury(&bed, 1).await;
    assert!(deliver(&bed, &[0, 1, 2], ARRIVED).await);
    let others = [0, 2].map(|n| id(n).parse().unwrap()).to_vec();
    assert_eq!(archived(&bed), [const { Vec::new() }; 4].map(|_: Vec<()>| others.clone()));
    assert!(deliver(&bed, &[1], ARRIVED).await, "a batch of nothing else is done");
    assert_eq!(archived(&bed).concat().len(), 8);
    // When the streams no longer have the records, the tombstone is deleted.
    bed.archive.files.erase(TOMBSTONE).await.unwrap();
    advance(Duration::from_secs(61)).await;
    assert!(deliver(&bed, &[1], ARRIVED).await);
    assert_eq!(archived(&bed).concat().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn tombstones_are_read_once_a_minute_and_no_batch_is_archived_while_they_cannot_be() {
    rendezvous_core::clock::simulate(now());
    let bed = Bed::new().await;
    assert!(deliver(&bed, &[0], ARRIVED).await);
    bury(&bed, 1).await;
    advance(Duration::from_secs(59)).await;
    assert!(deliver(&bed, &[1], ARRIVED).await);
    assert_eq!(archived(&bed).concat().len(), 8, "they were read less than a minute ago");
    advance(Duration::from_secs(2)).await;
    let later = ARRIVED + Duration::from_hours(1);
    assert!(deliver(&bed, &[1], later).await);
    assert_eq!(archived(&bed).concat().len(), 8);
    advance(Duration::from_secs(61)).await;
    bed.archive.is_unlisted.store(true, Ordering::Relaxed);
    assert!(!deliver(&bed, &[2], ARRIVED).await, "it is delivered again");
    bed.archive.is_unlisted.store(false, Ordering::Relaxed);
    assert!(deliver(&bed, &[2], ARRIVED).await);
}
