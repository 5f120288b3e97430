//! The journal of an erasure: what it is about and what it has done, so that a run that was stopped is completed by the
//! next one.
//!
//! `erasures/{erasure}/{number}.json` is one entry, written once. An erasure is named by a digest of its endpoint and its key
//! or request, so that the same command finds the same journal. The ids of the requests are in clear, because the ledger,
//! the outcomes and the stored payloads are deleted by them; a key is there as a digest only. The erasure ends by deleting its
//! journal.

use std::collections::{BTreeMap, BTreeSet};

use rendezvous_archive::tombstones;
use rendezvous_core::{
    EndpointName, Key, RequestId, Sha256Digest, Timestamp,
    ports::{Archive, ArchiveFiles, Erase, Stored},
};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, files};

/// The folder of the journals.
const FOLDER: &str = "erasures/";

/// Who is erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Key(Key),
    Request(RequestId),
}

/// What is known of an erasure.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Begun {
    pub(super) endpoint: EndpointName,
    /// The digest of the key; none where one request is erased.
    pub(super) key: Option<Sha256Digest>,
    /// The request; none where those of a key are erased.
    pub(super) request: Option<RequestId>,
    /// Requests that were received later are not of this erasure.
    pub(super) at_us: Timestamp,
}

impl Begun {
    pub(super) fn new(endpoint: &EndpointName, who: &Who, at_us: Timestamp) -> Self {
        let (key, request) = match who {
            Who::Key(key) => (Some(digest(endpoint, key.as_str())), None),
            Who::Request(id) => (None, Some(*id)),
        };
        Self { endpoint: endpoint.clone(), key, request, at_us }
    }
}

/// A file that was rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Rewritten {
    /// The file that takes its place; none where nothing was left.
    pub(super) new: Option<String>,
    /// Rows or records that were erased.
    pub(super) erased: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Begun(Begun),
    /// Requests that belong to it.
    Found(BTreeSet<RequestId>),
    /// By the name of the old file. The new files are stored, the old ones may not be deleted yet.
    Rewritten(BTreeMap<String, Rewritten>),
    /// Files of which it cannot be said whether they hold records of the erasure.
    Unclear(BTreeSet<String>),
    /// A run has found nothing more.
    Swept {
        at_us: Timestamp,
        items: u64,
        payloads: u64,
    },
}

/// A journal and what its entries say together.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) name: String,
    /// The number of the next entry.
    next: u32,
    pub(super) begun: Begun,
    pub(super) requests: BTreeSet<RequestId>,
    pub(super) rewritten: BTreeMap<String, Rewritten>,
    pub(super) unclear: BTreeSet<String>,
    /// When runs have found nothing more.
    pub(super) swept: Vec<Timestamp>,
    /// Items of ledger and outcomes, and stored payloads.
    pub(super) items: u64,
    pub(super) payloads: u64,
}

/// The digest under which a key is known.
pub(super) fn digest(endpoint: &EndpointName, key: &str) -> Sha256Digest {
    Sha256Digest::of(format!("{endpoint}/{key}"))
}

impl Journal {
    /// Opens the journal of an erasure, or begins it. A journal that is there takes up what came since.
    pub(super) async fn begin(
        archive: &(impl Archive + ArchiveFiles),
        endpoint: &EndpointName,
        who: &Who,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let begun = Begun::new(endpoint, who, now);
        let (kind, value) = match who {
            Who::Key(key) => ("key", key.to_string()),
            Who::Request(id) => ("request", id.to_string()),
        };
        let name = Sha256Digest::of(format!("{kind}/{endpoint}/{value}")).to_string();
        let name = name.chars().take(16).collect::<String>();
        let mut journal = match Self::open(archive, &name).await? {
            Some(journal) => journal,
            None => Self::empty(name, begun.clone()),
        };
        journal.write(archive, Entry::Begun(begun)).await?;
        Ok(journal)
    }

