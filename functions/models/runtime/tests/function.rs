//! The function of a model that fails on some payloads of a batch.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::time::Duration;

use common::{Bench, profile};
use rendezvous_core::{Failure, Json, clock, memory::Trouble, now};
use rendezvous_model::{Model, Profile};

/// Scores whole batches. Payloads say what goes wrong.
struct Batches(Profile);

impl Batches {
    fn bench() -> Bench<Self> {
        Bench::new(Self(profile(Duration::from_secs(1))))
    }
}

impl Model for Batches {
    fn profile(&self) -> &Profile {
        &self.0
    }

    fn largest_batch(&self) -> usize {
        100
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        assert!(payloads.iter().all(|payload| payload.as_str() != "\"panic\""));
        let mut results: Vec<_> = payloads.iter().cloned().map(Ok).collect();
        if payloads.iter().any(|payload| payload.as_str() == "\"lose one\"") {
            results.pop();
        }
        results
    }
}

/// The scores and failure messages for these payloads, sorted.
async fn sent(payloads: &[&str]) -> Vec<String> {
    let bench = Batches::bench();
    assert_eq!(bench.handle(payloads).await, None);
    let report = bench.report();
    assert_eq!((report.model.as_str(), report.requests), ("m@1", payloads.len()));
    assert_eq!(report.requests, report.scored + report.failed + report.invalid);
    bench.sent().await
}

#[tokio::test]
async fn a_payload_on_which_the_model_panics_fails_alone() {
    let sent = sent(&["1", "\"panic\"", "2", "3"]).await;
    assert_eq!(sent, ["1", "2", "3", "the model panicked"]);
}

#[tokio::test]
async fn a_payload_for_which_the_model_returns_no_result_fails_alone() {
    let sent = sent(&["1", "\"lose one\"", "2"]).await;
    assert_eq!(sent, ["1", "2", "the model returned 0 results for 1 payloads"]);
}

#[tokio::test]
async fn a_score_that_breaks_the_contract_is_a_failure() {
    let sent = sent(&["null", "7"]).await;
    assert_eq!(sent, ["7", "null is no score"]);
}

#[tokio::test]
async fn requests_whose_scores_are_not_sent_are_handed_over_again() {
    let bench = Batches::bench();
    bench.scores.outage.set(Trouble::Down);
    assert_eq!(bench.handle(&["1", "2"]).await.as_deref(), Some("0"));
    let report = bench.report();
    assert_eq!((report.scored, report.unsent), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_has_passed_is_expired_unless_the_model_wants_it() {
    for scores_expired in [false, true] {
        clock::simulate(now());
        let bench =
            Bench::new(Batches(Profile { scores_expired, ..profile(Duration::from_secs(1)) }));
        let batch = common::batch(&["1"]);
        tokio::time::sleep(Duration::from_mins(1)).await;
        bench.function.handle(batch).await;
        let report = bench.report();
        assert_eq!(report.expired, usize::from(!scores_expired));
        assert_eq!(report.scored, usize::from(scores_expired));
        let expected = if scores_expired { "1" } else { "the request's deadline had passed" };
        assert_eq!(bench.sent().await, [expected]);
    }
}
