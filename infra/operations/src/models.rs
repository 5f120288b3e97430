//! The command `models`: which models are up, since when, from which artefact, and what they sent
//! lately.

mod table;
mod warnings;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rendezvous_archive::{
    activity::{Activities, Activity, Used, activity},
    scan::Progress,
};
use rendezvous_core::{
    Arm, Artifact, Configuration, Endpoint, EndpointName, ModelId, Share, Timestamp, now,
    ports::{ArchiveFiles, EndpointTable},
};
use serde::Serialize;

use crate::{
    difference::role_name,
    endpoints::find,
    failure::Failure,
    output::Output,
    past::instant,
    progress::Bar,
    up::{Function, Model, Up},
};

/// What "lately" means where it is not said otherwise.
const LATELY: Duration = Duration::from_hours(1);

#[derive(Args, Clone, Debug)]
pub struct ModelsOptions {
    /// Only the models of this endpoint.
    pub endpoint: Option<EndpointName>,
    /// Count scores that arrived at or after this: 2026-11-26, or 2026-11-26T07:00:00Z. By default the
    /// last hour is counted.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Count scores that arrived before this.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<Timestamp>,
}

impl ModelsOptions {
    fn arrived(&self) -> Result<Range<Timestamp>, Failure> {
        let to = self.to.unwrap_or_else(now);
        let from = self.from.unwrap_or(to - LATELY);
        if from < to {
            return Ok(from..to);
        }
        Err(Failure::Usage("--from must be before --to".to_owned()))
    }
}

/// What `models` found.
#[derive(Debug, Serialize)]
pub struct Listing {
    from_us: Timestamp,
    to_us: Timestamp,
    models: Vec<Row>,
    /// On a stack.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    functions: BTreeMap<ModelId, Function>,
    warnings: Vec<String>,
}

/// A model on an endpoint.
#[derive(Debug, Serialize)]
struct Row {
    /// None where the model is up for any endpoint, and on none.
    endpoint: Option<EndpointName>,
    model: ModelId,
    /// Its roles in the current configuration; none where that does not list it.
    roles: Vec<String>,
    /// Whether it receives requests; none where that is not known.
    up: Option<bool>,
    since_us: Option<Timestamp>,
    last_us: Option<Timestamp>,
    scored: u64,
    failed: u64,
    artifacts: Vec<Version>,
    /// Whether it is to score every request of the endpoint.
    #[serde(skip)]
    scores_all: bool,
}

/// An artefact, and when scores named it.
#[derive(Debug, Serialize)]
struct Version {
    artifact: Artifact,
    first_us: Timestamp,
    last_us: Timestamp,
    count: u64,
}

/// Lists the models that are configured, up, or have sent something lately.
pub async fn models(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    up: &Result<Up, String>,
    options: &ModelsOptions,
) -> Result<Output, Failure> {
    let found = listing(files, endpoints, up, options, Bar::shows()).await?;
    Output::of(&found, table::table)
}

/// The same as a value.
pub async fn listing(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    up: &Result<Up, String>,
    options: &ModelsOptions,
    progress: impl FnMut(Progress),
) -> Result<Listing, Failure> {
    let arrived = options.arrived()?;
    let mut current = Vec::new();
    let names = match &options.endpoint {
        Some(name) => vec![name.clone()],
        None => endpoints.list().await?,
    };
    for name in names {
        current.push(find(endpoints, &name, None).await?);
    }
    let only = options.endpoint.as_ref();
    let activities = activity(files, only, arrived.clone(), progress).await?;
    let rows = rows(&current, up.as_ref().ok(), &activities, only);
    let warnings = warnings::warnings(&rows, up, &arrived);
    let functions = up.iter().flatten().filter_map(|(model, known)| {
        let is_listed = rows.iter().any(|row| row.model == *model);
        known.function.clone().filter(|_| is_listed).map(|function| (model.clone(), function))
    });
    let functions = functions.collect();
    let Range { start: from_us, end: to_us } = arrived;
    Ok(Listing { from_us, to_us, models: rows, functions, warnings })
}

/// A row for each model of each endpoint.
fn rows(
    current: &[Arc<Endpoint>],
    up: Option<&Up>,
    activities: &Activities,
    only: Option<&EndpointName>,
) -> Vec<Row> {
    let mut places: BTreeSet<(Option<EndpointName>, ModelId)> =
        activities.keys().cloned().map(|(endpoint, model)| (Some(endpoint), model)).collect();
    for endpoint in current {
        let models = endpoint.configuration.models();
        places.extend(models.map(|model| (Some(endpoint.name.clone()), model.clone())));
    }
    for (model, known) in up.into_iter().flatten() {
        match &known.endpoints {
            Some(names) => {
                let wanted = names.iter().filter(|name| only.is_none_or(|only| only == *name));
                places.extend(wanted.map(|name| (Some(name.clone()), model.clone())));
            }
            None if only.is_none() && !places.iter().any(|(_, other)| other == model) => {
                places.insert((None, model.clone()));
            }
            None => {}
        }
    }
    let row = |(endpoint, model): (Option<EndpointName>, ModelId)| {
        let configuration = current.iter().find(|each| Some(&each.name) == endpoint.as_ref());
        let configuration = configuration.map(|each| &each.configuration);
        let activity = endpoint.clone().and_then(|name| activities.get(&(name, model.clone())));
        let known = up.and_then(|up| up.get(&model));
        Row {
            roles: configuration.map(|each| roles(each, &model)).unwrap_or_default(),
            up: up.map(|_| known.is_some_and(Model::is_up)),
            since_us: known.and_then(|known| known.since),
            last_us: activity.map(|activity| activity.last),
            scored: activity.map_or(0, |activity| activity.scored),
            failed: activity.map_or(0, |activity| activity.failed),
            artifacts: activity.map(versions).unwrap_or_default(),
            scores_all: configuration.is_some_and(|each| scores_all(each, &model)),
            endpoint,
            model,
        }
    };
    places.into_iter().map(row).collect()
}

/// The artefacts in the order in which they were first seen.
fn versions(activity: &Activity) -> Vec<Version> {
    let version = |(artifact, used): (&Artifact, &Used)| {
        let Used { first: first_us, last: last_us, count } = *used;
        Version { artifact: artifact.clone(), first_us, last_us, count }
    };
    let mut versions: Vec<Version> = activity.artifacts.iter().map(version).collect();
    versions.sort_by_key(|version| version.first_us);
    versions
}

/// What a model is in a configuration.
pub(crate) fn roles(configuration: &Configuration, model: &ModelId) -> Vec<String> {
    let mut roles = Vec::new();
    for (arm, schedule) in configuration.arms() {
        let choices = schedule.choices();
        let Some(place) = choices.iter().position(|choice| choice.model == *model) else {
            continue;
        };
        let role = match place {
            0 => "champion",
            last if last + 1 == choices.len() => "backstop",
            _ => "stand-in",
        };
        roles.push(if *arm == Arm::main() { role.to_owned() } else { format!("{role} of {arm}") });
    }
    for observer in configuration.observers().iter().filter(|observer| observer.model == *model) {
        let role = role_name(observer.role);
        roles.push(if observer.share == Share::ALL {
            role.to_owned()
        } else {
            format!("{role} {}", observer.share)
        });
    }
    roles
}

fn scores_all(configuration: &Configuration, model: &ModelId) -> bool {
    let mut observers = configuration.observers().iter();
    let observer = observers.find(|observer| observer.model == *model);
    observer.is_none_or(|observer| observer.share == Share::ALL)
}
