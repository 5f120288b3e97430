//! What may be said on the command line about the system itself, and how it is put together.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rendezvous_core::{ModelId, ports::EndpointTable};
use rendezvous_folder::{DataFolder, FolderWindows};
use rendezvous_local_system::{self as local, Local, Windows};
use rendezvous_model::Model;
use rendezvous_onnx::Compute;
use rendezvous_sim::{Size, faults::Faults, mapping::Mapping};

use crate::{
    archiving::Archiving,
    cards::Loaded,
    flights,
    function::Functions,
    log::Log,
    say::{Error, warn},
    workspace::{Told, Workspace},
};

#[derive(Args, Clone, Debug)]
pub struct SystemOptions {
    /// Model cards (JSON) with their ONNX files; each becomes a model [default: the flights models]
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,

    /// Endpoint configurations, one {endpoint}.json each [default: the flights endpoint]
    #[arg(long, value_name = "FOLDER")]
    endpoints: Option<PathBuf>,

    /// Where endpoints, archive and secret are kept [default: .rendezvous for `serve`, a new folder
    /// under target/data for `demo`]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Shards of each stream
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = 1..=256)]
    shards: i64,

    /// Batches of a shard that a model's function handles at a time, 1 to 10, e.g. logistic@1=10
    #[arg(long, value_name = "MODEL=COUNT", value_parser = factor)]
    parallelization_factor: Vec<OfModel>,

    /// Requests in work at a time; more are answered at once, with the fallback or with 429
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = 1..=100_000)]
    in_flight: i64,

    /// Slow a model down, e.g. logistic@1=70
    #[arg(long, value_name = "MODEL=MILLISECONDS")]
    slow: Vec<OfModel>,

    /// Let a model hang in one of so many requests, e.g. logistic@1=10
    #[arg(long, value_name = "MODEL=COUNT")]
    hang: Vec<OfModel>,
}

/// `MODEL=NUMBER`
#[derive(Clone, Debug)]
pub struct OfModel {
    model: ModelId,
    number: u64,
}

impl FromStr for OfModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (model, number) = text.split_once('=').ok_or("it must be MODEL=NUMBER")?;
        let number = number.parse().map_err(|_| format!("{number:?} is not a whole number"))?;
        Ok(Self { model: model.parse().map_err(|error| format!("{error}"))?, number })
    }
}

/// A folder of its own for each start.
pub(crate) fn new_folder() -> PathBuf {
    let time = chrono::DateTime::from_timestamp_micros(rendezvous_core::now().as_micros());
    let time = time.unwrap_or_default().format("%Y%m%dT%H%M%S%.3f").to_string();
    flights::repository().join("target/data").join(time)
}

impl SystemOptions {
    /// The data folder, locked for this process; `.rendezvous` by default.
    pub(crate) fn data(&self) -> Result<DataFolder, Error> {
        let folder = self.data.clone().unwrap_or_else(|| PathBuf::from(".rendezvous"));
        Ok(DataFolder::serve(&folder)?)
    }

    /// The data folder, locked for this process; by default a new one.
    pub(crate) fn fresh_data(&self) -> Result<DataFolder, Error> {
        Ok(DataFolder::serve(&self.data.clone().unwrap_or_else(new_folder))?)
    }

    /// The same for a run in which nobody is promised anything.
    pub(crate) fn rehearsal_data(&self) -> Result<DataFolder, Error> {
        Ok(DataFolder::rehearse(&self.data.clone().unwrap_or_else(new_folder))?)
    }

    /// The size of the system.
    pub(crate) fn size(&self) -> Result<Size, Error> {
        let mut size = Size { shards: usize::try_from(self.shards)?, ..Size::default() };
        size.settings.in_flight = usize::try_from(self.in_flight)?;
        Ok(size)
    }

    /// Starts the system with its models and the endpoints that are configured. What `log` has kept of a former
    /// process is in it again.
    pub(crate) async fn start(
        &self,
        data: &DataFolder,
        mut log: Option<&mut Log>,
    ) -> Result<Started, Error> {
        let compute = Compute::start().map_err(|error| format!("cannot start threads: {error}"))?;
        let archiving =
            Archiving::start().map_err(|error| format!("cannot start a thread: {error}"))?;
        let size = Size {
            compute: compute.handles().cloned().collect(),
            archiving: Some(archiving.handle().clone()),
            journal: log.as_ref().map(|log| log.journal().clone()),
            ..self.size()?
        };
        let windows = Windows::Folder(FolderWindows::new(data));
        let system = local::start(data, windows, &size);
        let unscored = match &mut log {
            Some(log) => log.start(&system).await?,
            None => Vec::new(),
        };
        let functions = Functions::start(&system, data).await?;
        let bring_up = |system: &Local, loaded| self.bring_up(system, Some(&functions), loaded);
        let started = self.configure(system, bring_up).await?;
        for record in unscored {
            record.deliver(&started.system);
        }
        Ok(Started { threads: Some((compute, archiving)), functions: Some(functions), ..started })
    }

