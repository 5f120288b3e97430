//! Finding an erasure's requests, and rewriting the files that have rows or records of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_archive::{
    files::tool_file,
    layouts,
    rewrite::{Copies, Subject, rewrite, subjects},
};
use rendezvous_core::{
    RequestId, Sha256Digest,
    clock::sleep_until,
    now,
    ports::{Archive, ArchiveFiles, Erase, StoredFile},
};

use super::{
    Places, Tables,
    journal::{Begun, Entry, Journal, Rewritten, digest},
    records::{self, Outcome},
};
use crate::{
    failure::Failure,
    files::{self, AT_A_TIME},
};

/// The folders of the archive with records as they were delivered: a local system keeps failed batches there.
const RECORDS: [&str; 3] = ["quarantine/", "failed/", "aws/"];

/// The column by which a key's requests are found.
const KEY: &str = "key";

/// What one run knows besides the journal.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Files in which the key was looked for. They do not change.
    searched: BTreeSet<String>,
    /// Files without a row or a record of any request of the journal.
    clean: BTreeSet<String>,
    /// What was deleted besides.
    pub(super) items: u64,
    pub(super) payloads: u64,
}

/// The names of the new files, by the old ones.
type Files = BTreeMap<String, Rewritten>;

/// The requests with the key of an erasure, in the files that are not `known`.
pub(super) async fn requests(
    archive: &impl ArchiveFiles,
    begun: &Begun,
    known: &mut impl FnMut(&StoredFile) -> bool,
) -> Result<BTreeSet<RequestId>, Failure> {
    let mut found = BTreeSet::new();
    let Some(wanted) = begun.key else { return Ok(found) };
    let is_wanted = |row: &Subject| {
        row.received_us.is_none_or(|at| at <= begun.at_us)
            && row.key.as_ref().is_some_and(|key| digest(&begun.endpoint, key.as_str()) == wanted)
    };
    for layout in layouts() {
        if layout.columns.iter().all(|(name, ..)| *name != KEY) {
            continue;
        }
        let mut listed = tables_files(archive, layout.table).await?;
        listed.retain(|file| !known(file));
        let read = listed.into_iter().map(|file| subjects(archive, file, &begun.endpoint));
        let mut read = stream::iter(read).buffer_unordered(AT_A_TIME);
        while let Some(rows) = read.try_next().await? {
            found.extend(rows.iter().filter(|row| is_wanted(row)).map(|row| row.request_id));
        }
    }
    Ok(found)
}

async fn tables_files(
    archive: &impl ArchiveFiles,
    table: &str,
) -> Result<Vec<StoredFile>, Failure> {
    let mut listed = archive.list(&format!("{table}/")).await?;
    listed.retain(|file| file.name.ends_with(".parquet"));
    Ok(listed)
}

impl Sweep {
    /// Phase 1: adds the requests that are found by the key to the journal, and writes tombstones of all. Returns
    /// whether there are new ones.
    pub(super) async fn find<A: Archive + ArchiveFiles + Erase, P: Erase, T: Tables>(
        &mut self,
        places: &Places<A, P, T>,
        journal: &mut Journal,
    ) -> Result<bool, Failure> {
        let searched = &mut self.searched;
        let mut known = |file: &StoredFile| !searched.insert(file.name.clone());
        let mut found = requests(&places.archive, &journal.begun, &mut known).await?;
        found.retain(|id| !journal.requests.contains(id));
        let is_new = !found.is_empty();
        if is_new {
            self.clean.clear();
            journal.write(&places.archive, Entry::Found(found)).await?;
        }
        journal.bury(&places.archive).await?;
        Ok(is_new)
    }

