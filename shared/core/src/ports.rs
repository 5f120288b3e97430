//! What the system needs of the outside, each as narrow as its callers allow.
//!
//! Every port has a reference implementation in [`crate::memory`], and one suite,
//! [`crate::conformance`], that every implementation must pass.

use std::{future::Future, ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    configuration::Configuration,
    endpoint::{Endpoint, Provenance, Publication},
    error::{Invalid, Unavailable},
    json::Json,
    mailbox::Mailbox,
    message::Envelope,
    minute::Minute,
    names::{EndpointName, IdempotencySecret, Key, RequestId},
    payload::Sha256Digest,
    write::{Write, Written},
};

/// One record for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Records of one key keep their order.
    pub key: Key,
    pub data: Bytes,
}

/// Which records of a [`Stream::put`] were not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} records were not taken: {cause}", .indexes.len())]
pub struct Rejected {
    /// Positions in the records put, ascending. All others were taken.
    pub indexes: Vec<usize>,
    pub cause: Unavailable,
}

/// A partitioned log that keeps the order of the records of one key.
pub trait Stream: Send + Sync + 'static {
    /// Appends every record, sending again what is rejected for as long as `until` allows.
    ///
    /// A record may end up on the stream twice; none is reported as taken that was not.
    fn put(
        &self,
        records: Vec<Record>,
        until: Timestamp,
    ) -> impl Future<Output = Result<(), Rejected>> + Send;
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// May miss the latest writes; costs half.
    Eventual,
    /// Sees every write that was confirmed before the read began.
    Strong,
}

/// The table of mailboxes, one item a request.
///
/// A mailbox is deleted some time after its retention has passed. From the moment at which it has
/// passed, reads find no mailbox and writes return [`Written::Forgotten`], except that a request
/// of the same id can be opened anew.
pub trait Ledger: Send + Sync + 'static {
    /// The mailbox of `id`, if there is one.
    fn read(
        &self,
        id: RequestId,
        consistency: Consistency,
    ) -> impl Future<Output = Result<Option<Mailbox>, Unavailable>> + Send;

    /// Applies the write if all that it requires is true, else changes nothing.
    fn write(&self, write: &Write) -> impl Future<Output = Result<Written, Unavailable>> + Send;

    /// Starts to watch the mailbox of a request that somebody waits for.
    fn watch(&self, envelope: &Arc<Envelope>) -> impl Watch + '_;
}

/// One caller's view of one mailbox that changes.
pub trait Watch: Send {
    /// Waits until the mailbox has changed since this watch last returned it, at most until
    /// `until`, and returns it. The first call returns as soon as there is a mailbox.
    ///
    /// As fresh as an eventual read: the latest writes may be missing, at `until`, too. An error may
    /// be returned at once, so that the caller pauses before it calls again.
    fn changed(
        &mut self,
        until: Timestamp,
    ) -> impl Future<Output = Result<Option<Mailbox>, Unavailable>> + Send;
}

/// Why a configuration was not published. Nothing was written, except that after
/// [`Self::Unavailable`] it may have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Another version than the expected one is current: read it, compare, and try again.
    #[error("version {} is current, not {}", shown(*.current), shown(*.expected))]
    Conflict { expected: Option<u64>, current: Option<u64> },
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

fn shown(version: Option<u64>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

/// Every version of every endpoint's configuration, and which one is current.
pub trait EndpointTable: Send + Sync + 'static {
    /// The names of all endpoints, ascending.
    fn list(&self) -> impl Future<Output = Result<Vec<EndpointName>, Unavailable>> + Send;

    /// The current version's number.
    fn current(
        &self,
        name: &EndpointName,
    ) -> impl Future<Output = Result<Option<u64>, Unavailable>> + Send;

    /// One version, immutable.
    fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> impl Future<Output = Result<Option<Arc<Endpoint>>, Unavailable>> + Send;

    /// Every published version, oldest first.
    fn history(
        &self,
        name: &EndpointName,
    ) -> impl Future<Output = Result<Vec<Publication>, Unavailable>> + Send;

    /// Writes a new version, one above `expected`, and makes it current, in one transaction; fails
    /// with a conflict when another version than `expected` is current (`None`: there is none).
    fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> impl Future<Output = Result<u64, PublishError>> + Send;
}

/// What clients later report to have been true.
pub trait OutcomeTable: Send + Sync + 'static {
    /// Keeps the outcome of a request; the last one counts.
    fn put(
        &self,
        endpoint: &EndpointName,
        id: RequestId,
        outcome: Json,
        reported: Timestamp,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Where an entry of the table of windows is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// What is read together, e.g. the windows of an endpoint. Not empty.
    pub series: String,
    pub minute: Minute,
    /// Distinguishes the entries of a minute.
    pub part: String,
}

