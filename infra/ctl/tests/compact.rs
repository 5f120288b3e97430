//! Small files are merged, every view shows the same all the time, and a run that is stopped is completed.

use std::collections::BTreeSet;

use rendezvous_core::{Timestamp, now};
use rendezvousctl::compact::{CompactOptions, compact};

use crate::archived::{ARRIVED, Store, archive, decoy, rows, views};

fn options() -> CompactOptions {
    CompactOptions { before: now(), from: None, grace: 0, dry_run: false }
}

/// Ten batches of ten requests, and one of them again in another division.
async fn archive_of_ten_batches() -> Store {
    let store = Store::new();
    let decoy = decoy(&store);
    for first in (0..1_000).step_by(100) {
        archive(&decoy, first..first + 10).await;
    }
    archive(&decoy, 5..10).await;
    store
}

/// How many files each table has in an hour at most.
fn most_files(store: &Store) -> usize {
    let names = store.names("");
    let hour = |name: &String| name.rsplit_once('/').unwrap().0.to_owned();
    let hours: BTreeSet<String> = names.iter().map(hour).filter(|h| h.contains("hour=")).collect();
    hours.iter().map(|hour| store.names(&format!("{hour}/")).len()).max().unwrap()
}

#[tokio::test]
async fn an_hour_becomes_one_file_with_each_row_once() {
    let store = archive_of_ten_batches().await;
    let (shown, before) = (views(&store), rows(&store));
    let dry = CompactOptions { dry_run: true, ..options() };
    let said = compact(&store, &dry).await.unwrap();
    assert!(said.text.contains("Nothing was changed"), "{}", said.text);
    assert_eq!(rows(&store), before);
    assert_eq!(store.names("compactions/").len(), 0);
    let done = compact(&store, &options()).await.unwrap();
    // 07:10 to 07:50 and then on to 08:16: two hours.
    assert_eq!(done.json["tables"]["requests"]["hours"], 2, "{}", done.text);
    assert_eq!(done.json["tables"]["requests"]["copies"], 5, "{}", done.text);
    assert_eq!((most_files(&store), store.names("compactions/").len()), (1, 0));
    assert_eq!(views(&store), shown);
    let distinct: BTreeSet<String> = before.into_iter().collect();
    assert_eq!(rows(&store), Vec::from_iter(distinct), "nothing else is lost or added");
    let again = compact(&store, &options()).await.unwrap();
    assert_eq!(again.json["deleted"], 0);
    assert_eq!(again.json["tables"]["requests"]["files_before"], 0);
}

#[tokio::test]
async fn a_run_that_is_stopped_anywhere_changes_no_view_and_the_next_one_completes_it() {
    let original = archive_of_ten_batches().await;
    let shown = views(&original);
    let mut completed = false;
    for changes in 0.. {
        let store = original.copy(changes).await;
        completed = compact(&store, &options()).await.is_ok();
        assert_eq!(views(&store), shown, "stopped after {changes} changes");
        store.stop_after(i64::MAX);
        // The decoy goes on meanwhile: a batch comes again, so that a file is there again.
        archive(&decoy(&store), 100..110).await;
        assert_eq!(views(&store), shown, "stopped after {changes} changes");
        compact(&store, &options()).await.unwrap();
        compact(&store, &options()).await.unwrap();
        assert_eq!(views(&store), shown, "completed after {changes} changes");
        assert_eq!((most_files(&store), store.names("compactions/").len()), (1, 0));
        if completed {
            break;
        }
    }
    assert!(completed);
}

#[tokio::test]
async fn only_hours_in_the_range_are_merged_and_never_the_last_one() {
    let store = archive_of_ten_batches().await;
    let merged = async |options: &CompactOptions| {
        let store = store.copy(i64::MAX).await;
        let done = compact(&store, options).await.unwrap();
        done.json["tables"]["scores"]["hours"].as_u64().unwrap_or(0)
    };
    let hours = |hours: i64| Timestamp::from_micros(ARRIVED.as_micros() + hours * 3_600_000_000);
    assert_eq!(merged(&options()).await, 2);
    assert_eq!(merged(&CompactOptions { before: hours(1), ..options() }).await, 1);
    assert_eq!(merged(&CompactOptions { before: hours(0), ..options() }).await, 0);
    assert_eq!(merged(&CompactOptions { from: Some(hours(1)), ..options() }).await, 1);
    rendezvous_core::clock::simulate(hours(2));
    let far = CompactOptions { before: hours(100), ..options() };
    assert_eq!(merged(&far).await, 1, "files may still come into the hour that has just ended");
}
