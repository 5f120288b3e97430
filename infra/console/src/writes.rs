//! What is done: a change is planned, then published in the place of the version that was seen.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rendezvous_core::{
    Arm, Configuration, EndpointName, Guard, ModelId, Provenance, Share,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use rendezvous_operations::{
    baseline::{self, BaselineOptions, Made},
    change::{self, Change, Meanwhile, Planned},
    failure::Failure,
    past::{Range, instant},
    up,
    whatif::{self, schedule_of},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{Running, call::parsed, ports::Shared, reads, refusal::Refusal};

/// A change as the page sends it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Wanted {
    /// A configuration, as a person has written it.
    Apply(Box<RawValue>),
    RollBack {
        version: u64,
        #[serde(default)]
        rebase: bool,
    },
    Promote {
        model: ModelId,
    },
    PromoteInArm {
        model: ModelId,
        arm: Option<Arm>,
        steps: Vec<Share>,
        guard: Option<Guard>,
    },
    Retire {
        model: ModelId,
    },
    /// Drift is measured against these days: dates, of which the last is the day after.
    Baseline {
        from: String,
        to: String,
        name: Option<String>,
    },
}

impl Wanted {
    /// The change, and the baseline that it names, which is computed and not kept.
    async fn change<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
        self,
        ports: &Shared<E, W, A, R>,
        endpoint: &EndpointName,
    ) -> Result<(Change, Option<Made>), Refusal> {
        let change = match self {
            Self::Apply(text) => Change::Apply(Configuration::parse(text.get())?),
            Self::RollBack { version, rebase } => {
                Change::RollBack { version: Some(version), rebase }
            }
            Self::Promote { model } => Change::Promote(model),
            Self::PromoteInArm { model, arm, steps, guard } => {
                Change::PromoteInArm { model, arm, steps, guard }
            }
            Self::Retire { model } => Change::Retire(model),
            Self::Baseline { from, to, name } => {
                let date = |name: &str, text: &str| {
                    parsed(text).map_err(|what| Refusal::malformed(format!("{name}: {what}")))
                };
                let (from, to) = (date("from", &from)?, date("to", &to)?);
                let name = name.filter(|name| !name.trim().is_empty());
                let options = BaselineOptions { endpoint: endpoint.clone(), from, to, name };
                let (archive, windows) = (&*ports.archive, &*ports.windows);
                let endpoints = &*ports.endpoints;
                let made = baseline::make(archive, windows, endpoints, &options, |_| ()).await?;
                return Ok((Change::Baseline(made.name().to_owned()), Some(made)));
            }
        };
        Ok((change, None))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanCall {
    change: Wanted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishCall {
    change: Wanted,
    /// The version that the person has seen.
    expected: u64,
    message: String,
    author: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhatIfCall {
    /// A schedule, or a configuration, whose arm `main` it is.
    schedule: Box<RawValue>,
    from: Option<String>,
    to: Option<String>,
}

fn body<'b, T: Deserialize<'b>>(body: &'b Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::malformed(format!("the body: {error}")))
}

/// `whatif ENDPOINT --schedule FILE --from TIME --to TIME`.
pub(crate) async fn whatif<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    endpoint: EndpointName,
    bytes: Bytes,
) -> Result<Value, Refusal> {
    let WhatIfCall { schedule, from, to } = body(&bytes)?;
    let time = |text: Option<String>| text.map(|text| instant(&text)).transpose();
    let (from, to) = (time(from), time(to));
    let (from, to) = (from.map_err(Refusal::malformed)?, to.map_err(Refusal::malformed)?);
    let schedule = schedule_of(schedule.get()).map_err(Failure::Refused)?;
    let range = Range { endpoint, from, to };
    let margin: Duration = ports.running.margin();
    let (archive, endpoints) = (&*ports.archive, &*ports.endpoints);
    let schedules = (schedule, Vec::new());
    let report = whatif::recompute(archive, endpoints, &range, schedules, margin, |_| ()).await?;
    reads::json(&report)
}

/// What a change would mean, and what may not work of it. Nothing is published.
pub(crate) async fn plan<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    endpoint: EndpointName,
    bytes: Bytes,
) -> Result<Value, Refusal> {
    let PlanCall { change } = body(&bytes)?;
    let (change, made) = change.change(&ports, &endpoint).await?;
    let (planned, warnings) = planned(&ports, &endpoint, change).await?;
    let mut json = planned.json(None);
    json["warnings"] = json!(warnings);
    if let Some(made) = made {
        json["baseline"] = made.output.json;
    }
    json["configuration"] = reads::json(&planned.configuration)?;
    Ok(json)
}

/// Publishes a change, if the version that the person has seen is still current.
pub(crate) async fn publish<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: Shared<E, W, A, R>,
    endpoint: EndpointName,
    bytes: Bytes,
    author: String,
) -> Result<Value, Refusal> {
    let PublishCall { change, expected, message, author: given } = body(&bytes)?;
    if message.trim().is_empty() {
        return Err(Refusal::malformed("message: say why the configuration changes"));
    }
    let author = given.filter(|author| !author.trim().is_empty()).unwrap_or(author);
    let provenance = Provenance::new(author, message);
    let provenance = provenance.map_err(|invalid| Refusal::malformed(invalid.to_string()))?;
    let current = ports.endpoints.current(&endpoint).await?;
    if current != Some(expected) {
        return Err(conflict(&ports, &endpoint, expected).await?);
    }
    let (change, made) = change.change(&ports, &endpoint).await?;
    let (planned, _) = planned(&ports, &endpoint, change).await?;
    if planned.from != Some(expected) {
        return Err(conflict(&ports, &endpoint, expected).await?);
    }
    if planned.difference.is_empty() {
        let detail = "nothing would change";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    if let Some(made) = made {
        // Before the version that names it, and again without effect.
        made.keep(&*ports.windows).await?;
    }
    match planned.publish(&*ports.endpoints, provenance).await {
        Ok(version) => Ok(planned.json(Some(version))),
        Err(Failure::Conflict(_)) => Err(conflict(&ports, &endpoint, expected).await?),
        Err(failure) => Err(failure.into()),
    }
}

/// A plan, and what may not work of it. A model that is not up cannot be promoted.
async fn planned<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: &Shared<E, W, A, R>,
    endpoint: &EndpointName,
    change: Change,
) -> Result<(Planned, Vec<String>), Refusal> {
    let promoted = match &change {
        Change::Promote(model) | Change::PromoteInArm { model, .. } => Some(model.clone()),
        _ => None,
    };
    let planned = change::plan(&*ports.endpoints, endpoint, change).await?;
    let up = ports.running.models_up().await;
    if let (Some(model), Ok(up)) = (promoted, &up) {
        up::require(up, endpoint, &model)?;
    }
    let warnings = up::warnings(&up, endpoint, &planned.configuration);
    Ok((planned, warnings))
}

/// Another version is current than the person has seen: which one, by whom, why, and what it changes.
async fn conflict<E: EndpointTable, W: WindowTable, A: ArchiveFiles, R: Running>(
    ports: &Shared<E, W, A, R>,
    endpoint: &EndpointName,
    expected: u64,
) -> Result<Refusal, Refusal> {
    let Some(current) = ports.endpoints.current(endpoint).await? else {
        let detail = format!("there is no endpoint {endpoint}");
        return Ok(Refusal::new(StatusCode::NOT_FOUND, detail));
    };
    let found = change::meanwhile(&*ports.endpoints, endpoint, Some(expected), current).await?;
    let Meanwhile { version, author, message, difference } = found;
    let detail = format!(
        "version {version} of {endpoint} was published meanwhile; nothing was changed. Look at the difference, \
         and publish against version {version}"
    );
    let meanwhile = json!({
        "config": version, "author": author, "message": message, "changes": difference.changes,
    });
    let status = StatusCode::CONFLICT;
    Ok(Refusal { status, detail, meanwhile: Some(meanwhile) })
}
