//! A key's rows are gone and all others are as they were, wherever the command is stopped, and what is delivered again does
//! not bring them back.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use rendezvous_core::{
    EndpointName, RequestId, Unavailable,
    memory::MemoryPayloads,
    now, payloads,
    ports::{Archive, Payloads},
};
use rendezvousctl::{
    compact::{CompactOptions, compact},
    erase::{Expires, Places, Tables, Who},
};

use crate::archived::{Store, archive, decoy, id, key, rows, views};

const NOW: Duration = Duration::ZERO;

/// Remembers which items were to be deleted.
#[derive(Default)]
struct Items(Mutex<Vec<RequestId>>);

impl Tables for Items {
    async fn delete(&self, _: &EndpointName, requests: &[RequestId]) -> Result<u64, Unavailable> {
        self.0.lock().unwrap().extend(requests);
        Ok(requests.len() as u64)
    }
}

type TestPlaces = Places<Store, MemoryPayloads, Items>;

fn places(archive: Store, failures: Store) -> TestPlaces {
    Places {
        archive,
        failures: Some(failures),
        payloads: MemoryPayloads::default(),
        tables: Items::default(),
        retention: Duration::from_hours(24),
        expires: vec![Expires { what: "backups", days: Some(35), why: "so" }],
    }
}

fn endpoint() -> EndpointName {
    "e".parse().unwrap()
}

fn ann() -> Who {
    Who::Key("ann".parse().unwrap())
}

/// Requests of three keys, and a batch of them in the failure bucket and in quarantine.
async fn archives() -> (Store, Store) {
    let (store, failures) = (Store::new(), Store::new());
    let decoy = decoy(&store);
    for first in (0..60).step_by(20) {
        archive(&decoy, first..first + 20).await;
    }
    let line = |n| format!("{{\"reason\":\"late\",\"change\":{{\"id\":\"{}\"}}}}\n", id(n));
    let lines = (0..6).map(line).collect::<Vec<_>>().concat();
    store.put("quarantine/ledger/1-2-3.ndjson", lines.into()).await.unwrap();
    let records: Vec<_> =
        (0..6).map(|n| serde_json::json!({ "dynamodb": { "id": id(n) } })).collect();
    let batch = serde_json::json!({ "payload": { "Records": records } }).to_string();
    failures.put("aws/lambda/x/2026/batch.json", batch.into()).await.unwrap();
    (store, failures)
}

/// Everything that is stored of this key, wherever that is.
fn stored_of(places: &TestPlaces, wanted: &str) -> Vec<String> {
    let ids: Vec<String> =
        (0..70).filter(|n| key(*n) == wanted).map(|n| id(n).to_string()).collect();
    let is_of = |text: &String| ids.iter().any(|id| text.contains(id.as_str()));
    let files = places.failures.as_ref().unwrap().files().into_iter();
    let quarantine = places.archive.files().into_iter();
    let quarantine = quarantine.filter(|(name, _)| name.starts_with("quarantine/"));
    let lines = files.chain(quarantine);
    let lines = lines.map(|(_, body)| String::from_utf8(body.to_vec()).unwrap());
    rows(&places.archive).into_iter().chain(lines).filter(is_of).collect()
}

/// The rows of the other keys, as often as they are there.
fn rows_of_others(store: &Store) -> Vec<String> {
    let ids: Vec<String> =
        (0..70).filter(|n| key(*n) == "ann").map(|n| id(n).to_string()).collect();
    let mut rows = rows(store);
    rows.retain(|row| ids.iter().all(|id| !row.contains(id.as_str())));
    rows
}

#[tokio::test(start_paused = true)]
async fn a_key_is_erased_everywhere_and_does_not_come_back() {
    rendezvous_core::clock::simulate(now());
    let (store, failures) = archives().await;
    let places = places(store, failures);
    let others = rows_of_others(&places.archive);
    let stored = payloads::key(&endpoint(), id(3));
    let body = Bytes::from_static(b"{}");
    let digest = rendezvous_core::Sha256Digest::of(&body);
    places.payloads.put(&stored, body, digest).await.unwrap();
    assert_eq!(places.count(&endpoint(), &ann()).await.unwrap(), 20);
    // 20 requests with a request, two scores, a decision and two outcomes.
    assert_eq!(stored_of(&places, "ann").len(), 20 * 6 + 2);

    let certificate = places.erase(&endpoint(), &ann(), NOW).await.unwrap();
    assert_eq!(stored_of(&places, "ann"), [""; 0]);
    assert_eq!(rows_of_others(&places.archive), others);
    assert_eq!(rows(&places.archive), others);
    assert_eq!(stored_of(&places, "bob").len(), 20 * 6 + 2, "the records of others stay");
    assert_eq!(places.payloads.keys(), [""; 0]);
    assert_eq!(places.tables.0.lock().unwrap().len(), 20);
    let json = &certificate.json;
    assert_eq!([&json["requests"], &json["items"], &json["payloads"]], [20, 20, 1]);
    assert_eq!(json["complete"], false);
    assert!(!json.to_string().contains("ann"), "it does not name whom it is about");
    assert!(json["files"]["quarantine/ledger/1-2-3.ndjson"]["new"].is_string(), "{json}");
    assert!(certificate.text.contains("erase --continue"), "{}", certificate.text);

    // The streams deliver everything again, some of it for the first time.
    let instance = decoy(&places.archive);
    archive(&instance, 0..60).await;
    assert_eq!(stored_of(&places, "ann"), [""; 0], "the decoy obeys the tombstones");
    archive(&instance, 60..66).await;
    assert_eq!(stored_of(&places, "ann").len(), 2 * 6, "received before, archived only now");
    let waiting = places.resume(NOW).await.unwrap();
    assert!(waiting.text.contains("can be completed from"), "{}", waiting.text);

    tokio::time::advance(Duration::from_hours(25)).await;
    let completed = places.resume(NOW).await.unwrap();
    assert_eq!(completed.json[0]["complete"], true, "{}", completed.text);
    assert_eq!(completed.json[0]["requests"], 22);
    assert_eq!(stored_of(&places, "ann"), [""; 0]);
    for folder in ["erasures/", "tombstones/"] {
        assert_eq!(places.archive.names(folder), [""; 0]);
    }
    assert_eq!(places.archive.names("certificates/").len(), 1);
    let nothing = places.resume(NOW).await.unwrap();
    assert_eq!(nothing.text, "no erasure is to be completed");
}

