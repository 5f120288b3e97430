//! HTTP version 1 of the interface: parses calls, renders answers.

mod body;

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use http::{HeaderMap, StatusCode};
use rendezvous_core::{
    EndpointName, Envelope, Kind, RequestId, Timestamp, limits::MAX_OUTCOME_BYTES, now,
};

use self::body::{
    DecisionBody, EndpointBody, EndpointsBody, Health, MailboxBody, OpenBody, ScoreBody,
};
use super::{
    call::{Call, Wait},
    choice::Choice,
    problem::{Problem, Protocol},
    response::{Reply, empty, json, millis, set_header},
};
use crate::{Answer, Ask, Asked, Ingress, Ports, Reading, Refused};

/// What a call is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Ask(EndpointName),
    Read(EndpointName, RequestId),
    Report(EndpointName, RequestId),
    Describe(EndpointName),
    List,
    Health,
}

pub(super) async fn answer<P: Ports>(
    ingress: &Ingress<P>,
    call: &Call,
    route: Route,
    id: RequestId,
) -> Result<Reply, Problem> {
    let caller = call.caller();
    Ok(match route {
        Route::Ask(name) => return ask(ingress, call, name, id).await,
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
            json(StatusCode::OK, &EndpointBody::new(&endpoint)).into()
        }
        Route::List => {
            let endpoints = ingress.list().await?;
            json(StatusCode::OK, &EndpointsBody { endpoints }).into()
        }
        Route::Health => json(StatusCode::OK, &Health { status: "ok" }).into(),
    })
}

async fn ask<P: Ports>(
    ingress: &Ingress<P>,
    call: &Call,
    endpoint: EndpointName,
    id: RequestId,
) -> Result<Reply, Problem> {
    let received = call.received(now());
    let (options, wait) = call.options()?;
    let payload = call.json(ingress.max_payload_bytes())?;
    let asked_for = options.deadline;
    let caller = call.caller().map(str::to_owned);
    let ask = Ask { endpoint, payload, options, id, caller, received };
    let asked = ingress.ask(ask).await;
    let asked =
        asked.map_err(|Refused { request, refusal }| Problem::from(refusal).about(request))?;
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
        let failures = failures.into_iter().map(Choice::from).collect();
        let problem = Problem::no_answer(&envelope, &decision).because(failures);
        return Reply { response: problem.into_response(Protocol::V1), answered: vec![report] };
    }
    let failures: Vec<Choice> = failures.into_iter().map(Choice::from).collect();
    let body = DecisionBody::new(&envelope, &decision, settled, &failures);
    let mut response = json(StatusCode::OK, &body);
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
    Reply { response, answered: vec![report] }
}

fn rendered_reading(reading: Reading) -> ApiGatewayV2httpResponse {
    let Reading { envelope, state, failures } = reading;
    match state {
        Ok(settled) => {
            let failures: Vec<Choice> = failures.into_iter().map(Choice::from).collect();
            let decision = DecisionBody::new(&envelope, &settled.decision, true, &failures);
            let scores = settled.scores.iter().map(ScoreBody::new).collect();
            json(StatusCode::OK, &MailboxBody { decision, scores })
        }
        Err(scores) => {
            let scores = scores.iter().map(ScoreBody::new).collect();
            json(StatusCode::ACCEPTED, &OpenBody::new(&envelope, scores))
        }
    }
}

fn accepted(envelope: &Envelope) -> ApiGatewayV2httpResponse {
    let mut response = json(StatusCode::ACCEPTED, &OpenBody::new(envelope, Vec::new()));
    let location = format!("/v1/endpoints/{}/requests/{}", envelope.endpoint, envelope.id);
    set_header(&mut response.headers, "location", &location);
    set_header(&mut response.headers, "preference-applied", "respond-async");
    response
}
