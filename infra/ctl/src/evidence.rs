//! The commands that read the archive: connects them to a stack or to a data folder.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use rendezvous_aws::DynamoEndpoints;
use rendezvous_folder::{DataFolder, FolderArchive, FolderEndpoints};
use rendezvousctl::{
    gaps::{self, GapsOptions},
    past::Problem,
    whatif::{self, WhatIfOptions},
};
use serde::Serialize;

use crate::{
    say::{fail, say},
    stack::Stack,
};

/// Which system.
#[derive(Args)]
pub(crate) struct Data {
    /// The data folder of a local system, instead of a stack.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct WhatIfCommand {
    #[command(flatten)]
    system: Data,
    #[command(flatten)]
    options: WhatIfOptions,
}

#[derive(Args)]
pub(crate) struct GapsCommand {
    #[command(flatten)]
    system: Data,
    #[command(flatten)]
    options: GapsOptions,
}

/// How long before the deadline ingress settles, on this machine.
const LOCAL_MARGIN_MS: u64 = 5;

pub(crate) async fn whatif(stack: &str, command: WhatIfCommand) -> ExitCode {
    let WhatIfCommand { system, options } = command;
    let report = match &system.data {
        Some(_) => match system.open() {
            Ok((files, table)) => {
                let margin = Duration::from_millis(LOCAL_MARGIN_MS);
                whatif::whatif(&files, &table, &options, margin).await
            }
            Err(problem) => Err(problem),
        },
        None => on_stack_whatif(stack, &options).await,
    };
    print(report, options.range.json, whatif::table)
}

async fn on_stack_whatif(
    stack: &str,
    options: &WhatIfOptions,
) -> Result<rendezvous_evidence::whatif::Report, Problem> {
    let stack = Stack::find(stack).await.map_err(Problem::Failed)?;
    let margin = stack.parameter("AnswerMarginMs").and_then(|text| text.parse().ok());
    let margin = Duration::from_millis(margin.unwrap_or(30));
    let archive = stack.archive().map_err(Problem::Failed)?;
    whatif::whatif(&archive, &endpoints(&stack)?, options, margin).await
}

pub(crate) async fn gaps(stack: &str, command: GapsCommand) -> ExitCode {
    let GapsCommand { system, options } = command;
    let gaps = match &system.data {
        Some(_) => match system.open() {
            Ok((files, table)) => gaps::gaps(&files, &table, &options).await,
            Err(problem) => Err(problem),
        },
        None => on_stack_gaps(stack, &options).await,
    };
    print(gaps, options.range.json, gaps::table)
}

async fn on_stack_gaps(
    stack: &str,
    options: &GapsOptions,
) -> Result<rendezvous_evidence::gaps::Gaps, Problem> {
    let stack = Stack::find(stack).await.map_err(Problem::Failed)?;
    let archive = stack.archive().map_err(Problem::Failed)?;
    gaps::gaps(&archive, &endpoints(&stack)?, options).await
}

fn endpoints(stack: &Stack) -> Result<DynamoEndpoints, Problem> {
    let table = stack.output("EndpointsTable").map_err(Problem::Failed)?;
    Ok(DynamoEndpoints::new(aws_sdk_dynamodb::Client::new(stack.config()), table))
}

impl Data {
    /// The archive and the endpoints of the folder.
    fn open(&self) -> Result<(FolderArchive, FolderEndpoints), Problem> {
        let folder = self.data.clone().unwrap_or_default();
        // To open a folder creates it.
        if !folder.join("archive").is_dir() {
            let error = "is not the data folder of a local system, which has a folder archive";
            return Err(Problem::Usage(format!("{} {error}", folder.display())));
        }
        let data = DataFolder::open(&folder).map_err(|error| Problem::Usage(error.to_string()))?;
        Ok((FolderArchive::new(&data), FolderEndpoints::new(&data)))
    }
}

fn print<T: Serialize>(
    done: Result<T, Problem>,
    json: bool,
    table: impl FnOnce(&T) -> String,
) -> ExitCode {
    match done {
        Ok(done) if json => match serde_json::to_string_pretty(&done) {
            Ok(text) => say(text),
            Err(error) => {
                fail(error);
                return ExitCode::FAILURE;
            }
        },
        Ok(done) => say(table(&done).trim_end()),
        Err(problem) => {
            fail(&problem);
            return ExitCode::from(problem.code());
        }
    }
    ExitCode::SUCCESS
}
