//! Files of the deployed archive are merged, and a request is erased from everywhere.

use std::collections::BTreeSet;

use bytes::Bytes;
use rendezvous_archive::{ReplayRow, RequestRow, read};
use rendezvous_aws::Aws;
use rendezvous_core::{
    RequestId,
    ports::{Archive, ArchiveFiles, Consistency, Ledger},
};

use crate::{Asked, System, again};

/// An hour that is over.
const HOUR: &str = "requests/date=2025-01-01/hour=00/";

const COPIED: usize = 5;

pub(crate) async fn files_are_merged_and_a_request_is_erased(
    system: &System,
    aws: &Aws,
    asked: &[Asked],
) {
    small_files_are_merged(system, aws).await;
    a_request_is_erased_from_everywhere(system, aws, asked).await;
}

/// Some files that the decoy has written, as if they were of that hour.
async fn small_files_are_merged(system: &System, aws: &Aws) {
    println!("rendezvousctl compact");
    let archive = aws.archive().unwrap();
    let mut expected = BTreeSet::new();
    for (number, name) in system.stack.archived("requests/").iter().take(COPIED).enumerate() {
        let body = archive.get(name).await.unwrap().unwrap();
        expected.extend(ids(body.clone()));
        archive.put(&format!("{HOUR}{number}.parquet"), body).await.unwrap();
    }
    let arguments = ["compact", "--before", "2025-01-02", "--grace", "0"];
    let printed = system.stack.ctl(&arguments).await;
    assert!(printed.contains(&format!("{COPIED} old files were deleted")), "{printed}");
    let files = archive.list(HOUR).await.unwrap();
    let [merged] = &files[..] else { panic!("{files:?}") };
    assert_eq!(ids(archive.get(&merged.name).await.unwrap().unwrap()), expected);
}

async fn a_request_is_erased_from_everywhere(system: &System, aws: &Aws, asked: &[Asked]) {
    println!("rendezvousctl erase");
    let id = asked[0].reply.text("request").to_owned();
    let archive = aws.archive().unwrap();
    let before = all(&archive).await;
    assert!(before.contains(&id.parse().unwrap()));
    let arguments = ["erase", "flight-delay", "--request", &id, "--grace", "0", "--yes"];
    let printed = system.stack.ctl(&arguments).await;
    println!("{printed}");
    assert!(printed.contains("2 items of ledger and outcomes deleted"), "{printed}");
    let mut expected = before;
    let id: RequestId = id.parse().unwrap();
    expected.remove(&id);
    assert_eq!(all(&archive).await, expected);
    let replays = again::rows::<ReplayRow<'_>>(&archive).await;
    assert!(!replays.is_empty() && replays.iter().all(|row| row.request_id != id));
    assert_eq!(system.ledger.read(id, Consistency::Strong).await.unwrap(), None);
    let printed = system.stack.ctl(&["erase", "--continue"]).await;
    assert!(printed.contains("can be completed from"), "{printed}");
}

/// The requests in the archive.
async fn all(archive: &rendezvous_aws::S3Archive) -> BTreeSet<RequestId> {
    let mut all = BTreeSet::new();
    for file in archive.list("requests/").await.unwrap() {
        all.extend(ids(archive.get(&file.name).await.unwrap().unwrap()));
    }
    all
}

fn ids(body: Bytes) -> BTreeSet<RequestId> {
    let rows: Vec<RequestRow<'_>> = read(body).unwrap();
    rows.iter().map(|row| row.request_id).collect()
}