    /// Gives a system its models and its endpoints. `bring_up` adds a model.
    pub(crate) async fn configure(
        &self,
        system: Arc<Local>,
        bring_up: impl Fn(&Local, Loaded),
    ) -> Result<Started, Error> {
        let models = self.models.clone().unwrap_or_else(flights::folder);
        let endpoints = self.endpoints.clone();
        let endpoints =
            endpoints.unwrap_or_else(|| flights::repository().join("infra/local/endpoints"));
        for folder in [&models, &endpoints] {
            std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let mut workspace = Workspace::new(models, endpoints);
        let told = workspace.look(&*system.endpoints, |model| bring_up(&system, model)).await?;
        if workspace.cards().up().is_empty() {
            return Err(nothing_in(workspace.cards().path(), "model card", &told));
        }
        if system.endpoints.list().await?.is_empty() {
            return Err(nothing_in(workspace.endpoints().path(), "endpoint configuration", &told));
        }
        for OfModel { model, .. } in &self.parallelization_factor {
            known(&system, model)?;
        }
        for OfModel { model, number } in &self.slow {
            known(&system, model)?.slow(Duration::from_millis(*number));
        }
        for OfModel { model, number } in &self.hang {
            known(&system, model)?.hang_one_in(*number);
        }
        Ok(Started { system, workspace, told, threads: None, functions: None })
    }

    /// Adds a model to the system.
    pub(crate) fn bring_up(&self, system: &Local, functions: Option<&Functions>, loaded: Loaded) {
        match loaded {
            Loaded::Onnx(model) => {
                let mapping = self.mapping(&model.profile().id);
                local::add_onnx(system, *model, &mapping);
            }
            Loaded::Remote(model) => {
                let mapping = self.mapping(&model.profile().id);
                local::add_remote(system, *model, &mapping);
            }
            Loaded::Function(card, folder) => match functions {
                Some(functions) => {
                    functions.bring_up(system, &card, &folder, &self.mapping(&card.model));
                }
                None => warn(format_args!(
                    "warning: {} is a function, which is left out here",
                    card.model
                )),
            },
        }
    }

    /// The mapping of a model's function.
    pub(crate) fn mapping(&self, id: &ModelId) -> Mapping {
        let set = self.parallelization_factor.iter().rev().find(|set| set.model == *id);
        let factor = set.and_then(|set| usize::try_from(set.number).ok()).unwrap_or(1);
        Mapping { parallelization_factor: factor, ..Mapping::default() }
    }
}

/// A system that runs, the folders that configure it, and what there is to tell of them.
pub(crate) struct Started {
    pub(crate) system: Arc<Local>,
    pub(crate) workspace: Workspace,
    pub(crate) told: Vec<Told>,
    /// The threads of the models and of the decoy, which end when they are dropped.
    #[expect(dead_code, reason = "they are there to be dropped")]
    pub(crate) threads: Option<(Compute, Archiving)>,
    /// What models in processes of their own need.
    pub(crate) functions: Option<Functions>,
}

impl Started {
    /// Prints the warnings.
    pub(crate) fn warn(&self) {
        self.told.iter().filter(|told| told.is_warning()).for_each(warn);
    }
}

fn nothing_in(folder: &Path, what: &str, told: &[Told]) -> Error {
    let nothing = format!("{}: no {what} (*.json) that can be used", folder.display());
    let lines = std::iter::once(nothing).chain(told.iter().map(|told| format!("  {told}")));
    lines.collect::<Vec<_>>().join("\n").into()
}

/// `MODEL=FACTOR`, where the factor is 1 to 10.
fn factor(text: &str) -> Result<OfModel, String> {
    let set: OfModel = text.parse()?;
    match set.number {
        1..=10 => Ok(set),
        other => Err(format!("a parallelization factor is 1 to 10, not {other}")),
    }
}

/// The faults of a model that must be up.
pub(crate) fn known(system: &Local, model: &ModelId) -> Result<Arc<Faults>, Error> {
    system.faults(model).ok_or_else(|| {
        let models: Vec<String> = system.models().iter().map(ToString::to_string).collect();
        format!("there is no model {model}; there are {}", models.join(", ")).into()
    })
}
