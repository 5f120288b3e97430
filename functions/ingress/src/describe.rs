use std::sync::Arc;

use rendezvous_core::{Endpoint, EndpointName};

use crate::{Ingress, Ports, Refusal};

impl<P: Ports> Ingress<P> {
    /// The current configuration of an endpoint.
    pub async fn describe(&self, name: &EndpointName) -> Result<Arc<Endpoint>, Refusal> {
        let endpoint = self.endpoints.current(name).await?;
        endpoint.ok_or_else(|| Refusal::UnknownEndpoint(name.clone()))
    }

    /// The names of all endpoints, ascending.
    pub async fn list(&self) -> Result<Vec<EndpointName>, Refusal> {
        Ok(self.endpoints.list().await?)
    }
}
