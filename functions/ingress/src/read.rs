use std::sync::Arc;

use rendezvous_core::{
    EndpointName, Envelope, Mailbox, RequestId, Score, Unavailable,
    mutation::{Mutation, mutated},
    now,
    ports::{Consistency, Ledger, Secrets},
    settle::{RequestState, Settled, settle},
    within,
};

use crate::{
    Ingress, Ports, Refusal, TABLE_LIMIT,
    failures::{ChoiceFailure, failures},
};

/// The state of a request that somebody reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub envelope: Arc<Envelope>,
    /// `Ok`: decided. `Err`: open, with the results so far.
    pub state: Result<Settled, Vec<Score>>,
    /// Why each choice gave no answer; empty when a model answered.
    pub failures: Vec<ChoiceFailure>,
}

impl<P: Ports> Ingress<P> {
    /// The decision of a request, or that it is open. Settles it if its time has come.
    pub async fn read(
        &self,
        name: &EndpointName,
        id: RequestId,
        caller: Option<&str>,
    ) -> Result<Reading, Refusal> {
        let unknown = || Refusal::UnknownRequest(name.clone(), id);
        let consistency =
            if mutated(Mutation::ReadStale) { Consistency::Eventual } else { Consistency::Strong };
        let mailbox = self.mailbox_of(name, id, caller, consistency).await?;
        let mut mailbox = mailbox.ok_or_else(unknown)?;
        loop {
            let (envelope, scores) = (mailbox.envelope.clone(), mailbox.scores.clone());
            let endpoint = self.endpoints.version(name, envelope.config).await?;
            let endpoint = endpoint.ok_or_else(|| missing_version(&envelope))?;
            let settled =
                settle(&*self.ledger, &endpoint, &envelope, Some(mailbox.clone()), &[], &[], now());
            let (state, failures) = match within("ledger", TABLE_LIMIT, settled).await? {
                RequestState::Settled(settled) => {
                    let failures = failures(&endpoint, &settled.decision, &settled.scores);
                    (Ok(settled), failures)
                }
                RequestState::Open(_) => (Err(scores), Vec::new()),
                RequestState::Forgotten => return Err(unknown()),
                // A repeat has opened it again in this moment.
                RequestState::Reopened(envelope) => {
                    mailbox = Mailbox { envelope, ..mailbox };
                    continue;
                }
            };
            return Ok(Reading { envelope, state, failures });
        }
    }

    /// The mailbox of a request of the endpoint `name`, unless a request with an idempotency key
    /// belongs to another caller.
    pub(crate) async fn mailbox_of(
        &self,
        name: &EndpointName,
        id: RequestId,
        caller: Option<&str>,
        consistency: Consistency,
    ) -> Result<Option<Mailbox>, Refusal> {
        let read = within("ledger", TABLE_LIMIT, self.ledger.read(id, consistency)).await?;
        let Some(mailbox) = read.filter(|mailbox| mailbox.envelope.endpoint == *name) else {
            return Ok(None);
        };
        if let Some(owner) = mailbox.opening.and_then(|opening| opening.owner) {
            let stack = within("secrets", TABLE_LIMIT, self.secrets.idempotency()).await?;
            if caller.map(|caller| stack.secret.owner(caller)) != Some(owner) {
                return Err(Refusal::UnknownRequest(name.clone(), id));
            }
        }
        Ok(Some(mailbox))
    }
}

pub(crate) fn missing_version(envelope: &Envelope) -> Unavailable {
    let Envelope { endpoint, config, .. } = envelope;
    Unavailable::down("endpoints table", format!("version {config} of {endpoint} is missing"))
}
