use rendezvous_archive::{RequestRow, read};
use rendezvous_aws::batch::Data;
use rendezvous_core::{
    Timestamp,
    memory::{MemoryArchive, MemoryEndpoints, MemoryPayloads, MemoryTelemetry},
};

use super::*;

fn record(number: i64, arrived: i64) -> Record<'static, Data<'static>> {
    let id = format!("0199aaaa-0000-7000-8000-{number:012}");
    let bytes = format!(
        "{{\"v\":1,\"envelope\":{{\"id\":\"{id}\",\"endpoint\":\"e\",\"config\":1,\"arm\":\"main\",\
         \"key\":\"k\",\"received_us\":1,\"deadline_us\":2}},\"payload\":{number}}}"
    )
    .into();
    let data = Data::new("k", bytes);
    let arrived = Timestamp::from_micros(arrived);
    Record::new("shardId-000000000000", format!("{number:020}"), arrived, data)
}

type TestDecoy =
    Decoy<MemoryArchive, MemoryEndpoints, MemoryPayloads, MemoryTelemetry<DecoyReport>>;

fn decoy(archive: &Arc<MemoryArchive>) -> TestDecoy {
    Decoy::new(archive.clone(), Arc::default(), Arc::default(), Arc::default())
}

fn last(decoy: &TestDecoy) -> DecoyReport {
    decoy.telemetry.last().unwrap()
}

/// Fails like the Parquet writer, of which no row is known that it refuses.
fn refuse(bad: &[&str], rows: &[&RequestRow<'_>]) -> Result<Bytes, Unwritable> {
    if rows.iter().any(|row| bad.contains(&&*row.payload)) {
        let error = parquet::errors::ParquetError::General("too odd".to_owned());
        return Err(error.into());
    }
    write(rows)
}

#[tokio::test]
async fn rows_that_cannot_be_written_are_kept_in_quarantine_and_all_others_are_archived() {
    let archive = Arc::new(MemoryArchive::default());
    let decoy = decoy(&archive);
    // Number 40 and later arrive in the next hour.
    let batch = Batch::new("", (0..50).map(|n| record(n, n / 40 * 3_600_000_000)).collect());
    let bad = ["0", "17", "18", "49"];
    let attempt = async || {
        let write = |rows: &[&RequestRow<'_>]| refuse(&bad, rows);
        decoy.archive("input", &batch, rows::request, write).await
    };
    let (stored, archived) = (attempt().await, last(&decoy));
    assert!(stored, "the batch would be delivered again for ever");
    assert_eq!((archived.rows, archived.quarantined), (46, 4));

    let files = archive.files();
    let (tables, quarantine): (Vec<_>, Vec<_>) =
        files.iter().partition(|(name, _)| name.starts_with("requests/"));
    let mut numbers: Vec<i64> = Vec::new();
    for (_, body) in &tables {
        let rows: Vec<RequestRow<'_>> = read(body.clone()).unwrap();
        numbers.extend(rows.iter().map(|row| row.payload.parse::<i64>().unwrap()));
    }
    numbers.sort_unstable();
    let expected: Vec<i64> = (0..50).filter(|n| !bad.contains(&&*n.to_string())).collect();
    assert_eq!(numbers, expected);
    let [(name, lines)] = &quarantine[..] else { panic!("{quarantine:?}") };
    let start = "quarantine/input/shardId-000000000000-00000000000000000000-00000000000000000049-";
    assert!(name.starts_with(start), "{name}");
    let lines: Vec<serde_json::Value> = std::str::from_utf8(lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["sequence_number"], format!("{:020}", 17));
    assert!(lines[1]["reason"].as_str().unwrap().ends_with("too odd"), "{lines:?}");

    // Delivered again, the batch becomes the same files.
    let (stored, archived) = (attempt().await, last(&decoy));
    assert!(stored && archived.files == 0, "{archived:?}");
}

#[tokio::test]
async fn a_batch_of_nothing_but_unwritable_rows_is_acknowledged() {
    let archive = Arc::new(MemoryArchive::default());
    let decoy = decoy(&archive);
    let batch = Batch::new("", vec![record(1, 0), record(2, 0)]);
    let write = |rows: &[&RequestRow<'_>]| refuse(&["1", "2"], rows);
    let stored = decoy.archive("input", &batch, rows::request, write).await;
    let archived = last(&decoy);
    assert!(stored);
    assert_eq!((archived.rows, archived.quarantined, archived.files), (0, 2, 1));
}
