//! What the deployed decoy has written to the archive.

use std::collections::{BTreeMap, BTreeSet};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Row, RowAccessor},
};
use rendezvous_aws::S3Archive;
use rendezvous_core::conformance;

use crate::{Asked, REQUESTS, System, eventually};

pub(crate) async fn every_request_is_in_the_archive_byte_for_byte(
    system: &System,
    asked: &[Asked],
) {
    println!("the archive");
    let mut requests = Table::new(system, "requests");
    requests.read_until(|ids| ids.len() >= conformance::STREAMED + asked.len()).await;
    let payloads: BTreeMap<&str, &str> = requests
        .rows
        .iter()
        .map(|row| (row.get_string(0).unwrap().as_str(), row.get_string(8).unwrap().as_str()))
        .collect();
    for Asked { payload, reply } in asked {
        assert_eq!(payloads.get(reply.text("request")), Some(&payload.as_str()));
    }
}

pub(crate) async fn decisions_scores_and_outcomes_are_in_the_archive(
    system: &System,
    asked: &[Asked],
) {
    let id = |asked: &Asked| asked.reply.text("request").to_owned();
    let ids: BTreeSet<String> = asked.iter().map(id).collect();
    for id in &ids {
        let path = format!("{REQUESTS}/{id}/outcome");
        let reported = system.stack.client().await.call("PUT", &path, &[], "{\"late\":true}").await;
        assert_eq!(reported.status, 204, "{reported:?}");
    }
    for table in ["decisions", "scores", "outcomes"] {
        Table::new(system, table).read_until(|found| ids.is_subset(found)).await;
    }
}

/// The rows of a table of the archive that have been read so far.
struct Table<'a> {
    system: &'a System,
    archive: S3Archive,
    name: &'static str,
    files: BTreeSet<String>,
    rows: Vec<Row>,
}

impl<'a> Table<'a> {
    fn new(system: &'a System, name: &'static str) -> Self {
        let archive = system.stack.ports().archive().unwrap();
        Self { system, archive, name, files: BTreeSet::new(), rows: Vec::new() }
    }

    /// Reads new files until the ids of the requests in all rows are `enough`.
    async fn read_until(&mut self, enough: impl Fn(&BTreeSet<String>) -> bool) {
        let mut ids = BTreeSet::new();
        let what = format!("the table {}", self.name);
        eventually(&what, async || {
            for file in self.system.stack.archived(&format!("{}/", self.name)) {
                if !self.files.insert(file.clone()) {
                    continue;
                }
                let body = self.archive.get(&file).await.unwrap().unwrap();
                let file = SerializedFileReader::new(body).unwrap();
                for row in file.get_row_iter(None).unwrap() {
                    let row = row.unwrap();
                    ids.insert(row.get_string(0).unwrap().clone());
                    self.rows.push(row);
                }
            }
            enough(&ids)
        })
        .await;
        let (rows, files) = (self.rows.len(), self.files.len());
        println!("{}: {rows} rows of {} requests in {files} files", self.name, ids.len());
    }
}
