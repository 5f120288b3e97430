//! The command `verify`: connects a run to a stack or to a local system.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use rendezvous_core::ports::ArchiveFiles;
use rendezvous_folder::FolderArchive;
use rendezvousctl::{
    failure::Failure,
    verify::{
        Limits, Unusable, Verified,
        payload::Payloads,
        report::{Report, Step},
        verify as verify_system,
    },
};

use crate::{
    http::{Access, HttpApi},
    say::say,
    stack::Stack,
    target::Target,
};

#[derive(Args)]
pub(crate) struct VerifyOptions {
    /// The address of the API: that of the stack, or with --data `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// JSON that the models of an endpoint accept; without an endpoint, for all that have none.
    #[arg(long, value_name = "[ENDPOINT=]FILE")]
    payload: Vec<String>,
    /// A folder of model cards, of which payloads are made for endpoints that have none.
    /// functions/models/flights where it exists.
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// The token for an API with Authorization=JWT.
    #[arg(long, env = "RENDEZVOUS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How long functions that have to start first may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    answer_within: u64,
    /// How long the archive may take: by default its window and a minute.
    #[arg(long, value_name = "SECONDS")]
    archive_within: Option<u64>,
}

/// Why nothing could be verified.
enum Problem {
    /// The command line is wrong.
    Usage(String),
    /// The system cannot even be found.
    Step(Box<Step>),
}

/// Verifies a system, prints what was found, and says it by the exit code.
pub(crate) async fn verify(
    target: &Target,
    options: VerifyOptions,
    json: bool,
) -> Result<ExitCode, Failure> {
    let payloads = payloads(&options).map_err(Failure::Usage)?;
    let verified = match target.data() {
        Some(_) => verify_folder(target, &options, &payloads).await,
        None => verify_stack(target, &options, &payloads).await,
    };
    let report = match verified {
        Ok(report) => report,
        Err(Problem::Step(step)) => Report { steps: vec![*step], ..Report::default() },
        Err(Problem::Usage(error)) => return Err(Failure::Usage(error)),
    };
    if json {
        say(report.json(&target.name()));
    } else {
        say(report.to_string().trim_end());
    }
    Ok(if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn payloads(options: &VerifyOptions) -> Result<Payloads, String> {
    let mut payloads = Payloads::default();
    for argument in &options.payload {
        payloads.add(argument)?;
    }
    let flights = Path::new("functions/models/flights");
    let cards = options.models.as_deref().or_else(|| flights.is_dir().then_some(flights));
    if let Some(folder) = cards {
        payloads.add_cards(folder)?;
    }
    Ok(payloads)
}

async fn verify_folder(
    target: &Target,
    options: &VerifyOptions,
    payloads: &Payloads,
) -> Result<Report, Problem> {
    let data = target.folder().map_err(|failure| Problem::Usage(failure.to_string()))?;
    let address = options.address.as_deref().unwrap_or("http://127.0.0.1:8080");
    let access = options.token.clone().map_or(Access::Open, Access::Token);
    let api = HttpApi::new(address, access);
    let limits = options.limits(0);
    Ok(run(&api, &FolderArchive::new(&data), payloads, limits).await?.report)
}

async fn verify_stack(
    target: &Target,
    options: &VerifyOptions,
    payloads: &Payloads,
) -> Result<Report, Problem> {
    let missing = |error: String| {
        let step = Step::failed("stack", &target.name(), error).advise(
            "check --stack, the region and the credentials, and that the stack is deployed",
        );
        Problem::Step(step.into())
    };
    let stack = target.stack().await.map_err(missing)?;
    let address = match &options.address {
        Some(address) => address.clone(),
        None => stack.output("ApiUrl").map_err(missing)?.to_owned(),
    };
    let api = HttpApi::new(&address, access(&stack, options)?);
    let archive = stack.archive().map_err(missing)?;
    let window = stack.parameter("ArchiveWindowSeconds").and_then(|text| text.parse().ok());
    let limits = options.limits(window.unwrap_or(60));
    let Verified { mut report, reported } = run(&api, &archive, payloads, limits).await?;
    stack.check_mappings(&mut report).await;
    if !reported.is_empty() {
        let step = match stack.delete(&reported).await {
            Ok(()) => Step::ok("clean up", "", format!("{} outcomes deleted", reported.len())),
            Err(error) => Step::failed("clean up", "", error).advise(
                "delete the outcomes of the requests of this run from the table OutcomesTable, or leave \
                 them: they hold no truth",
            ),
        };
        report.add(step);
    }
    Ok(report)
}

/// What the stack's API asks of its callers.
fn access(stack: &Stack, options: &VerifyOptions) -> Result<Access, Problem> {
    match (stack.parameter("Authorization"), &options.token) {
        (_, Some(token)) => Ok(Access::Token(token.clone())),
        (Some("JWT"), None) => {
            let error = "the stack has Authorization=JWT: pass --token, or set RENDEZVOUS_TOKEN";
            Err(Problem::Usage(error.to_owned()))
        }
        (Some("AWS_IAM"), None) => {
            let config = stack.config();
            let (Some(credentials), Some(region)) =
                (config.credentials_provider(), config.region())
            else {
                let error = "there are no AWS credentials to sign calls with";
                return Err(Problem::Usage(error.to_owned()));
            };
            Ok(Access::Signed { credentials, region: region.to_string() })
        }
        _ => Ok(Access::Open),
    }
}

async fn run<F: ArchiveFiles>(
    api: &HttpApi,
    files: &F,
    payloads: &Payloads,
    limits: Limits,
) -> Result<Verified, Problem> {
    verify_system(api, files, payloads, limits).await.map_err(|Unusable::NoPayload(endpoints)| {
        let missing: Vec<String> =
            endpoints.iter().map(|name| format!("--payload {name}=FILE")).collect();
        Problem::Usage(format!(
            "no payload is known that the models accept: pass {}, or --models FOLDER with their cards",
            missing.join(" ")
        ))
    })
}

impl VerifyOptions {
    /// The limits, for an archive with a window of so many seconds.
    fn limits(&self, window: u64) -> Limits {
        Limits {
            first_answer: Duration::from_secs(self.answer_within),
            archive: Duration::from_secs(self.archive_within.unwrap_or(window + 60)),
        }
    }
}
