//! The Open Inference Protocol, version 2, as REST with tensors in JSON: parses calls, renders answers.
//!
//! A model of the protocol is an endpoint here. It chooses the model that answers, so that no version
//! of it can be asked for.

mod answer;
mod element;
mod input;
mod metadata;
mod payload;
mod request;

use std::sync::Arc;

use http::StatusCode;
use rendezvous_core::{
    Endpoint, EndpointName, Json, RequestId, Tensors, Timestamp,
    limits::{MAX_PAYLOAD_BYTES, MAX_ROWS},
    now,
};

use self::{
    answer::Wanted,
    metadata::{Live, Model, ModelReady, Ready, Server},
    request::InferRequest,
};
use super::{
    call::{Call, is_json},
    problem::Problem,
    response::{Reply, json},
};
use crate::{Ask, Ingress, Ports, RequestOptions};

/// What a call is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Server,
    Live,
    Ready,
    Model(EndpointName),
    ModelReady(EndpointName),
    Infer(EndpointName),
    /// Anything of one version of a model.
    Version(EndpointName),
}

pub(super) async fn answer<P: Ports>(
    ingress: &Ingress<P>,
    call: &Call,
    route: Route,
) -> Result<Reply, Problem> {
    Ok(match route {
        Route::Server => json(StatusCode::OK, &Server::this()).into(),
        Route::Live => json(StatusCode::OK, &Live { live: true }).into(),
        Route::Ready => {
            // Without the table of the endpoints nothing can be asked.
            ingress.list().await?;
            json(StatusCode::OK, &Ready { ready: true }).into()
        }
        Route::Model(name) => {
            let endpoint = ingress.describe(&name).await?;
            json(StatusCode::OK, &Model::new(&endpoint)).into()
        }
        Route::ModelReady(name) => {
            let endpoint = ingress.describe(&name).await?;
            mapped(&endpoint)?;
            json(StatusCode::OK, &ModelReady { name: &name, ready: true }).into()
        }
        Route::Infer(name) => return infer(ingress, call, name).await,
        Route::Version(name) => {
            ingress.describe(&name).await?;
            return Err(Problem::not_found(format!(
                "{name} has no versions that can be asked for: it chooses the model itself. Leave \
                 /versions/ out of the path; model_version in the answer is the model that answered."
            )));
        }
    })
}

/// Asks a request for each row.
async fn infer<P: Ports>(
    ingress: &Ingress<P>,
    call: &Call,
    name: EndpointName,
) -> Result<Reply, Problem> {
    let received = call.received(now());
    if call.has_header("inference-header-content-length") {
        return Err(Problem::not_json(format!(
            "Tensors in binary form are not taken. {}",
            input::SEND_JSON
        )));
    }
    let (mut options, _) = call.options()?;
    // This protocol has no way to answer later.
    options.respond_async = false;
    // tritonclient's asynchronous client declares bytes, whatever they are. It is no type of a form, so
    // that no page of another site can make a browser send it.
    let declared =
        |text: &str| is_json(text) || text.eq_ignore_ascii_case("application/octet-stream");
    let body = call.json_declared(MAX_PAYLOAD_BYTES, declared)?;
    let request = InferRequest::parse(&body)?;
    request.apply_to(&mut options)?;
    let endpoint = ingress.describe(&name).await?;
    let tensors = mapped(&endpoint)?;
    let wanted = Wanted::new(tensors, &request.outputs)?;
    let payloads = payloads(tensors, &request, ingress.max_payload_bytes())?;
    let asks = asks(call, &name, payloads, &options, received);
    let asked = ingress.ask_all(asks).await;
    Ok(answer::reply(&name, request.id.as_deref(), &wanted, asked, options.deadline.is_some()))
}

/// The tensors of an endpoint that can be asked by this protocol.
fn mapped(endpoint: &Arc<Endpoint>) -> Result<&Tensors, Problem> {
    let name = &endpoint.name;
    endpoint.configuration.tensors().ok_or_else(|| {
        Problem::malformed(format!(
            "{name} cannot be asked by this protocol: its configuration has no \"tensors\". Use POST \
             /v1/endpoints/{name}/requests."
        ))
    })
}

fn payloads(
    tensors: &Tensors,
    request: &InferRequest<'_>,
    max_bytes: usize,
) -> Result<Vec<Json>, Problem> {
    let columns = input::columns(tensors, &request.inputs)?;
    let rows = columns.first().map_or(0, |column| column.rows);
    if rows == 0 || rows > MAX_ROWS {
        return Err(Problem::malformed(format!(
            "The inputs have {rows} rows; a call has 1 to {MAX_ROWS}."
        )));
    }
    payload::payloads(tensors, &columns, rows, max_bytes)
}

/// One request for each row, all with the same deadline.
fn asks(
    call: &Call,
    endpoint: &EndpointName,
    payloads: Vec<Json>,
    options: &RequestOptions,
    received: Timestamp,
) -> Vec<Ask> {
    let caller = call.caller().map(str::to_owned);
    let ask = |(row, payload)| {
        let mut options = options.clone();
        // No header holds a line end, so that no other key is the same.
        let key = options.idempotency_key.map(|key| format!("{key}\n{row}"));
        options.idempotency_key = key;
        let id = RequestId::new(&format!("{} {row}", call.id()));
        Ask { endpoint: endpoint.clone(), payload, options, id, caller: caller.clone(), received }
    };
    payloads.into_iter().enumerate().map(ask).collect()
}
