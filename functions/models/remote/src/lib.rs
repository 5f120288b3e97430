//! A model that another server serves by the Open Inference Protocol (`KServe`, Triton, `MLServer`), over
//! HTTP or HTTPS.
//!
//! A batch of requests becomes one call, whose rows they are. Connections are kept and used again, the
//! number of calls at a time is bounded, and while the server is known to be down it is not called: the
//! requests fail at once, so that the next choice of the schedule answers.

mod card;
mod circuit;
mod rows;
mod server;

use std::sync::{Mutex, PoisonError};

use rendezvous_core::{Artifact, Failure, FailureKind, Invalid, Json};
use rendezvous_model::{Model, Profile};
use tokio::sync::Semaphore;

pub use crate::card::RemoteCard;
use crate::{circuit::Circuit, server::Server};

/// A model on another server.
pub struct RemoteModel {
    card: RemoteCard,
    profile: Profile,
    server: Server,
    /// The calls that may run at a time.
    calls: Semaphore,
    circuit: Circuit,
    /// What the server's last answer said of the version.
    artifact: Mutex<Option<Artifact>>,
}

impl RemoteModel {
    /// The model of a card. The server need not be up.
    pub fn new(card: RemoteCard) -> Result<Self, Invalid> {
        let server = Server::new(card.infer()).map_err(Invalid::new)?;
        let (profile, calls) = (card.profile(), Semaphore::new(card.concurrency));
        let (circuit, artifact) = (Circuit::default(), Mutex::default());
        Ok(Self { card, profile, server, calls, circuit, artifact })
    }

    pub fn card(&self) -> &RemoteCard {
        &self.card
    }

    /// The scores in an answer of the server to a call with so many rows, or why it is no such answer.
    pub fn read(&self, rows: usize, answer: &[u8]) -> Result<Vec<Result<Json, Failure>>, String> {
        rows::scores(&self.card.tensors, rows, answer).map(|scores| scores.results)
    }

    /// The scores of payloads that the card accepts, in one call.
    async fn call(&self, payloads: &[&Json]) -> Result<Vec<Result<Json, Failure>>, Failure> {
        let failed = |what: String| Failure::new(FailureKind::Failed, what);
        // The semaphore is never closed.
        let _place = self.calls.acquire().await.map_err(|error| failed(error.to_string()))?;
        let attempt = self.circuit.attempt().map_err(failed)?;
        let body = rows::call(&self.card.tensors, payloads).map_err(failed)?;
        let answered = self.server.call(body).await;
        attempt.ended(&answered);
        let answer = answered.map_err(|error| failed(error.to_string()))?;
        let scores = rows::scores(&self.card.tensors, payloads.len(), &answer).map_err(failed)?;
        *self.artifact.lock().unwrap_or_else(PoisonError::into_inner) = scores.artifact;
        Ok(scores.results)
    }
}

impl Model for RemoteModel {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.card.batch_size
    }

    fn until_deadline(&self) -> bool {
        !self.profile.scores_expired
    }

    /// The version that the server named last.
    fn artifact(&self) -> Option<Artifact> {
        self.artifact.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let read = payloads.iter().map(|payload| rows::check(&self.card.tensors, payload));
        let read: Vec<Result<(), Failure>> = read.collect();
        let good = payloads.iter().zip(&read).filter(|(_, read)| read.is_ok());
        let good: Vec<&Json> = good.map(|(payload, _)| payload).collect();
        if good.is_empty() {
            return read.into_iter().map(|read| read.and_then(|()| Err(unanswered()))).collect();
        }
        let mut answered = match self.call(&good).await {
            Ok(scores) => scores.into_iter(),
            Err(failure) => vec![Err(failure); good.len()].into_iter(),
        };
        let result = |read: Result<(), Failure>| {
            read.and_then(|()| answered.next().unwrap_or_else(|| Err(unanswered())))
        };
        read.into_iter().map(result).collect()
    }
}

fn unanswered() -> Failure {
    Failure::new(FailureKind::Failed, "the server returned no row for it")
}
