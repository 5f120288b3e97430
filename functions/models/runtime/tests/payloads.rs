//! The function of a model whose requests refer to their payloads.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::common::{self, Bench, profile};
use bytes::Bytes;
use rendezvous_core::{
    Envelope, Failure, Json, Payload, RequestMessage, Sha256Digest, Unavailable, clock,
    conformance::samples,
    memory::{MemoryPayloads, MemoryStream, MemoryTelemetry, Trouble},
    now,
    payloads::store,
    ports::Payloads,
};
use rendezvous_model::{Model, ModelFunction, ModelReport, Profile};

/// Answers with the length of each payload, and notes how many payloads its calls have.
struct Lengths {
    profile: Profile,
    calls: Mutex<Vec<usize>>,
}

impl Lengths {
    fn new(id: &str, scores_expired: bool) -> Self {
        let id = id.parse().unwrap();
        let profile = Profile { id, scores_expired, ..profile(Duration::from_secs(1)) };
        Self { profile, calls: Mutex::default() }
    }
}

impl Model for Lengths {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        100
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        self.calls.lock().unwrap().push(payloads.len());
        let length = |payload: &Json| Json::parse(&payload.as_str().len().to_string()).unwrap();
        payloads.iter().map(|payload| Ok(length(payload))).collect()
    }
}

/// The record of a request with a stored payload of so many bytes.
async fn stored(payloads: &impl Payloads, bytes: usize) -> (Arc<Envelope>, Bytes) {
    let envelope = samples::envelope(&samples::endpoint());
    let payload = Json::parse(&format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
    let digest = Sha256Digest::of(payload.as_str());
    let reference = store(payloads, &envelope, &payload, digest).await.unwrap();
    let record = RequestMessage::write_payload(&envelope, &Payload::Stored(reference)).unwrap();
    (envelope, record)
}

#[tokio::test]
async fn at_most_20_mb_of_payloads_are_held_at_a_time_and_others_do_not_wait_for_them() {
    let bench = Bench::new(Lengths::new("m@1", false));
    let mut records = Vec::new();
    for bytes in [5_000_000, 4_999_999, 5_000_000, 5_000_000, 5_000_000, 300_000] {
        records.push(stored(&*bench.payloads, bytes).await.1);
    }
    let envelope = samples::envelope(&samples::endpoint());
    records.push(RequestMessage::write(&envelope, &Json::parse("\"inline\"").unwrap()).unwrap());
    bench.function.handle(common::records(records)).await;
    assert_eq!(*bench.model.calls.lock().unwrap(), [1, 4, 2]);
    let sent = bench.sent().await;
    assert_eq!(sent[..3], ["300000", "4999999", "5000000"]);
    assert_eq!((sent.len(), bench.report().scored), (7, 7));
}

/// Counts the reads.
#[derive(Default)]
struct Counted(MemoryPayloads, AtomicUsize);

impl Payloads for Counted {
    fn url(&self) -> &str {
        self.0.url()
    }

    async fn put(&self, key: &str, body: Bytes, sha: Sha256Digest) -> Result<(), Unavailable> {
        self.0.put(key, body, sha).await
    }

    async fn get(&self, key: &str, at_most: u64) -> Result<Option<Bytes>, Unavailable> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(key, at_most).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panel_reads_a_payload_once_and_an_expired_request_is_not_read() {
    clock::simulate(now());
    let payloads = Arc::new(Counted::default());
    let models = ["a@1", "b@1"].map(|id| Arc::new(Lengths::new(id, false)));
    let scores = Arc::new(MemoryStream::new("scores", 1));
    let telemetry = Arc::<MemoryTelemetry<ModelReport>>::default();
    let function =
        ModelFunction::panel(models.to_vec(), scores, payloads.clone(), telemetry.clone());
    let records = [stored(&*payloads, 300_000).await.1];
    function.handle(common::records(records.clone())).await;
    assert_eq!(payloads.1.load(Ordering::Relaxed), 1);
    assert_eq!(telemetry.last().unwrap().scored, 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    function.handle(common::records(records)).await;
    assert_eq!(payloads.1.load(Ordering::Relaxed), 1);
    assert_eq!(telemetry.last().unwrap().expired, 1);
}

#[tokio::test]
async fn what_is_not_this_requests_payload_is_not_read_and_fails_its_score_alone() {
    let bench = Bench::new(Lengths::new("m@1", false));
    let (_, good) = stored(&*bench.payloads, 300_000).await;
    let (other, _) = stored(&*bench.payloads, 300_000).await;
    let text = String::from_utf8(stored(&*bench.payloads, 300_000).await.1.to_vec()).unwrap();
    let mut records = vec![good.clone()];
    let message = RequestMessage::parse(text.as_bytes()).unwrap();
    let Payload::Stored(reference) = &message.payload else { panic!("it is inline") };
    let foreign = reference.url.replace(&message.envelope.id.to_string(), &other.id.to_string());
    for url in [&foreign, "s3://another/payloads/e/1", "file:///etc/passwd"] {
        records.push(text.replace(&reference.url, url).into());
    }
    let digest = Sha256Digest::of("other").to_string();
    records.push(text.replace(&reference.sha256.to_string(), &digest).into());
    records.push(text.replace("300000", "299999").into());
    bench.function.handle(common::records(records)).await;
    let sent = bench.sent().await;
    assert_eq!(sent[0], "300000");
    let count = |part: &str| sent.iter().filter(|message| message.contains(part)).count();
    assert_eq!((count("payload_ref is not"), count("SHA-256"), count("length")), (3, 1, 1));
    assert_eq!((bench.report().failed, bench.report().unsent), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_a_score_fails_that_somebody_waits_for_and_others_come_again() {
    clock::simulate(now());
    for (scores_expired, waited, expected) in
        [(false, 0, (1, 0, None)), (true, 0, (1, 0, None)), (true, 2, (0, 1, Some("0")))]
    {
        let bench = Bench::new(Lengths::new("m@1", scores_expired));
        let (_, record) = stored(&*bench.payloads, 300_000).await;
        tokio::time::advance(Duration::from_secs(waited)).await;
        bench.payloads.outage.set(Trouble::Down);
        let mut response = bench.function.handle(common::records([record])).await;
        let again = response.batch_item_failures.pop().map(|failure| failure.item_identifier);
        let report = bench.report();
        assert_eq!((report.failed, report.unsent, again.as_deref()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_ends_at_the_deadline() {
    clock::simulate(now());
    let bench = Bench::new(Lengths::new("m@1", false));
    let (envelope, record) = stored(&*bench.payloads, 300_000).await;
    bench.payloads.outage.set(Trouble::Hanging);
    bench.function.handle(common::records([record])).await;
    assert!(now().since(envelope.deadline) < Duration::from_millis(5));
    let sent = bench.sent().await;
    assert_eq!(sent, ["the payload was not read: payload store did not answer in time"]);
}
