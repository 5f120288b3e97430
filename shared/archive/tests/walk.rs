//! Each request once, from any place on.

use std::time::Duration;

use rendezvous_archive::{
    RequestRow, ScanError, Select,
    files::Hour,
    join::Wanted,
    walk::{Archived, Place, walk},
    write,
};
use rendezvous_core::{Arm, RequestId, Timestamp, memory::MemoryArchive, ports::Archive};

/// 2025-11-22T06:52:24Z.
const START: Timestamp = Timestamp::from_micros(1_763_794_344_000_000);

const DAY: Duration = Duration::from_hours(24);

fn id(n: u64) -> RequestId {
    format!("0199aaaa-0000-7000-8000-{n:012x}").parse().unwrap()
}

fn request(n: u64) -> RequestRow<'static> {
    let received = START + Duration::from_millis(n);
    RequestRow {
        request_id: id(n),
        endpoint: "e".parse().unwrap(),
        config: 7,
        arm: Arm::main(),
        key: id(n).to_key(),
        received_us: received,
        deadline_us: received + Duration::from_millis(400),
        traceparent: None,
        skip: Vec::new(),
        payload: format!("[{n}]").into(),
        shard: "shardId-1".into(),
        sequence_number: n.to_string().into(),
        arrived_us: received,
    }
}

async fn put(archive: &MemoryArchive, name: &str, rows: &[RequestRow<'_>], arrived: Timestamp) {
    let body = write(&rows.iter().collect::<Vec<_>>()).unwrap();
    let name = format!("{}/{}/{name}.parquet", RequestRow::TABLE, Hour::of(arrived));
    archive.put(&name, body).await.unwrap();
}

#[tokio::test]
async fn a_walk_hands_over_each_request_once_and_goes_on_from_any_place() {
    let archive = MemoryArchive::default();
    let of_day = |days: u64, ns: &[u64]| -> Vec<_> {
        let late = |row: RequestRow<'static>| RequestRow {
            received_us: row.received_us + DAY * u32::try_from(days).unwrap(),
            ..row
        };
        ns.iter().map(|n| late(request(*n))).collect()
    };
    let other = RequestRow { endpoint: "f".parse().unwrap(), ..request(9) };
    put(&archive, "1", &of_day(0, &[1, 2, 3]), START).await;
    put(&archive, "2", &[request(2), other, request(4)], START).await;
    put(&archive, "1", &of_day(1, &[4, 5, 6]), START + DAY).await;
    put(&archive, "2", &of_day(1, &[7]), START + DAY).await;
    let wanted = Wanted { from: START, to: START + DAY * 9, ..Wanted::all("e".parse().unwrap()) };
    let walked = async |archive: &MemoryArchive, from: Option<&Place>| {
        let mut all = Vec::new();
        let each = async |archived: Archived, place: Place| {
            assert_eq!(archived.payload.len(), 3);
            all.push((archived.id, place));
            Ok::<_, ScanError>(())
        };
        walk(archive, &wanted, from, each).await.unwrap();
        all
    };
    let ids = |all: &[(RequestId, Place)]| all.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let all = walked(&archive, None).await;
    assert_eq!(ids(&all), [1, 2, 3, 4, 5, 6, 7].map(id));
    for (done, (_, place)) in all.iter().enumerate() {
        let rest = walked(&archive, Some(place)).await;
        assert_eq!(rest, all[done + 1..], "after {place:?}");
    }
    // The files of the second day have changed: all of it comes again.
    put(&archive, "0", &of_day(1, &[8]), START + DAY).await;
    let again = walked(&archive, Some(&all[5].1)).await;
    assert_eq!(ids(&again), [8, 5, 6, 7].map(id));
    let again = walked(&archive, Some(&all[1].1)).await;
    assert_eq!(ids(&again), [3, 4, 8, 5, 6, 7].map(id));
}
