//! Whether a running system works: the questions of a client, asked of every endpoint, and what the
//! archive says of them.
//!
//! Every request has a `Rendezvous-Key` that begins with [`MARK`], so that analysts can leave it
//! out. What a run cannot remove is in [`LEFT`].

pub mod api;
pub mod archive;
mod archived;
mod endpoint;
pub mod payload;
pub mod report;

use std::time::Duration;

use rendezvous_core::{Configuration, EndpointName, RequestId, ports::ArchiveFiles};
use serde_json::Value;

use api::{Api, Reply};
use archive::Archive;
use archived::check_archive;
use endpoint::{Asked, Client};
use payload::Payloads;
use report::{Report, Step};

/// What the keys of all requests begin with. In the archive it is in the column `key`.
pub const MARK: &str = "rendezvousctl-verify-";

/// What stays behind.
pub const LEFT: &str = "requests in the ledger until they expire; rows in the archive, with a key \
                        that begins with rendezvousctl-verify-";

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a request until every model has had its time: functions may have to start first.
    pub first_answer: Duration,
    /// From the last request until all is in the archive.
    pub archive: Duration,
}

/// Why nothing was verified.
#[derive(Debug)]
pub enum Unusable {
    /// These endpoints have no payload.
    NoPayload(Vec<EndpointName>),
}

/// What a run has asked.
#[derive(Debug)]
pub struct Verified {
    pub report: Report,
    /// The requests whose outcomes were reported.
    pub reported: Vec<(EndpointName, RequestId)>,
}

/// Asks every endpoint and looks for the requests in the archive.
pub async fn verify<F: ArchiveFiles>(
    api: &impl Api,
    files: &F,
    payloads: &Payloads,
    limits: Limits,
) -> Result<Verified, Unusable> {
    let mut report = Report::default();
    let mut reported = Vec::new();
    let mut archive = Archive::new(files);
    if !is_healthy(api, &mut report).await {
        return Ok(Verified { report, reported });
    }
    let endpoints = endpoints(api, &mut report).await;
    let without = endpoints.iter().filter(|(name, _)| payloads.of(name).is_none());
    let without: Vec<EndpointName> = without.map(|(name, _)| name.clone()).collect();
    if !without.is_empty() {
        return Err(Unusable::NoPayload(without));
    }
    let mut all: Vec<Asked> = Vec::new();
    for (name, configuration) in endpoints {
        let Some(payload) = payloads.of(&name) else { continue };
        let client = Client::new(api, name, configuration, payload.to_owned());
        let asked = client.ask_everything(limits, &mut report).await;
        report.requests += asked.requests.len();
        all.push(asked);
    }
    check_archive(&mut archive, &all, limits.archive, &mut report).await;
    for asked in all {
        reported.extend(asked.reported.map(|id| (asked.endpoint.clone(), id)));
    }
    Ok(Verified { report, reported })
}

async fn is_healthy(api: &impl Api, report: &mut Report) -> bool {
    let step = match api.get("/health").await {
        Ok(reply) if reply.status == 200 => Step::ok("health", "", "ingress runs").took(reply.took),
        Ok(reply) => refused("health", "", &reply),
        Err(error) => Step::failed("health", "", error)
            .advise("check the address, and that the system is deployed and runs"),
    };
    report.add(step)
}

/// The endpoints and their current configurations.
async fn endpoints(api: &impl Api, report: &mut Report) -> Vec<(EndpointName, Configuration)> {
    let listed = match api.get("/v1/endpoints").await {
        Ok(reply) if reply.status == 200 => reply,
        Ok(reply) => {
            report.add(refused("endpoints", "", &reply));
            return Vec::new();
        }
        Err(error) => {
            report.add(Step::failed("endpoints", "", error));
            return Vec::new();
        }
    };
    let names = listed.body["endpoints"].as_array().into_iter().flatten();
    let names: Vec<EndpointName> = names.filter_map(|name| name.as_str()?.parse().ok()).collect();
    if names.is_empty() {
        let advice = "publish one: rendezvousctl apply FILE, or serve --endpoints FOLDER";
        report.add(Step::failed("endpoints", "", "there is none").advise(advice));
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in names {
        match configuration(api, &name).await {
            Ok(configuration) => found.push((name, configuration)),
            Err(step) => _ = report.add(step),
        }
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    report.add(Step::ok("endpoints", "", names.join(", ")).took(listed.took));
    found
}

async fn configuration(api: &impl Api, name: &EndpointName) -> Result<Configuration, Step> {
    let reply = api.get(&format!("/v1/endpoints/{name}")).await;
    let mut reply = reply.map_err(|error| Step::failed("configuration", name.as_str(), error))?;
    if reply.status != 200 {
        return Err(refused("configuration", name.as_str(), &reply));
    }
    // The rest of the answer is the configuration.
    if let Value::Object(body) = &mut reply.body {
        body.remove("endpoint");
        body.remove("config");
    }
    serde_json::from_value(reply.body)
        .map_err(|error| Step::failed("configuration", name.as_str(), error.to_string()))
}

/// A step that failed because the answer has an unexpected status.
fn refused(name: &str, subject: &str, reply: &Reply) -> Step {
    let step = Step::failed(name, subject, reply.told()).took(reply.took);
    match reply.status {
        401 | 403 => step.advise(
            "these credentials may not call this route: with Authorization=AWS_IAM the caller needs \
             execute-api:Invoke (outputs AskArn, OutcomeArn), with JWT pass --token",
        ),
        429 | 503 => step.advise("a dependency throttles or is down: see the logs of ingress"),
        404 if reply.body["type"].is_null() => {
            step.advise("no route of this API: check the address, and that the stack is up to date")
        }
        _ => step.advise("see the logs of ingress for this request"),
    }
}
