//! Ingress as API Gateway sees it.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use http::Method;
use rendezvous_core::{
    memory::{MemoryLedger, MemoryOutcomes, MemoryStream},
    ports::{EndpointTable, Payloads, Secrets},
};
use rendezvous_ingress::{Dependencies, Ingress, Ports, Settings, http::Http};

use crate::{Conditions, Counters, Link, actor::Role, fleet::Fleet, link::Past, step::Step};

/// What API Gateway sends. It takes more than a kilobyte.
pub(crate) type Event = Box<ApiGatewayV2httpRequest>;

/// The ports of ingress in this system.
pub(crate) struct Local<E, K, L>(PhantomData<(E, K, L)>);

impl<E: EndpointTable, K: Secrets, L: Payloads> Ports for Local<E, K, L> {
    type Endpoints = Link<E>;
    type Input = Link<MemoryStream>;
    type Ledger = Link<MemoryLedger>;
    type Outcomes = Link<MemoryOutcomes>;
    type Payloads = Link<L>;
    type Secrets = Link<K>;
    type Telemetry = Counters;
}

/// What ingress depends on.
pub(crate) struct Inside<E, K, L> {
    pub(crate) endpoints: Arc<E>,
    pub(crate) input: Arc<MemoryStream>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) outcomes: Arc<MemoryOutcomes>,
    pub(crate) payloads: Arc<L>,
    pub(crate) secrets: Arc<K>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) past: Arc<Past>,
}

impl<E, K, L> Clone for Inside<E, K, L> {
    fn clone(&self) -> Self {
        let Self { endpoints, input, ledger, outcomes, payloads, secrets, counters, past } = self;
        Self {
            endpoints: endpoints.clone(),
            input: input.clone(),
            ledger: ledger.clone(),
            outcomes: outcomes.clone(),
            payloads: payloads.clone(),
            secrets: secrets.clone(),
            counters: counters.clone(),
            past: past.clone(),
        }
    }
}

impl<E: EndpointTable, K: Secrets, L: Payloads> Inside<E, K, L> {
    pub(crate) fn ingress(
        self,
        conditions: Conditions,
        settings: Settings,
    ) -> Fleet<Http<Local<E, K, L>>> {
        let around = conditions.clone();
        Fleet::new(Role::Ingress, "ingress", &around, move |actor| {
            let dependencies: Dependencies<Local<E, K, L>> = Dependencies {
                endpoints: Link::new(self.endpoints.clone(), actor, &conditions),
                input: Link::new(self.input.clone(), actor, &conditions),
                ledger: Link::with_past(self.ledger.clone(), actor, &conditions, &self.past),
                outcomes: Link::new(self.outcomes.clone(), actor, &conditions),
                payloads: Link::new(self.payloads.clone(), actor, &conditions),
                secrets: Link::new(self.secrets.clone(), actor, &conditions),
                telemetry: self.counters.clone(),
            };
            Http::new(Ingress::new(dependencies, settings).into())
        })
    }
}

/// How long API Gateway waits for ingress.
pub(crate) const GATEWAY_TIMEOUT: Duration = Duration::from_secs(30);

/// What API Gateway answers for a function that did not respond.
pub(crate) fn bad_gateway() -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = 502;
    response
}

/// The step of the protocol that a call is.
pub(crate) fn step(event: &ApiGatewayV2httpRequest) -> Step {
    match event.request_context.http.method {
        Method::POST => Step::Ask,
        Method::PUT => Step::Report,
        _ => Step::Read,
    }
}
