//! The list of overdue requests, as a minute's run works through it.

use std::sync::Arc;

use rendezvous_core::{
    Configuration, Envelope, Provenance, Write, Written, clock,
    conformance::samples,
    memory::{MemoryEndpoints, MemoryLedger, MemoryTelemetry, MemoryWindows, Trouble},
    ports::{NoTelemetry, Watch},
};
use tokio::time::timeout;

use super::*;
use crate::windows::{GUARDED, VERDICTS, series};

#[tokio::test]
async fn a_request_that_moves_to_another_minute_replaces_none_that_its_batch_has_listed_there() {
    let (ledger, windows) = (Arc::<MemoryLedger>::default(), Arc::<MemoryWindows>::default());
    let endpoints = Arc::<MemoryEndpoints>::default();
    let telemetry = Arc::<MemoryTelemetry<MonitorReport>>::default();
    let monitor = Monitor::new(endpoints, ledger.clone(), windows.clone(), telemetry.clone(), KEPT);
    let endpoint = samples::endpoint();
    let reopened = samples::received_at(&samples::envelope(&endpoint), now() + KEPT);
    ledger.write(&Write::open(&reopened, [1; 32], None)).await.unwrap();
    let other = RequestId::random();
    // The one was listed before it was opened again.
    let listed = [(reopened.id, now() - Duration::from_mins(5)), (other, reopened.deadline)];
    windows.put(entries("batch", &listed.into())).await.unwrap();
    monitor.minute().await;
    let all = Minute::FIRST..due(reopened.deadline).plus(1);
    let found = windows.read(SERIES, all, 10).await.unwrap();
    let mut listed: Vec<_> = found.iter().map(|entry| (entry.key.minute, ids(entry))).collect();
    listed.sort_unstable_by_key(|(_, ids)| ids[0] != other);
    let minute = due(reopened.deadline);
    assert_eq!(listed, [(minute, vec![other]), (minute, vec![reopened.id])]);

    ledger.outage.set(Trouble::Down);
    let overdue = [(other, now() - Duration::from_mins(5))];
    windows.put(entries("second batch", &overdue.into())).await.unwrap();
    monitor.minute().await;
    assert_eq!(telemetry.last().unwrap().left, 1);
    ledger.outage.set(Trouble::None);
    monitor.minute().await;
    assert_eq!(telemetry.last().unwrap().left, 0);
    let now_there = windows.read(SERIES, Minute::FIRST..minute, 10).await.unwrap();
    assert_eq!(now_there, [], "a request without a mailbox is dropped");
}

/// A ledger that is down for one request.
#[derive(Debug)]
struct DownFor(RequestId, Arc<MemoryLedger>);

impl Ledger for DownFor {
    async fn read(
        &self,
        id: RequestId,
        consistency: Consistency,
    ) -> Result<Option<Mailbox>, Unavailable> {
        if id == self.0 {
            return Err(Unavailable::down("ledger", "of this request"));
        }
        self.1.read(id, consistency).await
    }

    async fn write(&self, write: &Write) -> Result<Written, Unavailable> {
        self.1.write(write).await
    }

