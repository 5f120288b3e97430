//! The commands that read and change configurations: connects them to a system and to a person.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rendezvous_aws::DynamoEndpoints;
use rendezvous_core::{Configuration, EndpointName, Provenance, ports::EndpointTable};
use rendezvous_folder::FolderEndpoints;
use rendezvousctl::{
    change::{Change, Planned, plan},
    endpoints,
    failure::Failure,
    output::Output,
    up::{self, Up},
};
use serde_json::Value;

use crate::{
    say::{agreed, say, warn},
    target::{System, Target},
};

/// A command that reads configurations.
pub(crate) enum Read {
    List,
    Show(EndpointName, Option<u64>),
    History(EndpointName),
    Diff(EndpointName, u64, Option<u64>),
}

/// How a command that writes goes about it.
pub(crate) struct Writing {
    pub(crate) author: String,
    pub(crate) message: String,
    /// Do not ask.
    pub(crate) yes: bool,
    /// Show only.
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
}

/// Reads configurations.
pub(crate) async fn read(target: &Target, command: Read) -> Result<Output, Failure> {
    match target.open().await? {
        System::Stack(stack) => {
            let table = stack.endpoints().map_err(Failure::Failed)?;
            read_from(&table, command).await
        }
        System::Folder(folder) => read_from(&FolderEndpoints::new(&folder), command).await,
    }
}

async fn read_from(table: &impl EndpointTable, command: Read) -> Result<Output, Failure> {
    match command {
        Read::List => endpoints::list(table).await,
        Read::Show(name, version) => endpoints::show(table, &name, version).await,
        Read::History(name) => endpoints::history(table, &name).await,
        Read::Diff(name, from, to) => endpoints::diff(table, &name, from, to).await,
    }
}

/// Makes the configurations in the files current.
pub(crate) async fn apply(
    target: &Target,
    files: &[PathBuf],
    writing: &Writing,
) -> Result<(), Failure> {
    let parsed = |file: &PathBuf| {
        parse(file).map_err(|what| Failure::Refused(format!("{}: {what}", file.display())))
    };
    let parsed = files.iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
    for (i, (endpoint, _)) in parsed.iter().enumerate() {
        if parsed[..i].iter().any(|(earlier, _)| earlier == endpoint) {
            return Err(Failure::Usage(format!("{endpoint}: two files are named after it")));
        }
    }
    let changes =
        parsed.into_iter().map(|(name, configuration)| (name, Change::Apply(configuration)));
    change(target, changes.collect(), writing).await
}

fn parse(file: &Path) -> Result<(EndpointName, Configuration), String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.parse().map_err(|invalid| format!("the file's name: {invalid}"))?;
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let configuration = Configuration::parse(&text).map_err(|invalid| invalid.to_string())?;
    Ok((name, configuration))
}

/// Plans changes, shows them, asks, and publishes them.
pub(crate) async fn change(
    target: &Target,
    changes: Vec<(EndpointName, Change)>,
    writing: &Writing,
) -> Result<(), Failure> {
    match target.open().await? {
        System::Stack(stack) => {
            let table: DynamoEndpoints = stack.endpoints().map_err(Failure::Failed)?;
            let up = stack.models_up().await;
            change_in(&table, &up, changes, writing).await
        }
        System::Folder(folder) => {
            let up = up::read(&folder);
            change_in(&FolderEndpoints::new(&folder), &up, changes, writing).await
        }
    }
}

async fn change_in(
    table: &impl EndpointTable,
    up: &Result<Up, String>,
    changes: Vec<(EndpointName, Change)>,
    writing: &Writing,
) -> Result<(), Failure> {
    let provenance = Provenance::new(&*writing.author, &*writing.message)
        .map_err(|invalid| Failure::Usage(invalid.to_string()))?;
    let mut planned = Vec::new();
    for (endpoint, change) in changes {
        let promoted = match &change {
            Change::Promote(model)
            | Change::PromoteInArm { model, .. }
            | Change::Finish { model, .. } => Some(model.clone()),
            _ => None,
        };
        let plan = plan(table, &endpoint, change).await?;
        if let (Some(model), Ok(up)) = (promoted, up) {
            up::require(up, &endpoint, &model)?;
        }
        planned.push(plan);
    }
    for plan in &planned {
        if !writing.json {
            say(plan.text().trim_end());
        }
        for warning in up::warnings(up, &plan.endpoint, &plan.configuration) {
            warn(warning);
        }
    }
    let changes: Vec<&Planned> =
        planned.iter().filter(|plan| !plan.difference.is_empty() || plan.from.is_none()).collect();
    let publishes = !changes.is_empty() && !writing.dry_run;
    if publishes && !writing.yes {
        agreed("Publish?", "publish", "nothing was published")?;
    }
    let (mut results, mut failed): (Vec<Value>, _) = (Vec::new(), Ok(()));
    for plan in &planned {
        let changes = changes.iter().any(|change| change.endpoint == plan.endpoint);
        let version = if publishes && changes {
            match plan.publish(table, provenance.clone()).await {
                Ok(version) => Some(version),
                Err(failure) => {
                    // What was published before is told all the same.
                    failed = Err(failure);
                    break;
                }
            }
        } else {
            None
        };
        if let (Some(version), false) = (version, writing.json) {
            say(format_args!("{}: version {version} is current", plan.endpoint));
        }
        results.push(plan.json(version));
    }
    if writing.json {
        say(serde_json::to_string_pretty(&results).unwrap_or_default());
    } else if writing.dry_run {
        say("nothing was published (--dry-run)");
    }
    failed
}
