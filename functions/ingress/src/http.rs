//! HTTP as API Gateway's proxy events carry it. Each version of the interface is an adapter of its own:
//! version 1, and the Open Inference Protocol as version 2.

mod call;
mod choice;
mod problem;
mod response;
mod route;
mod v1;
mod v2;

use std::sync::Arc;

use ::http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use rendezvous_core::{Kind, RequestId, now};

pub use self::route::routes;
use self::{
    call::Call,
    problem::{Problem, Protocol},
    response::{Reply, empty, millis, set_header},
    route::Route,
};
use crate::{Answered, Ingress, IngressReport, Ports};

/// The description of the interface (`OpenAPI` 3.1).
const OPENAPI: &str = include_str!("http/openapi.json");

/// Takes every call, gives it to the adapter of its path and reports it.
pub struct Http<P: Ports>(Arc<Ingress<P>>);

impl<P: Ports> Http<P> {
    pub fn new(ingress: Arc<Ingress<P>>) -> Self {
        Self(ingress)
    }

    /// Answers one HTTP request. Every error has a status and a body in the form of its protocol.
    ///
    /// The event is boxed because it takes more than a kilobyte, which a future has once for each function that
    /// hands it on.
    pub async fn handle(&self, event: Box<ApiGatewayV2httpRequest>) -> ApiGatewayV2httpResponse {
        let start = now();
        let call = Call::new(event);
        let id = RequestId::new(call.id());
        let reply = self.answer(&call, id).await;
        let Reply { mut response, answered } = reply.unwrap_or_else(|problem| {
            problem.about(id).into_response(Protocol::of(call.path())).into()
        });
        if !response.headers.contains_key("server-timing") {
            let total = millis(now().since(start));
            set_header(&mut response.headers, "server-timing", &format!("total;dur={total}"));
        }
        if *call.method() == Method::HEAD {
            response.body = None;
        }
        self.report(u16::try_from(response.status_code).unwrap_or(500), answered);
        response
    }

    async fn answer(&self, call: &Call, id: RequestId) -> Result<Reply, Problem> {
        match Route::of(call.method(), call.path())? {
            Route::V1(route) => v1::answer(&self.0, call, route, id).await,
            Route::V2(route) => v2::answer(&self.0, call, route).await,
            Route::OpenApi => Ok(document().into()),
        }
    }

    /// Reports every request that was decided, with the status of its own decision, and the status of
    /// the call unless that is the status of one of them.
    fn report(&self, status: u16, answered: Vec<Answered>) {
        let mut reported = false;
        for answered in answered {
            let own = if answered.kind == Kind::None { 504 } else { 200 };
            reported |= own == status;
            self.0.record(&IngressReport { status: own, answered: Some(answered) });
        }
        if !reported {
            self.0.record(&IngressReport { status, answered: None });
        }
    }
}

fn document() -> ApiGatewayV2httpResponse {
    let mut response = empty(StatusCode::OK);
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.body = Some(Body::Text(OPENAPI.to_owned()));
    response
}