    /// The names of the erasures that have not ended.
    pub(super) async fn names(archive: &impl ArchiveFiles) -> Result<Vec<String>, Failure> {
        let folders = archive.folders(FOLDER).await?;
        let name =
            |folder: &String| Some(folder.strip_prefix(FOLDER)?.trim_end_matches('/').to_owned());
        Ok(folders.iter().filter_map(name).collect())
    }

    /// The journal of this name, if there is one.
    pub(super) async fn open(
        archive: &impl ArchiveFiles,
        name: &str,
    ) -> Result<Option<Self>, Failure> {
        let mut journal: Option<Self> = None;
        for file in archive.list(&format!("{FOLDER}{name}/")).await? {
            let entry = serde_json::from_slice(&files::read(archive, &file).await?)
                .map_err(|error| Failure::Failed(format!("{}: {error}", file.name)))?;
            match (&mut journal, entry) {
                (None, Entry::Begun(begun)) => {
                    journal = Some(Self { next: 1, ..Self::empty(name.to_owned(), begun) });
                }
                (Some(journal), entry) => journal.add(entry),
                // An end that was stopped has deleted the entries from the last one on.
                (None, _) => {
                    return Err(Failure::Failed(format!("{} does not begin a journal", file.name)));
                }
            }
        }
        Ok(journal)
    }

    fn empty(name: String, begun: Begun) -> Self {
        Self {
            name,
            next: 0,
            requests: begun.request.into_iter().collect(),
            begun,
            rewritten: BTreeMap::new(),
            unclear: BTreeSet::new(),
            swept: Vec::new(),
            items: 0,
            payloads: 0,
        }
    }

    fn add(&mut self, entry: Entry) {
        self.next += 1;
        match entry {
            Entry::Begun(begun) => {
                self.requests.extend(begun.request);
                self.begun = begun;
            }
            Entry::Found(requests) => self.requests.extend(requests),
            Entry::Rewritten(files) => self.rewritten.extend(files),
            Entry::Unclear(files) => self.unclear.extend(files),
            Entry::Swept { at_us, items, payloads } => {
                self.swept.push(at_us);
                (self.items, self.payloads) = (self.items + items, self.payloads + payloads);
            }
        }
    }

    /// Writes the next entry.
    pub(super) async fn write(
        &mut self,
        archive: &impl Archive,
        entry: Entry,
    ) -> Result<(), Failure> {
        let body =
            serde_json::to_vec(&entry).map_err(|error| Failure::Failed(error.to_string()))?;
        let file = format!("{FOLDER}{}/{:06}.json", self.name, self.next);
        if archive.put(&file, body.into()).await? == Stored::Already {
            return Err(Failure::Conflict(format!(
                "another process is at work on this erasure: it has written {file}"
            )));
        }
        self.add(entry);
        Ok(())
    }

    /// Writes tombstones, so that the decoy archives nothing more of the requests.
    pub(super) async fn bury(&self, archive: &impl Archive) -> Result<(), Failure> {
        let body = tombstones::write(&self.begun.endpoint, self.requests.iter().copied());
        let count = self.requests.len();
        // The requests only become more, so that an equal number of them are the same ones.
        let file = format!("{}{}-{count:09}.json", tombstones::FOLDER, self.name);
        archive.put(&file, body).await?;
        Ok(())
    }

    /// Deletes the tombstones, and then the journal from its last entry on.
    pub(super) async fn end(self, archive: &(impl ArchiveFiles + Erase)) -> Result<(), Failure> {
        let tombstones = format!("{}{}-", tombstones::FOLDER, self.name);
        let files = archive.list(tombstones::FOLDER).await?;
        for file in files.into_iter().filter(|file| file.name.starts_with(&tombstones)) {
            archive.erase(&file.name).await?;
        }
        for file in archive.list(&format!("{FOLDER}{}/", self.name)).await?.into_iter().rev() {
            archive.erase(&file.name).await?;
        }
        Ok(())
    }
}
