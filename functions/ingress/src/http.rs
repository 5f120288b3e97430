//! HTTP version 1 of the interface, as API Gateway's proxy events carry it: parses calls, renders
//! answers.

mod body;
mod call;
mod problem;
mod route;

use std::{sync::Arc, time::Duration};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use rendezvous_core::{
    EndpointName, Envelope, Kind, Reason, RequestId, Timestamp, limits::MAX_OUTCOME_BYTES, now,
};
use serde::Serialize;

use self::{
    body::{
        Choice, DecisionBody, EndpointBody, EndpointsBody, Health, MailboxBody, OpenBody,
        ScoreBody, millis,
    },
    call::{Call, Wait},
    problem::Problem,
    route::Route,
};
use crate::{Answer, Answered, Ask, Asked, Ingress, IngressReport, Ports, Reading};

/// The adapter around ingress.
pub struct HttpV1<P: Ports>(Arc<Ingress<P>>);

/// A response, and what to report of it.
struct Reply {
    response: ApiGatewayV2httpResponse,
    answered: Option<Answered>,
}

impl From<ApiGatewayV2httpResponse> for Reply {
    fn from(response: ApiGatewayV2httpResponse) -> Self {
        Self { response, answered: None }
    }
}

impl<P: Ports> HttpV1<P> {
    pub fn new(ingress: Arc<Ingress<P>>) -> Self {
        Self(ingress)
    }

    /// Answers one HTTP request. Every error has a status and a problem document.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let start = now();
        let call = Call::new(event);
        let id = RequestId::new(call.id());
        let routed = Route::of(call.method(), call.path());
        let reply = match routed {
            Ok(route) => self.answer(&call, route, id).await,
            Err(problem) => Err(problem.about(id)),
        };
        let Reply { mut response, answered } =
            reply.unwrap_or_else(|problem| problem.about(id).into_response().into());
        if !response.headers.contains_key("server-timing") {
            let total = millis(now().since(start));
            set_header(&mut response.headers, "server-timing", &format!("total;dur={total}"));
        }
        if *call.method() == Method::HEAD {
            response.body = None;
        }
        let status = u16::try_from(response.status_code).unwrap_or(500);
        self.0.record(&IngressReport { status, answered });
        response
    }

    async fn answer(&self, call: &Call, route: Route, id: RequestId) -> Result<Reply, Problem> {
        let caller = call.caller();
        let ingress = &self.0;
        Ok(match route {
            Route::Ask(name) => return self.ask(call, name, id).await,
            Route::Read(name, id) => {
                let reading = ingress.read(&name, id, caller).await;
                let reading = reading.map_err(|refusal| Problem::from(refusal).about(id))?;
                rendered_reading(reading).into()
            }
            Route::Report(name, id) => {
                let outcome = call.json(MAX_OUTCOME_BYTES).map_err(|problem| problem.about(id))?;
                let reported = ingress.report(&name, id, caller, outcome).await;
                reported.map_err(|refusal| Problem::from(refusal).about(id))?;
                empty(StatusCode::NO_CONTENT).into()
            }
            Route::Describe(name) => {
                let endpoint = ingress.describe(&name).await?;
                response(StatusCode::OK, &EndpointBody::new(&endpoint)).into()
            }
            Route::List => {
                let endpoints = ingress.list().await?;
                response(StatusCode::OK, &EndpointsBody { endpoints }).into()
            }
            Route::Health => response(StatusCode::OK, &Health { status: "ok" }).into(),
        })
    }

    async fn ask(
        &self,
        call: &Call,
        endpoint: EndpointName,
        id: RequestId,
    ) -> Result<Reply, Problem> {
        let received = call.received(now());
        let (options, wait) = call.options()?;
        let payload = call.json(self.0.max_payload_bytes())?;
        let asked_for = options.deadline;
        let caller = call.caller().map(str::to_owned);
        let ask = Ask { endpoint, payload, options, id, caller, received };
        let asked = self.0.ask(ask).await?;
        let (mut reply, envelope) = match asked {
            Asked::Accepted(envelope) => (accepted(&envelope).into(), envelope),
            Asked::Answered(answer) => {
                let envelope = answer.envelope.clone();
                (rendered(*answer, received), envelope)
            }
        };
        applied(&mut reply.response.headers, &envelope, asked_for, wait);
        Ok(reply)
    }
}