#[tokio::test(start_paused = true)]
async fn one_request_is_erased_and_the_others_of_its_key_stay() {
    let (store, failures) = archives().await;
    let places = places(store, failures);
    let before = stored_of(&places, "ann").len();
    places.erase(&endpoint(), &Who::Request(id(3)), NOW).await.unwrap();
    // In each of the two files other requests of the key are left.
    assert_eq!(stored_of(&places, "ann").len(), before - 6);
    assert!(rows(&places.archive).iter().all(|row| !row.contains(&id(3).to_string())));
    let other: EndpointName = "f".parse().unwrap();
    let others = rows(&places.archive);
    places.erase(&other, &Who::Request(id(6)), NOW).await.unwrap();
    assert_eq!(rows(&places.archive), others, "it is a request of another endpoint");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_anywhere_loses_no_row_of_others_and_the_next_one_completes_it() {
    rendezvous_core::clock::simulate(now());
    let (store, failures) = archives().await;
    let (others, shown) = (rows_of_others(&store), views(&store));
    let shown_of_others = |store: &Store| {
        let mut shown = views(store);
        let ids: Vec<String> = (0..60).step_by(3).map(|n| id(n).to_string()).collect();
        for rows in shown.values_mut() {
            rows.retain(|row| ids.iter().all(|id| !row.contains(id.as_str())));
        }
        shown
    };
    let expected = shown_of_others(&store);
    assert_ne!(expected, shown);
    let mut completed = false;
    // Phases 1 and 2, then phase 3: each is stopped after so many changes.
    for changes in 0.. {
        let places = places(store.copy(changes).await, failures.copy(i64::MAX).await);
        let first = places.erase(&endpoint(), &ann(), NOW).await;
        assert_eq!(shown_of_others(&places.archive), expected, "stopped after {changes} changes");
        places.archive.stop_after(i64::MAX);
        if first.is_err() {
            places.erase(&endpoint(), &ann(), NOW).await.unwrap();
        }
        assert_eq!(stored_of(&places, "ann"), [""; 0], "stopped after {changes} changes");
        assert_eq!(rows(&places.archive), others, "stopped after {changes} changes");
        tokio::time::advance(Duration::from_hours(26)).await;
        places.archive.stop_after(changes);
        let last = places.resume(NOW).await;
        places.archive.stop_after(i64::MAX);
        if last.is_err() {
            places.resume(NOW).await.unwrap();
        }
        assert_eq!(rows(&places.archive), others, "stopped after {changes} changes");
        for folder in ["erasures/", "tombstones/"] {
            assert_eq!(places.archive.names(folder), [""; 0], "stopped after {changes} changes");
        }
        completed = first.is_ok() && last.is_ok();
        if completed {
            break;
        }
    }
    assert!(completed);
}

#[tokio::test(start_paused = true)]
async fn a_compaction_meanwhile_brings_no_row_back() {
    rendezvous_core::clock::simulate(now());
    let (store, failures) = archives().await;
    let places = places(store, failures);
    // It is stopped after the merged files are stored, before the old ones are deleted.
    let options = CompactOptions { before: now(), from: None, grace: 0, dry_run: false };
    places.archive.stop_after(6);
    compact(&places.archive, &options).await.unwrap_err();
    places.archive.stop_after(i64::MAX);
    places.erase(&endpoint(), &ann(), NOW).await.unwrap();
    assert_eq!(stored_of(&places, "ann"), [""; 0]);
    let shown = views(&places.archive);
    compact(&places.archive, &options).await.unwrap();
    compact(&places.archive, &options).await.unwrap();
    assert_eq!(stored_of(&places, "ann"), [""; 0]);
    assert_eq!(views(&places.archive), shown);
}
