//! The commands that read the archive or the windows: connects them to a stack or to a data folder.

use std::time::Duration;

use rendezvous_core::{
    EndpointName, ModelId,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use rendezvous_evidence::Requirement;
use rendezvous_folder::{FolderArchive, FolderEndpoints, FolderWindows};
use rendezvousctl::{
    baseline::{self, BaselineOptions, Made},
    compare::{self, CompareOptions},
    failure::Failure,
    gaps::{self, GapsOptions},
    models::{self, ModelsOptions},
    output::Output,
    past::Range,
    progress::Bar,
    status::{self, StatusOptions},
    up,
    whatif::{self, WhatIfOptions},
};

use crate::{
    stack::Stack,
    target::{System, Target},
};

/// How long before the deadline ingress settles: on this machine, and by default on AWS.
pub(crate) const LOCAL_MARGIN: Duration = Duration::from_millis(5);
const AWS_MARGIN_MS: u64 = 30;

pub(crate) async fn whatif(target: &Target, options: &WhatIfOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (files, table) = (FolderArchive::new(&folder), FolderEndpoints::new(&folder));
            whatif::whatif(&files, &table, options, LOCAL_MARGIN).await
        }
        System::Stack(stack) => {
            let margin = margin(&stack);
            let files = stack.archive().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            whatif::whatif(&files, &table, options, margin).await
        }
    }
}

/// How long before the deadline ingress of a stack settles.
pub(crate) fn margin(stack: &Stack) -> Duration {
    let margin = stack.parameter("AnswerMarginMs").and_then(|text| text.parse().ok());
    Duration::from_millis(margin.unwrap_or(AWS_MARGIN_MS))
}

pub(crate) async fn gaps(target: &Target, options: &GapsOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            gaps::gaps(&FolderArchive::new(&folder), &FolderEndpoints::new(&folder), options).await
        }
        System::Stack(stack) => {
            let files = stack.archive().map_err(Failure::Failed)?;
            gaps::gaps(&files, &stack.endpoints().map_err(Failure::Failed)?, options).await
        }
    }
}

pub(crate) async fn models(target: &Target, options: &ModelsOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (files, table) = (FolderArchive::new(&folder), FolderEndpoints::new(&folder));
            models::models(&files, &table, &up::read(&folder), options).await
        }
        System::Stack(stack) => {
            let files = stack.archive().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            models::models(&files, &table, &stack.models_up().await, options).await
        }
    }
}

pub(crate) async fn status(target: &Target, options: &StatusOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (windows, table) = (FolderWindows::new(&folder), FolderEndpoints::new(&folder));
            status::status(&windows, &table, options).await
        }
        System::Stack(stack) => {
            let windows = stack.windows().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            status::status(&windows, &table, options).await
        }
    }
}

/// Finds or computes a baseline, and keeps it unless that is only tried.
pub(crate) async fn baseline(
    target: &Target,
    options: &BaselineOptions,
    keep: bool,
) -> Result<Made, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (files, table) = (FolderArchive::new(&folder), FolderEndpoints::new(&folder));
            kept(&files, &FolderWindows::new(&folder), &table, options, keep).await
        }
        System::Stack(stack) => {
            let files = stack.archive().map_err(Failure::Failed)?;
            let windows = stack.windows().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            kept(&files, &windows, &table, options, keep).await
        }
    }
}

async fn kept(
    files: &impl ArchiveFiles,
    windows: &impl WindowTable,
    table: &impl EndpointTable,
    options: &BaselineOptions,
    keep: bool,
) -> Result<Made, Failure> {
    let made = baseline::make(files, windows, table, options, Bar::shows()).await?;
    if keep {
        made.keep(windows).await?;
    }
    Ok(made)
}

pub(crate) async fn show_baseline(
    target: &Target,
    endpoint: &EndpointName,
    name: Option<&str>,
) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (windows, table) = (FolderWindows::new(&folder), FolderEndpoints::new(&folder));
            baseline::show(&windows, &table, endpoint, name).await
        }
        System::Stack(stack) => {
            let windows = stack.windows().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            baseline::show(&windows, &table, endpoint, name).await
        }
    }
}

/// Fails unless the evidence meets the requirement.
pub(crate) async fn require(
    target: &Target,
    range: &Range,
    model: &ModelId,
    requirement: &Requirement,
) -> Result<(), Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (files, table) = (FolderArchive::new(&folder), FolderEndpoints::new(&folder));
            compare::require(&files, &table, range, model, requirement).await
        }
        System::Stack(stack) => {
            let files = stack.archive().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            compare::require(&files, &table, range, model, requirement).await
        }
    }
}

pub(crate) async fn compare(target: &Target, options: &CompareOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => {
            let (files, table) = (FolderArchive::new(&folder), FolderEndpoints::new(&folder));
            compare::compare(&files, &table, options).await
        }
        System::Stack(stack) => {
            let files = stack.archive().map_err(Failure::Failed)?;
            let table = stack.endpoints().map_err(Failure::Failed)?;
            compare::compare(&files, &table, options).await
        }
    }
}
