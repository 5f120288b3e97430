//! The function of a model that fails on some payloads of a batch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::common::{self, Bench, profile};
use rendezvous_core::{
    Artifact, Envelope, Failure, Json, RequestMessage, Timestamp, Unavailable, clock,
    conformance::samples,
    memory::{MemoryPayloads, MemoryTelemetry, Trouble},
    now,
    ports::{Record, Rejected, Stream},
};
use rendezvous_model::{Model, ModelFunction, ModelReport, Profile};
use tokio::time::Instant;

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

    fn artifact(&self) -> Option<Artifact> {
        "sha256:00".parse().ok()
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

#[tokio::test]
async fn scores_and_failures_name_the_artefact() {
    let bench = Batches::bench();
    assert_eq!(bench.handle(&["1", "\"panic\""]).await, None);
    assert_eq!(bench.artifacts().await, vec![Some("sha256:00".to_owned()); 2]);
}

/// Counts its calls. Panics, or hangs, on every one.
struct Counted {
    profile: Profile,
    largest_batch: usize,
    hangs: bool,
    calls: AtomicUsize,
}

impl Model for Counted {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.largest_batch
    }

    async fn score(&self, _: &[Json]) -> Vec<Result<Json, Failure>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        panic!("on purpose")
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_repeated_only_where_one_payload_may_have_failed_it_for_others() {
    for (largest_batch, hangs, expected) in [(1, false, 2), (2, false, 3), (2, true, 1)] {
        let profile = profile(Duration::from_secs(1));
        let model = Counted { profile, largest_batch, hangs, calls: AtomicUsize::new(0) };
        let bench = Bench::new(model);
        assert_eq!(bench.handle(&["1", "2"]).await, None);
        let calls = bench.model.calls.load(Ordering::Relaxed);
        assert_eq!(calls, expected, "{largest_batch} payloads, hangs: {hangs}");
        let report = bench.report();
        assert_eq!((report.failed + report.timed_out, report.times.len()), (2, 0));
    }
}

#[tokio::test]
async fn requests_of_other_endpoints_or_that_skip_the_model_are_not_scored_and_all_is_reported() {
    let bench = Batches::bench();
    let endpoint = samples::endpoint();
    let mine = Arc::unwrap_or_clone(samples::envelope(&endpoint));
    let other = Envelope { endpoint: "other".parse().unwrap(), ..mine.clone() };
    let skips = Envelope { skip: vec!["m@1".parse().unwrap()], ..mine.clone() };
    let json = Json::parse("1").unwrap();
    let write = |envelope: &Envelope| RequestMessage::write(envelope, &json).unwrap();
    let records = [write(&mine), write(&other), write(&skips), "{}".into()];
    bench.function.handle(common::records(records)).await;
    let report = bench.report();
    assert_eq!((report.requests, report.skipped, report.unreadable), (1, 1, 1));
    assert_eq!((report.scored, report.times.len(), report.unsent), (1, 1, 0));
    assert_eq!(bench.sent().await, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn scores_are_sent_again_for_five_seconds() {
    clock::simulate(now());
    let bench = Batches::bench();
    bench.scores.outage.set(Trouble::Throttled);
    let first = Instant::now();
    let relief = async {
        tokio::time::sleep(Duration::from_millis(4_900)).await;
        bench.scores.outage.set(Trouble::None);
    };
    let (again, ()) = tokio::join!(bench.handle(&["1"]), relief);
    assert_eq!(again, None);
    bench.scores.outage.set(Trouble::Throttled);
    let sent = first.elapsed();
    assert!((4_900..5_000).contains(&sent.as_millis()), "{sent:?}");
    let second = Instant::now();
    assert!(bench.handle(&["1"]).await.is_some());
    let given_up = second.elapsed();
    assert!((4_980..=5_000).contains(&given_up.as_millis()), "{given_up:?}");
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

fn panel() -> Bench<Batches> {
    let member = |id: &str| {
        let id = id.parse().unwrap();
        Batches(Profile { id, ..profile(Duration::from_secs(1)) })
    };
    Bench::panel([member("a@1"), member("b@1")])
}

#[tokio::test]
async fn a_panel_sends_the_scores_and_the_failures_of_all_its_models() {
    let bench = panel();
    assert_eq!(bench.handle(&["1", "\"panic\"", "2"]).await, None);
    let failed = "the model panicked";
    assert_eq!(bench.sent().await, ["1", "1", "2", "2", failed, failed]);
    let reports = bench.reports();
    let counted: Vec<_> =
        reports.iter().map(|r| (r.model.as_str(), r.requests, r.scored, r.failed)).collect();
    assert_eq!(counted, [("a@1", 3, 2, 1), ("b@1", 3, 2, 1)]);
}

#[tokio::test]
async fn a_panel_makes_one_call_of_the_stream_and_what_that_refuses_is_handed_over_again() {
    let bench = panel();
    bench.scores.outage.set(Trouble::Down);
    assert_eq!(bench.handle(&["1", "2"]).await.as_deref(), Some("0"));
    assert!(bench.reports().iter().all(|report| (report.scored, report.unsent) == (2, 2)));
    // A stream that takes one record of each call.
    let calls = Arc::new(AtomicUsize::new(0));
    let models = ["a@1", "b@1"].map(|id| {
        Arc::new(Batches(Profile { id: id.parse().unwrap(), ..profile(Duration::from_secs(1)) }))
    });
    let scores = Arc::new(OnlyFirst(calls.clone()));
    let telemetry = Arc::<MemoryTelemetry<ModelReport>>::default();
    let function =
        ModelFunction::panel(models.into(), scores, Arc::<MemoryPayloads>::default(), telemetry);
    let response = function.handle(common::batch(&["1", "2"])).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // The score of b@1 for the first request is among those that are missing.
    assert_eq!(response.batch_item_failures[0].item_identifier, "0");
}

/// Takes the first record of each call, and counts the calls.
struct OnlyFirst(Arc<AtomicUsize>);

impl Stream for OnlyFirst {
    async fn put(&self, records: Vec<Record>, _: Timestamp) -> Result<(), Rejected> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let cause = Unavailable::throttled("stream scores", "");
        Err(Rejected { indexes: (1..records.len()).collect(), cause })
    }
}

/// Hangs, until the deadlines of its requests.
struct Hanging(Profile);

impl Model for Hanging {
    fn profile(&self) -> &Profile {
        &self.0
    }

    fn until_deadline(&self) -> bool {
        true
    }

    async fn score(&self, _: &[Json]) -> Vec<Result<Json, Failure>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_may_end_its_calls_at_the_deadline() {
    clock::simulate(now());
    let bench = Bench::new(Hanging(profile(Duration::from_secs(20))));
    let batch = common::batch(&["1"]);
    let start = Instant::now();
    bench.function.handle(batch).await;
    // The deadline of the sample.
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(bench.report().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_has_passed_is_expired_unless_the_model_wants_it() {
    for scores_expired in [false, true] {
        clock::simulate(now());
        let bench =
            Bench::new(Batches(Profile { scores_expired, ..profile(Duration::from_secs(1)) }));
        let batch = common::batch(&["1"]);
        // Exactly as long as the sample's deadline.
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.function.handle(batch).await;
        let report = bench.report();
        assert_eq!(report.expired, usize::from(!scores_expired));
        assert_eq!(report.scored, usize::from(scores_expired));
        let expected = if scores_expired { "1" } else { "the request's deadline had passed" };
        assert_eq!(bench.sent().await, [expected]);
    }
}
