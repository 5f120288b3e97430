use std::time::Duration;

use rendezvous_core::{clock::simulate, conformance};
use tokio::time::advance;

use super::*;

fn entry(minute: Minute, body: &'static str, expires: Option<Timestamp>) -> Entry {
    let key = EntryKey { series: "e/a@1".to_owned(), minute, part: "p".to_owned() };
    Entry { key, body: Bytes::from_static(body.as_bytes()), expires }
}

async fn bodies(table: &FolderWindows) -> Vec<Bytes> {
    let all = Minute::FIRST..Minute::of(now()).plus(1);
    let entries = table.read("e/a@1", all, 10).await.unwrap();
    entries.into_iter().map(|entry| entry.body).collect()
}

#[tokio::test]
async fn the_windows_of_a_folder_conform() {
    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(directory.path()).unwrap();
    conformance::windows(&FolderWindows::new(&folder)).await;
}

#[tokio::test]
async fn a_write_that_was_cut_off_does_not_hide_those_before_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(directory.path()).unwrap();
    let (table, minute) = (FolderWindows::new(&folder), Minute::of(now()));
    table.put(vec![entry(minute, "one", None)]).await.unwrap();
    let path = table.series("e/a@1").join(file_of(minute));
    let mut file = fs::read(&path).unwrap();
    let whole = file.len();
    file.extend_from_within(..whole - 1);
    fs::write(&path, file).unwrap();
    let again = FolderWindows::new(&folder);
    assert_eq!(bodies(&again).await, ["one"]);
    again.put(vec![entry(minute, "two", None)]).await.unwrap();
    assert_eq!(bodies(&again).await, ["two"]);
}

/// Time is simulated on the test's own thread.
fn put(table: &FolderWindows, entries: Vec<Entry>) {
    let write = |Entry { key, body, expires }| (key, Some((body, expires)));
    table.append(&entries.into_iter().map(write).collect::<Vec<_>>()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_files_of_entries_that_have_expired_are_deleted_in_the_next_hour() {
    const HOUR: Duration = Duration::from_hours(1);
    simulate(now());
    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(directory.path()).unwrap();
    let (table, minute) = (FolderWindows::new(&folder), Minute::of(now()));
    let soon = Some(now() + HOUR);
    put(&table, vec![entry(Minute::FIRST, "of no minute", None)]);
    put(&table, vec![entry(minute.minus(180), "old", soon)]);
    put(&table, vec![entry(minute.minus(120), "kept", None)]);
    put(&table, vec![entry(minute.minus(60), "not the oldest", soon)]);
    // Nobody writes to the series of a request again.
    let of_request = |series: &str, expires| {
        let mut entry = entry(Minute::FIRST, "value", expires);
        entry.key.series = format!("e/values/{series}");
        entry
    };
    put(&table, (0..9).map(|n| of_request(&n.to_string(), soon)).collect());
    put(&table, vec![of_request("kept", Some(now() + HOUR * 9))]);
    let series = || files::names(&folder.windows()).unwrap().len();
    assert_eq!(series(), 11);
    advance(HOUR * 2).await;
    for _ in 0..3 {
        put(&table, vec![entry(Minute::of(now()), "new", None)]);
    }
    assert_eq!(series(), 2, "some with each write");
    let left = files::names(&table.series("e/a@1")).unwrap();
    assert_eq!(left.len(), 4, "all but the oldest: {left:?}");
    assert!(left.contains(&hour_of(Minute::FIRST)));
}

#[tokio::test]
async fn files_of_an_hour_are_read_and_minutes_outside_of_the_range_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let table = FolderWindows::new(&DataFolder::open(directory.path()).unwrap());
    let hour = Minute::of(Timestamp::from_micros(500_000 * HOUR));
    let minutes = [0, 9, 10, 59, 60].map(|minute| hour.plus(minute));
    table.put(minutes.map(|minute| entry(minute, "new", None)).to_vec()).await.unwrap();
    let folder = table.series("e/a@1");
    assert_eq!(files::names(&folder).unwrap().len(), 4, "of ten minutes each");
    // As a former version has written it; two of its entries were written again.
    let mut file = Vec::new();
    for minute in [0, 30, 59].map(|minute| hour.plus(minute)) {
        let Entry { key, body, expires } = entry(minute, "old", None);
        encode(&key, Some(&(body, expires)), &mut file);
    }
    fs::write(folder.join(hour_of(hour)), file).unwrap();
    let read = async |minutes: Range<Minute>| {
        let entries = table.read("e/a@1", minutes, 10).await.unwrap();
        let of = |entry: Entry| (entry.key.minute, entry.body);
        entries.into_iter().map(of).collect::<Vec<_>>()
    };
    let of = |minute, body: &'static str| (hour.plus(minute), Bytes::from_static(body.as_bytes()));
    let all = [(0, "new"), (9, "new"), (10, "new"), (30, "old"), (59, "new"), (60, "new")];
    let all = all.map(|(minute, body)| of(minute, body));
    assert_eq!(read(hour..hour.plus(61)).await, all);
    assert_eq!(read(hour.plus(9)..hour.plus(11)).await, all[1..3]);
    assert_eq!(read(hour.plus(60)..hour.plus(61)).await, all[5..]);
}

#[tokio::test(start_paused = true)]
async fn what_was_replaced_in_the_first_minute_is_removed_in_the_next_hour() {
    simulate(now());
    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(directory.path()).unwrap();
    let table = FolderWindows::new(&folder);
    let last = || entry(Minute::FIRST, "last", None);
    put(&table, vec![last()]);
    let size = || fs::metadata(table.series("e/a@1").join(hour_of(Minute::FIRST))).unwrap().len();
    let of_one = size();
    for _ in 0..9 {
        put(&table, vec![last()]);
    }
    assert_eq!(size(), 10 * of_one);
    advance(Duration::from_hours(1)).await;
    put(&table, vec![last()]);
    assert_eq!(size(), 2 * of_one);
    let found = table.find("e/a@1", &(Minute::FIRST..Minute::of(now())), 10).unwrap();
    assert_eq!(found, [last()]);
}
