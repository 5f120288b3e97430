use rendezvous_core::{
    EndpointName, Json, RequestId, now,
    ports::{Consistency, OutcomeTable},
    within,
};
use serde_json::Value;

use crate::{Ingress, Ports, Refusal, TABLE_LIMIT};

impl<P: Ports> Ingress<P> {
    /// Keeps what turned out to be true of a request; the last report counts.
    ///
    /// The request may have left the ledger long ago, so that only the endpoint, and while there is
    /// a mailbox its owner, can be checked.
    pub async fn report(
        &self,
        name: &EndpointName,
        id: RequestId,
        caller: Option<&str>,
        outcome: Json,
    ) -> Result<(), Refusal> {
        let endpoint = self.describe(name).await?;
        if let Some(pointer) = endpoint.configuration.outcome()
            && !resolves(&outcome, pointer)
        {
            return Err(Refusal::Malformed(format!(
                "The outcome has nothing at {pointer:?}, where the endpoint {name} expects the truth."
            )));
        }
        self.mailbox_of(name, id, caller, Consistency::Eventual).await?;
        let put = self.outcomes.put(name, id, outcome, now());
        Ok(within("outcomes table", TABLE_LIMIT, put).await?)
    }
}

/// Whether there is a value at `pointer` (RFC 6901).
fn resolves(json: &Json, pointer: &str) -> bool {
    serde_json::from_str::<Value>(json.as_str()).is_ok_and(|value| value.pointer(pointer).is_some())
}
