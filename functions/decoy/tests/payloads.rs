//! Requests that refer to their payloads are archived as if they held them.

use crate::common::*;
use rendezvous_archive::RequestRow;
use rendezvous_core::{
    Json, Payload, RequestMessage, Sha256Digest,
    memory::Trouble,
    payloads::{key, store},
};
use rendezvous_decoy::Stream;

/// The record of a request whose payload of so many bytes is stored.
async fn stored(bed: &Bed, number: usize, bytes: usize) -> StreamRecord {
    let inline = request(number, "0");
    let envelope = RequestMessage::parse(&inline).unwrap().envelope;
    let payload = Json::parse(&payload(bytes)).unwrap();
    let digest = Sha256Digest::of(payload.as_str());
    let reference = store(&*bed.payloads, &envelope, &payload, digest).await.unwrap();
    let data = RequestMessage::write_payload(&envelope, &Payload::Stored(reference)).unwrap();
    record(0, number as u64, ARRIVED, &data)
}

fn payload(bytes: usize) -> String {
    format!("[ \"{}\"]", "\\\"é".repeat((bytes - 5) / 4))
}

#[tokio::test]
async fn large_payloads_are_archived_whole_in_files_of_at_most_20_mb() {
    let bed = Bed::new().await;
    let mut batch = Vec::new();
    for number in 0..9 {
        batch.push(stored(&bed, number, 4_900_000 - number).await);
    }
    batch.push(record(0, 9, ARRIVED, &request(9, "\"inline\"")));
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(acknowledged);
    assert_eq!((archived.rows, archived.files, archived.quarantined), (10, 4, 0));
    let mut rows: Vec<RequestRow<'_>> = bed.rows();
    rows.sort_by_key(|row| row.request_id);
    for (number, row) in rows[..9].iter().enumerate() {
        assert!(row.payload == payload(4_900_000 - number), "row {number} has another payload");
    }
    assert_eq!(rows[9].payload, "\"inline\"");
    let (acknowledged, again) = bed.records(Stream::Input, &batch).await;
    assert!(acknowledged);
    assert_eq!((again.rows, again.files), (0, 0), "the same files");
}

#[tokio::test]
async fn a_payload_that_is_gone_is_quarantined_and_an_unavailable_store_is_waited_for() {
    let bed = Bed::new().await;
    let batch = [stored(&bed, 0, 300_000).await, stored(&bed, 1, 300_000).await];
    bed.payloads.outage.set(Trouble::Down);
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(!acknowledged);
    assert_eq!((archived.rows, archived.files), (0, 0));
    bed.payloads.outage.set(Trouble::None);
    bed.payloads.delete(&key(&"e".parse().unwrap(), id(0).parse().unwrap()));
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(acknowledged);
    assert_eq!((archived.rows, archived.quarantined), (1, 1));
    let lines = bed.quarantined();
    let reason = lines[0].1["reason"].as_str().unwrap();
    assert!(reason.contains("expired or was deleted"), "{reason}");
    assert_eq!(lines[0].1["sequence_number"], format!("{:020}", 0));
}