/// Says which of the client's preferences were applied, and to what extent.
fn applied(
    headers: &mut HeaderMap,
    envelope: &Envelope,
    asked_for: Option<Duration>,
    wait: Option<Wait>,
) {
    if asked_for.is_some() {
        let applied = envelope.deadline.since(envelope.received).as_millis();
        set_header(headers, "rendezvous-deadline-ms", &applied.to_string());
    }
    if let Some(Wait(seconds)) = wait
        && !headers.contains_key("preference-applied")
    {
        set_header(headers, "preference-applied", &format!("wait={seconds}"));
    }
}

fn rendered(answer: Answer, received: Timestamp) -> Reply {
    let Answer { envelope, decision, settled, failures, sent, ended, report } = answer;
    if decision.kind == Kind::None {
        let waited = decision.decided.since(envelope.received).as_millis();
        let detail = match decision.reason {
            Reason::Exhausted => format!("Every model failed within {waited} ms."),
            _ => format!("No model answered within {waited} ms."),
        };
        let detail = format!("{detail} The endpoint has no fallback.");
        let problem =
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", "There is no answer", detail);
        let failures = failures.into_iter().map(Choice::from).collect();
        let response = problem.about(envelope.id).because(failures).into_response();
        return Reply { response, answered: Some(report) };
    }
    let failures: Vec<Choice> = failures.into_iter().map(Choice::from).collect();
    let body = DecisionBody::new(&envelope, &decision, settled, &failures);
    let mut response = response(StatusCode::OK, &body);
    let total = millis(report.took);
    let timing = sent.map_or_else(
        || format!("total;dur={total}"),
        |sent| {
            let sending = millis(sent.since(received));
            let waiting = millis(ended.since(sent));
            format!("send;dur={sending}, wait;dur={waiting}, total;dur={total}")
        },
    );
    set_header(&mut response.headers, "server-timing", &timing);
    Reply { response, answered: Some(report) }
}

fn rendered_reading(reading: Reading) -> ApiGatewayV2httpResponse {
    let Reading { envelope, state, failures } = reading;
    match state {
        Ok(settled) => {
            let failures: Vec<Choice> = failures.into_iter().map(Choice::from).collect();
            let decision = DecisionBody::new(&envelope, &settled.decision, true, &failures);
            let scores = settled.scores.iter().map(ScoreBody::new).collect();
            response(StatusCode::OK, &MailboxBody { decision, scores })
        }
        Err(scores) => {
            let scores = scores.iter().map(ScoreBody::new).collect();
            response(StatusCode::ACCEPTED, &OpenBody::new(&envelope, scores))
        }
    }
}

fn accepted(envelope: &Envelope) -> ApiGatewayV2httpResponse {
    let mut response = response(StatusCode::ACCEPTED, &OpenBody::new(envelope, Vec::new()));
    let location = format!("/v1/endpoints/{}/requests/{}", envelope.endpoint, envelope.id);
    set_header(&mut response.headers, "location", &location);
    set_header(&mut response.headers, "preference-applied", "respond-async");
    response
}

fn empty(status: StatusCode) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status.as_u16());
    response
}

/// A response with a JSON body.
fn response(status: StatusCode, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    typed_response(status, body, "application/json")
}

fn typed_response(
    status: StatusCode,
    body: &impl Serialize,
    content_type: &'static str,
) -> ApiGatewayV2httpResponse {
    let mut response = empty(status);
    let content_type = HeaderValue::from_static(content_type);
    response.headers.insert(::http::header::CONTENT_TYPE, content_type);
    match serde_json::to_string(body) {
        Ok(text) => response.body = Some(Body::Text(text)),
        Err(error) => {
            // Every body is made of strings, numbers and JSON that has been read before.
            tracing::error!(%error, "a response cannot be written as JSON");
            response.status_code = 500;
        }
    }
    response
}

/// Adds a header whose value is known to be ASCII.
fn set_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
