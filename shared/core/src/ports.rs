//! What the system needs of the outside, each as narrow as its callers allow.
//!
//! Every port has a reference implementation in [`crate::memory`], and one suite,
//! [`crate::contract`], that every implementation must pass.

use std::{borrow::Cow, future::Future, sync::Arc};

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    endpoint::{Configuration, Endpoint},
    json::Json,
    mailbox::{Decision, Mailbox, Score},
    message::Envelope,
    names::{EndpointName, Key, ModelId, RequestId},
};

/// It is wrong, and will be as wrong the next time: log it, keep it aside, go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(Cow<'static, str>);

impl Invalid {
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

/// It may be right the next time: try again later, or hand it back to whoever can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// We ask for more than we are given.
    #[error("{0} throttles us")]
    Throttled(Cow<'static, str>),
    /// It does not answer, or not as it should.
    #[error("{0} is unavailable")]
    Down(Cow<'static, str>),
}

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

/// A decision, and what must still be true for it to stand.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub decision: Decision,
    /// Choices preferred to the decided one of which the proposer knows nothing from the ledger.
    /// The proposal holds only while none of them has a score there.
    pub rivals: Vec<ModelId>,
}

/// The table of mailboxes, one item a request.
///
/// A ledger forgets old requests, see [`Ledger::file`]; but none that may still be waited for.
pub trait Ledger: Send + Sync + 'static {
    /// The mailbox of `id`, if there is one.
    fn read(
        &self,
        id: RequestId,
        consistency: Consistency,
    ) -> impl Future<Output = Result<Option<Mailbox>, Unavailable>> + Send;

    /// Opens a mailbox for a request that must not be sent twice. `None`: opened, by this call.
    /// `Some`: there was one, and this is it; nothing changed.
    fn open(
        &self,
        envelope: &Arc<Envelope>,
        payload_sha256: [u8; 32],
    ) -> impl Future<Output = Result<Option<Mailbox>, Unavailable>> + Send;

    /// Marks an opened mailbox: the stream has accepted its request.
    fn mark_accepted(&self, id: RequestId) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Files `scores`, unless a decision stands, and returns the mailbox as it is thereafter. The
    /// first score or failure of a model counts; the mailbox is made where there is none.
    ///
    /// `None`: the request may have been here and be forgotten. Nothing is filed, lest it is decided
    /// a second time.
    fn file(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
    ) -> impl Future<Output = Result<Option<Mailbox>, Unavailable>> + Send;

    /// Files `scores` and commits the proposal in one write, or writes nothing. Returns the
    /// mailbox as it is thereafter: its decision is the one that stands.
    ///
    /// Nothing is written, and there may be no decision, when what the proposal rests on is not
    /// so: a rival has a score, or the decided model is among `scores` and has been filed before.
    /// `None` as for [`Ledger::file`].
    fn settle(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
        proposal: Proposal,
    ) -> impl Future<Output = Result<Option<Mailbox>, Unavailable>> + Send;
}

/// Every version of every endpoint's configuration, and which one is current.
pub trait EndpointTable: Send + Sync + 'static {
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

    /// Writes a new version, one above the current, and makes it current, in one transaction.
    fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
    ) -> impl Future<Output = Result<u64, Unavailable>> + Send;
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