    /// Phase 2: writes new files, then deletes the old ones. Returns whether there were any.
    pub(super) async fn rewrite<A: Archive + ArchiveFiles + Erase, P: Erase, T: Tables>(
        &mut self,
        places: &Places<A, P, T>,
        journal: &mut Journal,
        grace: Duration,
    ) -> Result<bool, Failure> {
        let archive = &places.archive;
        let mut in_archive = Files::new();
        for layout in layouts() {
            self.rewrite_table(archive, layout.table, journal, &mut in_archive).await?;
        }
        for folder in RECORDS {
            self.rewrite_records(archive, archive, folder, journal, &mut in_archive).await?;
        }
        let mut in_failures = Files::new();
        if let Some(failures) = &places.failures {
            self.rewrite_records(archive, failures, "", journal, &mut in_failures).await?;
        }
        let old = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
        let (old, old_failures) = (old(&in_archive), old(&in_failures));
        in_archive.extend(in_failures);
        if in_archive.is_empty() {
            return Ok(false);
        }
        journal.write(archive, Entry::Rewritten(in_archive)).await?;
        sleep_until(now() + grace).await;
        files::erase(archive, old).await?;
        if let Some(failures) = &places.failures {
            files::erase(failures, old_failures).await?;
        }
        Ok(true)
    }

    async fn rewrite_table(
        &mut self,
        archive: &(impl Archive + ArchiveFiles),
        table: &str,
        journal: &Journal,
        to: &mut Files,
    ) -> Result<(), Failure> {
        let (endpoint, requests) = (&journal.begun.endpoint, &journal.requests);
        let mut listed = tables_files(archive, table).await?;
        listed.retain(|file| !self.clean.contains(&file.name));
        let read = listed.into_iter().map(|file| async move {
            let rows = subjects(archive, file.clone(), endpoint).await?;
            let is_clean = rows.iter().all(|row| !requests.contains(&row.request_id));
            Ok::<_, Failure>((file, is_clean))
        });
        let mut read = stream::iter(read).buffer_unordered(AT_A_TIME);
        while let Some((file, is_clean)) = read.try_next().await? {
            if is_clean {
                self.clean.insert(file.name);
                continue;
            }
            let body = files::read(archive, &file).await?;
            let keep = |of: &_, id| of != endpoint || !requests.contains(&id);
            let rewritten = rewrite(table, vec![body], keep, Copies::All)
                .map_err(|error| Failure::Failed(format!("{}: {error}", file.name)))?;
            let mut new = None;
            if let Some(body) = rewritten.body {
                let name = tool_file([file.name.as_str()].into_iter(), &body);
                archive.put(&name, body).await?;
                new = Some(name);
            }
            to.insert(file.name, Rewritten { new, erased: rewritten.dropped });
        }
        Ok(())
    }

    async fn rewrite_records<A: Archive + ArchiveFiles>(
        &mut self,
        archive: &A,
        store: &A,
        folder: &str,
        journal: &mut Journal,
        to: &mut Files,
    ) -> Result<(), Failure> {
        let mut unclear = BTreeSet::new();
        for file in store.list(folder).await? {
            if self.clean.contains(&file.name) {
                continue;
            }
            let body = files::read(store, &file).await?;
            let Journal { begun, requests, .. } = &*journal;
            match (records::Subject { begun, requests }).without(&body) {
                Outcome::Stays => drop(self.clean.insert(file.name)),
                Outcome::Unclear => {
                    self.clean.insert(file.name.clone());
                    unclear.insert(file.name);
                }
                Outcome::Rewritten(body, erased) => {
                    let mut new = None;
                    if let Some(body) = body {
                        let digest = Sha256Digest::of(&body).to_string();
                        let (stem, extension) =
                            file.name.rsplit_once('.').unwrap_or((&file.name, "json"));
                        let name = format!("{stem}-{}.{extension}", &digest[..16]);
                        store.put(&name, body).await?;
                        new = Some(name);
                    }
                    to.insert(file.name, Rewritten { new, erased });
                }
            }
        }
        unclear.retain(|name| !journal.unclear.contains(name));
        if !unclear.is_empty() {
            journal.write(archive, Entry::Unclear(unclear)).await?;
        }
        Ok(())
    }
}