    fn watch(&self, envelope: &Arc<Envelope>) -> impl Watch + '_ {
        self.1.watch(envelope)
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_decided_keeps_no_other_from_it() {
    let windows = Arc::<MemoryWindows>::default();
    let telemetry = Arc::<MemoryTelemetry<MonitorReport>>::default();
    let first = RequestId::random();
    let ledger = Arc::new(DownFor(first, Arc::default()));
    let (endpoints, kept) = (Arc::<MemoryEndpoints>::default(), windows.clone());
    let monitor = Monitor::new(endpoints, ledger, kept, telemetry.clone(), KEPT);
    for batch in 0..3 * PAGE {
        let id = if batch == 0 { first } else { RequestId::random() };
        let listed = [(id, now() - Duration::from_mins(5))];
        windows.put(entries(&format!("batch {batch:04}"), &listed.into())).await.unwrap();
    }
    monitor.minute().await;
    assert_eq!(telemetry.last().unwrap().left, 1);
    let found = windows.read(SERIES, Minute::FIRST..Minute::of(now()), PAGE).await.unwrap();
    assert_eq!(found.iter().flat_map(ids).collect::<Vec<_>>(), [first]);
}

#[tokio::test(start_paused = true)]
async fn a_run_decides_all_that_there_is_time_for_however_many_batches_have_listed_it() {
    clock::simulate(now());
    let (ledger, windows) = (Arc::<MemoryLedger>::default(), Arc::<MemoryWindows>::default());
    let endpoints = Arc::<MemoryEndpoints>::default();
    let telemetry = Arc::<MemoryTelemetry<MonitorReport>>::default();
    let endpoint = samples::endpoint();
    let provenance = Provenance::new("test", "").unwrap();
    let configuration = Configuration::parse(samples::CONFIGURATION).unwrap();
    endpoints.publish(&endpoint.name, configuration, provenance, None).await.unwrap();
    let monitor = Monitor::new(endpoints, ledger.clone(), windows.clone(), telemetry.clone(), KEPT);
    let list = async |batches: std::ops::Range<usize>| {
        for batch in batches {
            let envelope = samples::envelope(&endpoint);
            ledger.write(&Write::open(&envelope, [1; 32], None)).await.unwrap();
            let listed = [(envelope.id, now() - Duration::from_mins(5))];
            windows.put(entries(&format!("batch {batch}"), &listed.into())).await.unwrap();
        }
        clock::sleep_until(now() + Duration::from_mins(1)).await;
    };
    list(0..3 * PAGE).await;
    monitor.minute().await;
    let report = telemetry.last().unwrap();
    assert_eq!((report.settled, report.left), (3 * PAGE, 0));

    // 25 lists at a time, of which each takes a read and a write of half a second: 50 seconds are enough for at most 1,250.
    list(0..2_000).await;
    ledger.outage.set(Trouble::Slow(Duration::from_millis(500)));
    monitor.minute().await;
    let report = telemetry.last().unwrap();
    assert!((1_150..=1_250).contains(&report.settled), "{report:?}");
    assert!(report.left > 0, "{report:?}");
    ledger.outage.set(Trouble::None);
    monitor.minute().await;
    let settled = telemetry.last().unwrap().settled;
    assert_eq!((report.settled + settled, telemetry.last().unwrap().left), (2_000, 0));

    list(0..2_000).await;
    ledger.outage.set(Trouble::Slow(Duration::from_millis(500)));
    // What a run has done that is cut short is not done again.
    let cut = timeout(Duration::from_secs(20), monitor.minute()).await;
    assert!(cut.is_err());
    let all = Minute::FIRST..Minute::of(now()).plus(1);
    let left = windows.read(SERIES, all, 2_000).await.unwrap().len();
    assert!((1_500..=1_550).contains(&left), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_short_while_it_decides_overdue_requests_has_judged_the_arms() {
    clock::simulate(now());
    let (ledger, windows) = (Arc::<MemoryLedger>::default(), Arc::<MemoryWindows>::default());
    let endpoints = Arc::<MemoryEndpoints>::default();
    let arms = r#""arms": [{ "name": "next", "steps": [0.5], "guard": { "hold_minutes": 5 },
        "schedule": { "choices": [{ "model": "b@1" }], "deadline_ms": 500 } }], "observers""#;
    let configuration = samples::CONFIGURATION.replacen("\"observers\"", arms, 1);
    let configuration = Configuration::parse(&configuration).unwrap();
    let (name, provenance) = (samples::endpoint().name, Provenance::new("test", "").unwrap());
    endpoints.publish(&name, configuration, provenance, None).await.unwrap();
    let at = |of: &str, part: String| EntryKey {
        series: of.to_owned(),
        minute: Minute::of(now()),
        part,
    };
    let lately = Entry { key: at(GUARDED, name.to_string()), body: Bytes::new(), expires: None };
    let overdue = [(RequestId::random(), now() - Duration::from_mins(5))];
    windows.put([vec![lately], entries("batch", &overdue.into())].concat()).await.unwrap();
    let (kept, telemetry) = (windows.clone(), Arc::new(NoTelemetry));
    let monitor = Monitor::new(endpoints, ledger.clone(), kept, telemetry, KEPT);
    ledger.outage.set(Trouble::Hanging);
    let cut = timeout(Duration::from_secs(1), monitor.minute()).await;
    assert!(cut.is_err(), "the ledger hangs");
    let minutes = Minute::FIRST..Minute::of(now()).plus(1);
    let verdicts = windows.read(&series(&name, VERDICTS), minutes, 10).await.unwrap();
    assert_eq!(verdicts.len(), 1);
}
