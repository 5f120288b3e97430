//! What clients were told of each request, beside what the archive says.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rendezvous_archive::{DecisionRow, RequestRow, read};
use rendezvous_core::{
    Arm, Json, Kind, ModelId, Reason, RequestId, Timestamp, Unavailable, now,
    ports::{Archive, ArchiveFiles, Stored, StoredFile},
};
use serde::Deserialize;

use super::Progress;

/// So many differences are shown.
const SHOWN: usize = 10;

/// An answer of the interface, as far as it says who has decided what.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) request: RequestId,
    settled: Option<bool>,
    kind: Option<Kind>,
    reason: Option<Reason>,
    model: Option<ModelId>,
    config: Option<u64>,
    arm: Option<Arm>,
    score: Option<Json>,
}

impl Answer {
    /// The decision, if it is one.
    fn said(&self) -> Option<Said> {
        let Self { model, score, .. } = self.clone();
        let (kind, reason) = (self.kind?, self.reason?);
        Some(Said { kind, reason, model, config: self.config?, arm: self.arm.clone()?, score })
    }
}

/// A decision, as clients and analysts see it.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    kind: Kind,
    reason: Reason,
    model: Option<ModelId>,
    config: u64,
    arm: Arm,
    score: Option<Json>,
}

/// What is known of a request.
#[derive(Debug)]
struct Account {
    since: Timestamp,
    /// When the client heard that it is accepted.
    accepted: Option<Timestamp>,
    settled: Option<Said>,
    archived: bool,
    decided: Option<Said>,
    /// When, as the archive says.
    decided_at: Option<Timestamp>,
}

impl Account {
    fn begins() -> Self {
        let (settled, decided, decided_at) = (None, None, None);
        Self { since: now(), accepted: None, settled, archived: false, decided, decided_at }
    }

    /// What of the answers is not in the archive.
    fn differs(&self) -> Option<&'static str> {
        // What is accepted, or decided by a score, the stream has taken. Any other decision does not say so: the stream may
        // have refused the request until its deadline.
        let by_score = |said: &Said| said.model.is_some();
        // It may also have refused a request that was decided before a client heard that it is accepted: ingress has found
        // this decision when it could not send it.
        let is_before =
            self.decided_at.is_some_and(|at| self.accepted.is_some_and(|heard| at < heard));
        let is_refused = |said: &Said| match said.reason {
            Reason::Unavailable => true,
            Reason::Deadline => is_before,
            _ => false,
        };
        let mut decisions = self.settled.iter().chain(&self.decided);
        let is_sent = decisions.clone().any(by_score) || self.accepted.is_some();
        if is_sent && !decisions.any(is_refused) && !self.archived {
            return Some("it is not archived");
        }
        let is_told = self.accepted.is_some() || self.settled.is_some();
        if is_told && self.decided.is_none() {
            return Some("its decision is not archived");
        }
        let is_same = self.settled.is_none() || self.settled == self.decided;
        (!is_same).then_some("its decision in the archive is another one")
    }
}

/// An archive whose files are read and forgotten.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<RequestId, Account>,
    progress: Progress,
}

impl State {
    fn account(&mut self, id: RequestId) -> &mut Account {
        self.open.entry(id).or_insert_with(Account::begins)
    }

    fn wrong(&mut self, what: String) {
        if self.progress.wrong.len() < SHOWN {
            self.progress.wrong.push(what);
        }
    }

    /// A decision of a request; all that are heard of are the same.
    fn decides(&mut self, id: RequestId, said: Said, by: fn(&mut Account) -> &mut Option<Said>) {
        let known = by(self.account(id));
        match known {
            Some(before) if *before != said => {
                let what = format!("{id}: {said:?} after {before:?}");
                self.wrong(what);
            }
            Some(_) => {}
            None => *known = Some(said),
        }
    }

    fn takes(&mut self, name: &str, body: &Bytes) {
        let is_of = |table: &str| name.starts_with(&format!("{table}/date="));
        if is_of("requests") {
            match read::<RequestRow<'_>>(body.clone()) {
                Ok(rows) => {
                    for row in &rows {
                        self.account(row.request_id).archived = true;
                    }
                }
                Err(error) => self.wrong(format!("{name}: {error}")),
            }
        } else if is_of("decisions") {
            match read::<DecisionRow<'_>>(body.clone()) {
                Ok(rows) => rows.into_iter().for_each(|row| {
                    let DecisionRow { kind, reason, model, config, arm, score, .. } = row;
                    let said = Said { kind, reason, model, config, arm, score };
                    self.account(row.request_id).decided_at = Some(row.decided_us);
                    self.decides(row.request_id, said, |account| &mut account.decided);
                }),
                Err(error) => self.wrong(format!("{name}: {error}")),
            }
        }
    }
}

impl Accounts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> Progress {
        let state = self.state();
        Progress { open: state.open.len() as u64, ..state.progress.clone() }
    }

    pub(super) fn wrong(&self, what: String) {
        self.state().wrong(what);
    }

    /// A client has got an answer.
    pub(super) fn told(&self, status: i64, answer: Option<&Answer>) {
        let state = &mut *self.state();
        let said = answer.and_then(|answer| Some((answer, answer.said()?)));
        match (status, answer, said) {
            (200, _, Some((answer, said))) => {
                let is_settled = answer.settled == Some(true);
                state.progress.answers += 1;
                state.progress.unsettled += u64::from(!is_settled);
                if is_settled {
                    state.decides(answer.request, said, |account| &mut account.settled);
                }
            }
            (202, Some(answer), _) => {
                state.progress.accepted += 1;
                state.account(answer.request).accepted = Some(now());
            }
            _ => *state.progress.errors.entry(status).or_default() += 1,
        }
    }

    /// Compares and forgets what is known for longer than this.
    pub(super) fn forget(&self, after: Duration) {
        let state = &mut *self.state();
        let old = state.open.iter().filter(|(_, account)| now().since(account.since) >= after);
        let old: Vec<RequestId> = old.map(|(id, _)| *id).collect();
        for id in old {
            let Entry::Occupied(account) = state.open.entry(id) else { continue };
            let account = account.remove();
            state.progress.requests += u64::from(account.archived);
            if let Some(what) = account.differs() {
                state.wrong(format!("{id}: {what}: {account:?}"));
            } else if account.accepted.is_some() || account.settled.is_some() {
                state.progress.compared += 1;
            }
        }
    }
}

impl Archive for Accounts {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        self.state().takes(name, &body);
        Ok(Stored::New)
    }
}

/// Nothing reads it.
impl ArchiveFiles for Accounts {
    async fn folders(&self, _: &str) -> Result<Vec<String>, Unavailable> {
        Ok(Vec::new())
    }

    async fn list(&self, _: &str) -> Result<Vec<StoredFile>, Unavailable> {
        Ok(Vec::new())
    }

    async fn read(&self, name: &str, _: Range<u64>) -> Result<Bytes, Unavailable> {
        Err(Unavailable::down("archive", format!("{name} is forgotten")))
    }
}
