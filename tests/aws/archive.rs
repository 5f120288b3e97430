//! What the deployed decoy has written to the archive.

use std::collections::{BTreeMap, BTreeSet};

use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, Row, ScoreRow, read};
use rendezvous_aws::S3Archive;
use rendezvous_core::{RequestId, conformance};

use rendezvous_tests_aws::Reply;

use crate::{Asked, REQUESTS, System, eventually};

pub(crate) async fn every_request_is_in_the_archive_byte_for_byte(
    system: &System,
    asked: &[Asked],
) {
    println!("the archive");
    let mut requests = Table::new(system, |row: &RequestRow<'_>| row.request_id);
    requests.read_until(|ids| ids.len() >= conformance::STREAMED + asked.len()).await;
    let payloads: BTreeMap<RequestId, &str> =
        requests.rows.iter().map(|row| (row.request_id, &*row.payload)).collect();
    for Asked { payload, reply, .. } in asked {
        assert_eq!(payloads.get(&id(reply)), Some(&payload.as_str()));
    }
}

pub(crate) async fn decisions_scores_and_outcomes_are_in_the_archive(
    system: &System,
    asked: &[Asked],
) {
    let ids: BTreeSet<RequestId> = asked.iter().map(|asked| id(&asked.reply)).collect();
    for id in &ids {
        let path = format!("{REQUESTS}/{id}/outcome");
        let reported = system.stack.client().await.call("PUT", &path, &[], "{\"late\":true}").await;
        assert_eq!(reported.status, 204, "{reported:?}");
    }
    let all = |found: &BTreeSet<RequestId>| ids.is_subset(found);
    Table::new(system, |row: &DecisionRow<'_>| row.request_id).read_until(all).await;
    Table::new(system, |row: &ScoreRow<'_>| row.request_id).read_until(all).await;
    Table::new(system, |row: &OutcomeRow<'_>| row.request_id).read_until(all).await;
}

fn id(reply: &Reply) -> RequestId {
    reply.text("request").parse().unwrap()
}

/// The rows of a table of the archive that have been read so far.
struct Table<'a, R> {
    system: &'a System,
    archive: S3Archive,
    /// Of which request a row is.
    id: fn(&R) -> RequestId,
    files: BTreeSet<String>,
    rows: Vec<R>,
}

impl<'a, R: Row> Table<'a, R> {
    fn new(system: &'a System, id: fn(&R) -> RequestId) -> Self {
        let archive = system.stack.ports().archive().unwrap();
        Self { system, archive, id, files: BTreeSet::new(), rows: Vec::new() }
    }

    /// Reads new files until the ids of the requests in all rows are `enough`.
    async fn read_until(&mut self, enough: impl Fn(&BTreeSet<RequestId>) -> bool) {
        let mut ids = BTreeSet::new();
        let what = format!("the table {}", R::TABLE);
        eventually(&what, async || {
            for file in self.system.stack.archived(&format!("{}/", R::TABLE)) {
                if !self.files.insert(file.clone()) {
                    continue;
                }
                let body = self.archive.get(&file).await.unwrap().unwrap();
                let rows = read::<R>(body).unwrap();
                ids.extend(rows.iter().map(self.id));
                self.rows.extend(rows);
            }
            enough(&ids)
        })
        .await;
        let (rows, files) = (self.rows.len(), self.files.len());
        println!("{}: {rows} rows of {} requests in {files} files", R::TABLE, ids.len());
    }
}