/// An entry of the table of windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: EntryKey,
    /// At most [`MAX_ENTRY_BYTES`](crate::limits::MAX_ENTRY_BYTES).
    pub body: Bytes,
    /// Reads do not find the entry from then on, to the second; `None`: it is kept.
    pub expires: Option<Timestamp>,
}

/// The table of windows: opaque entries, in series, by minute.
///
/// It knows nothing of what its entries hold. Beside windows it keeps the list of the requests that
/// are to be decided in a minute.
pub trait WindowTable: Send + Sync + 'static {
    /// Writes every entry, in place of the one that has its key. After an error any of them may be
    /// written; to write them again changes nothing.
    fn put(&self, entries: Vec<Entry>) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Deletes the entries with these keys, as far as there are such. After an error any of them may be
    /// deleted.
    fn delete(&self, keys: Vec<EntryKey>) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The entries of a series in these minutes, by minute and part; at most `limit`, the first ones.
    /// May miss the latest writes.
    fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, Unavailable>> + Send;
}

/// Whether an archive took a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    /// There was one of this name; it stays as it is.
    Already,
}

/// A store of files that are written once.
pub trait Archive: Send + Sync + 'static {
    /// Stores `body` under `name`, durably, unless there is a file of that name.
    fn put(
        &self,
        name: &str,
        body: Bytes,
    ) -> impl Future<Output = Result<Stored, Unavailable>> + Send;
}

/// A file of an archive, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The name under which it was stored.
    pub name: String,
    pub bytes: u64,
    /// When it was stored, by the clock of the store.
    pub written: Timestamp,
}

/// The files of an archive, for those who read it. Names are those of [`Archive::put`]; a folder is
/// what the names of its files begin with, up to and with a `/`.
pub trait ArchiveFiles: Send + Sync + 'static {
    /// The folders directly in `folder`, ascending; none where there is no such folder.
    fn folders(
        &self,
        folder: &str,
    ) -> impl Future<Output = Result<Vec<String>, Unavailable>> + Send;

    /// The files in `folder` and in the folders below it, by name; none where there is no such folder.
    fn list(
        &self,
        folder: &str,
    ) -> impl Future<Output = Result<Vec<StoredFile>, Unavailable>> + Send;

    /// These bytes of a file. A range that the file does not have, or no file of that name, is
    /// an error: a listed file does not change, and it is only ever [erased](Erase).
    fn read(
        &self,
        name: &str,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Bytes, Unavailable>> + Send;
}

/// Files that can be deleted for good: erasing a person, and replacing small files by a large one.
pub trait Erase: Send + Sync + 'static {
    /// Deletes the file of that name with all versions that the store has of it, and returns how many
    /// there were; none where there is no such file. After an error some of them may be deleted.
    fn erase(&self, name: &str) -> impl Future<Output = Result<u64, Unavailable>> + Send;
}

/// Where payloads are that are too large for a message, each for some time only: longer than a record of
/// the stream `input` can be read, and not longer than the ledger keeps a mailbox.
///
/// Callers use it by [`crate::payloads`], which has the rules of keys, URLs and content.
pub trait Payloads: Send + Sync + 'static {
    /// What the URLs of its objects begin with, up to the `/` before the key.
    fn url(&self) -> &str;

    /// Whether this is the URL of its object with this key.
    fn is_at(&self, url: &str, key: &str) -> bool {
        let key_in = |rest: &str| rest.strip_prefix('/').is_some_and(|rest| rest == key);
        url.strip_prefix(self.url()).is_some_and(key_in)
    }

    /// Stores `body`, durably, in the place of what may be there. `sha256` is its digest.
    fn put(
        &self,
        key: &str,
        body: Bytes,
        sha256: Sha256Digest,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The first bytes of an object, if there is one.
    fn get(
        &self,
        key: &str,
        at_most: u64,
    ) -> impl Future<Output = Result<Option<Bytes>, Unavailable>> + Send;
}

/// The stack's secret for idempotency keys.
#[derive(Clone, Debug)]
pub struct StackSecret {
    pub secret: IdempotencySecret,
    /// When it was generated. Requests that were opened before have ids of another kind.
    pub created: Timestamp,
}

/// Where the secret of the stack is kept.
pub trait Secrets: Send + Sync + 'static {
    /// Reads the secret; an implementation may keep it in memory.
    fn idempotency(&self) -> impl Future<Output = Result<StackSecret, Unavailable>> + Send;
}

/// Where functions report what they have done: embedded metrics on AWS, counters locally.
pub trait Telemetry<Report>: Send + Sync + 'static {
    /// Takes the report of one batch or one call. Never fails and never waits.
    fn record(&self, report: &Report);
}

/// Discards every report.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTelemetry;

impl<Report> Telemetry<Report> for NoTelemetry {
    fn record(&self, _: &Report) {}
}
