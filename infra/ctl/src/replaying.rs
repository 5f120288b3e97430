//! The command `replay`: connects it to a stack or to a data folder.

use std::{path::Path, sync::Arc};

use rendezvous_aws::{KinesisStream, S3Payloads};
use rendezvous_core::{
    Json, Payload, RequestMessage, Sha256Digest, now, payloads,
    ports::{Record, Stream},
};
use rendezvous_folder::{DataFolder, FolderArchive, FolderEndpoints};
use rendezvous_model::Model;
use rendezvous_onnx::{Compute, OnnxModel};
use rendezvous_remote::{RemoteCard, RemoteModel};
use rendezvousctl::{
    failure::Failure,
    output::Output,
    replay::{
        self, ReplayOptions, Request, Sink,
        card::{self, Engine},
        local::{Local, in_a_file},
    },
};
use rustix::process::setpriority_process;
use tokio::{runtime::Handle, time::Duration};

use crate::{
    stack::Stack,
    target::{System, Target},
};

/// How many requests a second are sent to a stack: half of what one shard takes.
const ON_A_STACK: u32 = 500;

/// The nice value of a replay on a data folder.
const LOWEST_PRIORITY: i32 = 19;

/// The largest payload in a message, where the stack does not say it.
const INLINE_BYTES: usize = 262_144;

pub(crate) async fn replay(target: &Target, options: &ReplayOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => on_folder(&folder, options).await,
        System::Stack(stack) => on_stack(&stack, options).await,
    }
}

async fn on_folder(folder: &DataFolder, options: &ReplayOptions) -> Result<Output, Failure> {
    let flights = Path::new("functions/models/flights");
    let models = options.models.as_deref().or_else(|| flights.is_dir().then_some(flights));
    let models = models.ok_or_else(|| {
        Failure::Usage("name the folder with the model's card with --models".to_owned())
    })?;
    let found = card::find(models, &options.model, &options.range.endpoint)?;
    let wrong = |what: String| Failure::Failed(format!("{}: {what}", found.file.display()));
    // Clients wait for a server on the same machine, and nobody for this. Threads that begin later are like this one.
    if let Err(error) = setpriority_process(None, LOWEST_PRIORITY) {
        tracing::warn!(%error, "the replay has the priority of a server");
    }
    match found.engine {
        Engine::Onnx => {
            let model = OnnxModel::load(&found.file).await;
            let model = model.map_err(|error| Failure::Failed(error.to_string()))?;
            // They end when they are dropped.
            let compute = Compute::start().map_err(|error| wrong(error.to_string()))?;
            through(folder, options, model, compute.handles().cloned().collect()).await
        }
        Engine::Remote => {
            let card = RemoteCard::parse(&found.text);
            let model = card.and_then(RemoteModel::new);
            let model = model.map_err(|invalid| wrong(invalid.to_string()))?;
            through(folder, options, model, Vec::new()).await
        }
        Engine::Function => Err(Failure::Usage(format!(
            "{}: a model that is a function of yours is replayed on a stack only",
            found.file.display()
        ))),
    }
}

async fn through(
    folder: &DataFolder,
    options: &ReplayOptions,
    model: impl Model,
    threads: Vec<Handle>,
) -> Result<Output, Failure> {
    let files = Arc::new(FolderArchive::new(folder));
    let table = Arc::new(FolderEndpoints::new(folder));
    let in_a_file = in_a_file(options.rate);
    let mut sink = Local::new(model, threads, files.clone(), table.clone(), in_a_file);
    let position = options.position_in(&folder.replays());
    replay::replay(&*files, &*table, options, &position, &mut sink).await
}

async fn on_stack(stack: &Stack, options: &ReplayOptions) -> Result<Output, Failure> {
    if options.models.is_some() {
        return Err(Failure::Usage("--models is for a data folder".to_owned()));
    }
    let rate = options.rate.unwrap_or(ON_A_STACK);
    let options = &ReplayOptions { rate: Some(rate), ..options.clone() };
    let stream = stack.replay_input().map_err(Failure::Failed)?;
    let up = stack.models_on("ReplayInputStreamArn").await.map_err(Failure::Failed)?;
    if !up.get(&options.model).is_some_and(rendezvousctl::up::Model::is_up) {
        return Err(Failure::Refused(format!(
            "no function of {} reads the stream of replays: deploy functions/models/template.yaml for it, with the \
             outputs ReplayInputStream and ReplayScoresStream as its streams, and StartingPosition=TRIM_HORIZON",
            options.model
        )));
    }
    let inline = stack.parameter("InlinePayloadBytes").and_then(|text| text.parse().ok());
    let payloads = stack.payloads().map_err(Failure::Failed)?;
    let mut sink = Sent { stream, payloads, inline: inline.unwrap_or(INLINE_BYTES) };
    let files = stack.archive().map_err(Failure::Failed)?;
    let table = stack.endpoints().map_err(Failure::Failed)?;
    let position = options.position_in(Path::new(""));
    replay::replay(&files, &table, options, &position, &mut sink).await
}

/// The stream of replays' requests. The model's function sends its scores to another stream, from which the
/// decoy archives them.
struct Sent {
    stream: KinesisStream,
    payloads: S3Payloads,
    /// The largest payload in a message.
    inline: usize,
}

/// How many requests are put at a time: as many as Kinesis takes in one call.
const AT_A_TIME: usize = 500;

/// How long a put may take.
const PUT_WITHIN: Duration = Duration::from_mins(1);

impl Sent {
    async fn record(&self, request: &Request) -> Result<Record, Failure> {
        let Request { envelope, payload } = request;
        let json = Json::parse(payload)?;
        let data = if payload.len() <= self.inline {
            RequestMessage::write(envelope, &json)?
        } else {
            let sha256 = Sha256Digest::of(payload);
            let stored = payloads::store(&self.payloads, envelope, &json, sha256).await?;
            RequestMessage::write_payload(envelope, &Payload::Stored(stored))?
        };
        Ok(Record { key: envelope.key.clone(), data })
    }
}

impl Sink for Sent {
    fn at_a_time(&self) -> usize {
        AT_A_TIME
    }

    fn until_commit(&self) -> usize {
        1
    }

    async fn send(&mut self, requests: Vec<Request>) -> Result<(), Failure> {
        let mut records = Vec::with_capacity(requests.len());
        for request in &requests {
            records.push(self.record(request).await?);
        }
        let put = self.stream.put(records, now() + PUT_WITHIN).await;
        put.map_err(|rejected| Failure::Failed(format!("{rejected}: run again")))
    }

    fn file(&mut self) -> Option<String> {
        None
    }

    /// What the stream has taken needs no more.
    async fn commit(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn failed(&self) -> Option<u64> {
        None
    }
}
