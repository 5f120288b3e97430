//! The command `redrive`: connects it to a stack or to a data folder.

use std::{fs, sync::Arc};

use aws_sdk_lambda::{error::DisplayErrorContext, primitives::Blob};
use rendezvous_aws::{
    S3Archive,
    batch::{Event, Response},
};
use rendezvous_core::ports::{Archive, ArchiveFiles, NoTelemetry};
use rendezvous_decoy::{Decoy, Stream, Table};
use rendezvous_folder::{DataFolder, FolderArchive, FolderEndpoints, FolderPayloads};
use rendezvousctl::{
    failure::Failure,
    output::Output,
    redrive::{self, Failures, Handled, RedriveOptions},
};
use tokio::time::Duration;

use crate::{
    stack::Stack,
    target::{System, Target},
};

pub(crate) async fn redrive(
    target: &Target,
    options: &RedriveOptions,
) -> Result<(Output, bool), Failure> {
    match target.open().await? {
        System::Folder(folder) => redrive::redrive(&Folder::new(folder), options).await,
        System::Stack(stack) => {
            let bucket = Bucket::of(&stack).map_err(Failure::Failed)?;
            redrive::redrive(&bucket, options).await
        }
    }
}

/// What the names begin with of batches that were brought back.
const REDRIVEN: &str = "redriven/";

/// The failure bucket of a stack.
struct Bucket {
    files: S3Archive,
    s3: aws_sdk_s3::Client,
    name: String,
    lambda: aws_sdk_lambda::Client,
    prefix: String,
}

impl Bucket {
    fn of(stack: &Stack) -> Result<Self, String> {
        let (s3, name) = (stack.s3(), stack.output("FailureBucket")?.to_owned());
        let files = S3Archive::new(s3.clone(), name.clone());
        let lambda = aws_sdk_lambda::Client::new(stack.config());
        Ok(Self { files, s3, name, lambda, prefix: format!("{}-", stack.name()) })
    }
}

impl Failures for Bucket {
    async fn list(&self) -> Result<Vec<String>, Failure> {
        let mut listed = self.files.list("aws/lambda/").await?;
        listed.sort_by_key(|file| file.written);
        Ok(listed.into_iter().map(|file| file.name).collect())
    }

    async fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(body) = self.files.get(name).await? else { return Ok(None) };
        if self.files.get(&format!("{REDRIVEN}{name}")).await?.is_some() {
            // An earlier run ended before it deleted the object.
            self.set_aside(name).await?;
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&body).into_owned()))
    }

    async fn invoke(&self, function: &str, event: &str) -> Result<Handled, Failure> {
        let invoke = self.lambda.invoke().function_name(function).payload(Blob::new(event));
        let answer = match invoke.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Handled::Failed(DisplayErrorContext(&error).to_string())),
        };
        let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
        if let Some(error) = answer.function_error() {
            let what = String::from_utf8_lossy(payload);
            return Ok(Handled::Failed(format!("{error}: {what}")));
        }
        Ok(match Response::parse(payload) {
            Ok(response) => handled(&response),
            Err(error) => Handled::Failed(format!("its response: {error}")),
        })
    }

    async fn set_aside(&self, name: &str) -> Result<(), Failure> {
        if let Some(body) = self.files.get(name).await? {
            self.files.put(&format!("{REDRIVEN}{name}"), body).await?;
        }
        let delete = self.s3.delete_object().bucket(&self.name).key(name).send().await;
        let failed = |error| Failure::Failed(format!("{name}: {}", DisplayErrorContext(&error)));
        delete.map(drop).map_err(failed)
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }
}

fn handled(response: &Response) -> Handled {
    match response.batch_item_failures.first() {
        None => Handled::All,
        Some(first) => Handled::Failed(format!(
            "the record {} and those after it are not handled",
            first.item_identifier
        )),
    }
}

/// The folder `failed` in the archive of a data folder.
struct Folder {
    data: DataFolder,
    files: FolderArchive,
    decoy: Decoy<FolderArchive, FolderEndpoints, FolderPayloads, NoTelemetry>,
}

/// How long the local system keeps payloads. Nothing here stores one.
const RETENTION: Duration = Duration::from_hours(72);

impl Folder {
    fn new(data: DataFolder) -> Self {
        let files = FolderArchive::new(&data);
        let table = Arc::new(FolderEndpoints::new(&data));
        let payloads = Arc::new(FolderPayloads::new(&data, RETENTION));
        let decoy = Decoy::new(Arc::new(files.clone()), table, payloads, Arc::new(NoTelemetry));
        Self { data, files, decoy }
    }
}

impl Failures for Folder {
    async fn list(&self) -> Result<Vec<String>, Failure> {
        let mut listed = self.files.list("failed/").await?;
        listed.sort_by_key(|file| file.written);
        Ok(listed.into_iter().map(|file| file.name).collect())
    }

    async fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        let path = self.data.archive().join(name);
        let text = fs::read_to_string(path);
        text.map(Some).map_err(|error| Failure::Failed(format!("{name}: {error}")))
    }

    async fn invoke(&self, function: &str, event: &str) -> Result<Handled, Failure> {
        if function != "decoy" {
            return Ok(Handled::Left(
                "only the decoy can be handed a batch of a data folder: mailboxes and streams end with the \
                 server; for the scores of a model use replay"
                    .to_owned(),
            ));
        }
        let event: Event =
            serde_json::from_str(event).map_err(|error| Failure::Failed(error.to_string()))?;
        let records = event.records()?;
        // "arn:aws:kinesis:local:000000000000:stream/NAME" or "…:table/NAME/stream/local".
        let source = records.source().split('/').nth(1).unwrap_or_default().to_owned();
        let response = match source.as_str() {
            "input" => self.decoy.handle_stream(Stream::Input, records.read()).await,
            "scores" => self.decoy.handle_stream(Stream::Scores, records.read()).await,
            "ledger" => self.decoy.handle_changes(Table::Ledger, records.read()).await,
            "outcomes" => self.decoy.handle_changes(Table::Outcomes, records.read()).await,
            other => return Ok(Handled::Left(format!("{other:?} is not a source of the decoy"))),
        };
        Ok(handled(&response))
    }

    async fn set_aside(&self, name: &str) -> Result<(), Failure> {
        let (from, to) = (self.data.archive().join(name), format!("{REDRIVEN}{name}"));
        let to = self.data.archive().join(to);
        let folder = to.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| fs::rename(from, to))
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))
    }

    fn prefix(&self) -> &'static str {
        ""
    }
}
