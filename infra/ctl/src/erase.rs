//! The command `erase`: removes what the system keeps of one key's requests, or of one request.
//!
//! 1. The ids of the requests are looked up by the key in `requests` and `scores`, and written to a journal, because
//!    `decisions` and `outcomes` have no key. Tombstones tell the decoy to archive nothing more of them.
//! 2. Every file with rows or records of them is written anew without these. When all new files are stored the
//!    old ones are deleted with all their versions. Then the items of ledger and outcomes and the stored payloads are deleted.
//!    This repeats until nothing is found.
//! 3. When the streams no longer have the records, it all runs once more, the tombstones and the journal are deleted, and the
//!    certificate stays.
//!
//! A run that is stopped anywhere is completed by the next one: files are named by their content, so that
//! to write one again changes nothing, and an old file that was not deleted is found again.

mod certificate;
mod journal;
mod records;
mod sweep;

use std::time::Duration;

use clap::Args;
use rendezvous_core::{
    EndpointName, Key, RequestId, Timestamp, Unavailable, now,
    ports::{Archive, ArchiveFiles, Erase},
};
use serde_json::{Value, json};

use self::{journal::Journal, sweep::Sweep};
use crate::{
    failure::Failure,
    output::{Output, instant},
};

pub use self::{certificate::Expires, journal::Who};

#[derive(Args, Clone, Debug)]
pub struct EraseOptions {
    /// The endpoint.
    #[arg(required_unless_present = "resume")]
    pub endpoint: Option<EndpointName>,
    /// Erase all requests with this key.
    #[arg(long, conflicts_with = "request", required_unless_present_any = ["request", "resume"])]
    pub key: Option<Key>,
    /// Erase this request.
    #[arg(long, value_name = "ID")]
    pub request: Option<RequestId>,
    /// Complete the erasures whose records the streams no longer have.
    #[arg(long = "continue", conflicts_with_all = ["endpoint", "key", "request"])]
    pub resume: bool,
    /// For how many seconds an old file stays beside the one that replaces it. A query that has listed the
    /// files before must have read them by then; else it fails, and can be run again.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub grace: u64,
    /// Do not ask before erasing.
    #[arg(short, long)]
    pub yes: bool,
    /// Say how many requests would be erased, and change nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// The tables of the ledger and of the outcomes.
pub trait Tables {
    /// Deletes the items of these requests, as far as there are such, and returns how many there were.
    fn delete(
        &self,
        endpoint: &EndpointName,
        requests: &[RequestId],
    ) -> impl Future<Output = Result<u64, Unavailable>>;
}

/// Tables in the memory of a local system, which end with it.
#[derive(Clone, Copy, Debug)]
pub struct NoTables;

impl Tables for NoTables {
    async fn delete(&self, _: &EndpointName, _: &[RequestId]) -> Result<u64, Unavailable> {
        Ok(0)
    }
}

/// Where a system keeps what it knows of requests.
#[derive(Debug)]
pub struct Places<A, P, T> {
    pub archive: A,
    /// The failure bucket, where that is no part of the archive.
    pub failures: Option<A>,
    pub payloads: P,
    pub tables: T,
    /// For how long a record can be delivered again.
    pub retention: Duration,
    /// What cannot be deleted, and when it expires.
    pub expires: Vec<Expires>,
}

/// Later than the streams' retention: a function may be at work on a batch that it has just received.
const MARGIN: Duration = Duration::from_hours(1);

/// How often it is looked again for what has come meanwhile.
const MOST_ROUNDS: usize = 10;

impl<A: Archive + ArchiveFiles + Erase, P: Erase, T: Tables> Places<A, P, T> {
    /// How many requests an erasure would find now.
    pub async fn count(&self, endpoint: &EndpointName, who: &Who) -> Result<usize, Failure> {
        let begun = journal::Begun::new(endpoint, who, now());
        let found = sweep::requests(&self.archive, &begun, &mut |_| false).await?;
        Ok(found.len() + usize::from(begun.request.is_some()))
    }

    /// Erases all that is there: phases 1 and 2, and phase 3 where it is due.
    pub async fn erase(
        &self,
        endpoint: &EndpointName,
        who: &Who,
        grace: Duration,
    ) -> Result<Output, Failure> {
        let journal = Journal::begin(&self.archive, endpoint, who, now()).await?;
        let journal = self.sweep(journal, grace).await?;
        Ok(self.certificate(&journal, false))
    }

    /// Completes each erasure that is due; says of the others when they are.
    pub async fn resume(&self, grace: Duration) -> Result<Output, Failure> {
        let (mut texts, mut all) = (Vec::new(), Vec::new());
        for name in Journal::names(&self.archive).await? {
            let Some(journal) = Journal::open(&self.archive, &name).await? else { continue };
            let output = if now() < self.due(&journal) {
                let due = self.due(&journal);
                let text = format!("erasure {name} can be completed from {} on", instant(due));
                Output { text, json: json!({ "erasure": name, "due_us": due }) }
            } else {
                let journal = self.sweep(journal, grace).await?;
                let output = self.certificate(&journal, true);
                self.keep(&journal, &output.json).await?;
                journal.end(&self.archive).await?;
                output
            };
            texts.push(output.text);
            all.push(output.json);
        }
        if texts.is_empty() {
            texts.push("no erasure is to be completed".to_owned());
        }
        Ok(Output { text: texts.join("\n\n"), json: Value::Array(all) })
    }

    /// From when on the streams have no record of the erasure's requests.
    fn due(&self, journal: &Journal) -> Timestamp {
        journal.begun.at_us + self.retention + MARGIN
    }

    /// Rewrites, deletes, and looks again until there is nothing more.
    async fn sweep(&self, mut journal: Journal, grace: Duration) -> Result<Journal, Failure> {
        let mut sweep = Sweep::default();
        for round in 0..MOST_ROUNDS {
            let is_new = sweep.find(self, &mut journal).await?;
            let rewritten = sweep.rewrite(self, &mut journal, grace).await?;
            if round == 0 || is_new {
                let (items, payloads) = self.delete_items(&journal).await?;
                (sweep.items, sweep.payloads) = (sweep.items + items, sweep.payloads + payloads);
            }
            if !rewritten && !is_new {
                let Sweep { items, payloads, .. } = sweep;
                let swept = journal::Entry::Swept { at_us: now(), items, payloads };
                journal.write(&self.archive, swept).await?;
                return Ok(journal);
            }
        }
        Err(Failure::Failed(format!(
            "rows came again {MOST_ROUNDS} times: is the decoy of a version that knows tombstones?"
        )))
    }

    /// Deletes items and payloads of all requests; returns how many there were.
    async fn delete_items(&self, journal: &Journal) -> Result<(u64, u64), Failure> {
        let endpoint = &journal.begun.endpoint;
        let requests: Vec<RequestId> = journal.requests.iter().copied().collect();
        let items = self.tables.delete(endpoint, &requests).await?;
        let keys = requests.iter().map(|id| rendezvous_core::payloads::key(endpoint, *id));
        Ok((items, crate::files::erase(&self.payloads, keys).await?))
    }
}
