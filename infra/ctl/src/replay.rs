//! The command `replay`: a model scores archived requests.

pub mod card;
mod claim;
pub mod local;
mod position;

use std::path::{Path, PathBuf};

use clap::Args;
use rendezvous_archive::walk::{Archived, Place, walk};
use rendezvous_core::{
    EndpointName, Envelope, ModelId, RequestId,
    limits::MAX_ASYNC_DEADLINE,
    now,
    ports::{Archive, ArchiveFiles, EndpointTable, Erase},
};
use serde::Serialize;
use tokio::time::{Duration, Instant, sleep_until};

use crate::{
    failure::Failure,
    output::Output,
    past::{self, Range},
    replay::{
        claim::Claim,
        position::{Of, PositionFile},
    },
};

#[derive(Args, Clone, Debug)]
pub struct ReplayOptions {
    #[command(flatten)]
    pub range: Range,
    /// The model that scores the requests.
    #[arg(long)]
    pub model: ModelId,
    /// At most so many requests a second: by default 500 on a stack, and as many as the model scores on a
    /// data folder.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// On a data folder, the folder with the model's card. functions/models/flights where it exists.
    #[arg(long, value_name = "FOLDER")]
    pub models: Option<PathBuf>,
    /// The file that says how far the replay has come: by default in the data folder, or for a stack in the
    /// current folder.
    #[arg(long, value_name = "FILE")]
    pub position: Option<PathBuf>,
    /// Begin again, although an earlier run has come further, here or on another machine.
    #[arg(long)]
    pub restart: bool,
}

impl ReplayOptions {
    /// The position's file, by default in `folder`.
    pub fn position_in(&self, folder: &Path) -> PathBuf {
        let Self { range, model, position, .. } = self;
        let file = || folder.join(format!("replay-{}-{model}.json", range.endpoint));
        position.clone().unwrap_or_else(file)
    }
}

/// A request that is sent again.
#[derive(Clone, Debug)]
pub struct Request {
    pub envelope: Envelope,
    /// JSON, byte for byte.
    pub payload: String,
}

impl Request {
    /// The archived request under a new id and with fresh times. The model scores it although it may be one of
    /// those that were to skip it. Nobody waits for it, so that its deadline is the latest that there is.
    fn of(endpoint: &EndpointName, archived: Archived) -> Self {
        let Archived { id, config, arm, key, payload, .. } = archived;
        let received = now();
        let envelope = Envelope {
            id: RequestId::random(),
            endpoint: endpoint.clone(),
            config,
            arm,
            key,
            received,
            deadline: received + MAX_ASYNC_DEADLINE,
            traceparent: None,
            skip: Vec::new(),
            replay: Some(id),
        };
        Self { envelope, payload }
    }
}

/// Where requests are sent again.
pub trait Sink {
    /// How many requests are sent at a time, at most.
    fn at_a_time(&self) -> usize;

    /// After how many requests a commit is due.
    fn until_commit(&self) -> usize;

    /// Sends requests. Those that are not committed are sent again by the next run.
    fn send(&mut self, requests: Vec<Request>) -> impl Future<Output = Result<(), Failure>>;

    /// The file that the next commit stores, if it stores one: its presence says that the commit was done.
    fn file(&mut self) -> Option<String>;

    /// Completes what was sent.
    fn commit(&mut self) -> impl Future<Output = Result<(), Failure>>;

    /// How many failures there were among the scores, where that is known.
    fn failed(&self) -> Option<u64>;
}

/// What a replay has done.
#[derive(Debug, Serialize)]
struct Replayed {
    endpoint: EndpointName,
    model: ModelId,
    /// By all runs together.
    requests: u64,
    /// By this run.
    sent: u64,
    seconds: f64,
    /// Failures among this run's scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<u64>,
}

/// Replays the requests in the range that no earlier run has replayed, by its position in `file`. Fails when another
/// replay of the endpoint through the model is not complete.
pub async fn replay(
    files: &(impl Archive + ArchiveFiles + Erase),
    endpoints: &impl EndpointTable,
    options: &ReplayOptions,
    file: &Path,
    sink: &mut impl Sink,
) -> Result<Output, Failure> {
    let ReplayOptions { range, model, rate, restart, .. } = options;
    let Range { endpoint, from, to } = range.clone();
    past::configurations(endpoints, &endpoint).await?;
    let wanted = range.wanted()?;
    let of = Of { endpoint: endpoint.clone(), model: model.clone(), from, to };
    let mut position = PositionFile::open(file, of.clone(), *restart)?;
    let claim = Claim::take(files, &of, position.id(), *restart).await?;
    if let Some(pending) = position.pending() {
        let is_stored = is_stored(files, pending).await?;
        position.resolve(is_stored)?;
    }
    let begun = Instant::now();
    let after = position.after().cloned();
    let sent_before = position.requests();
    let batch = Vec::new();
    let mut run =
        Run { sink, position, rate: *rate, begun, batch, sent: 0, uncommitted: 0, last: None };
    walk(files, &wanted, after.as_ref(), async |archived, place| {
        run.push(Request::of(&endpoint, archived), place).await
    })
    .await?;
    run.send().await?;
    run.commit().await?;
    claim.release(files).await?;
    let replayed = Replayed {
        requests: sent_before + run.sent,
        sent: run.sent,
        seconds: begun.elapsed().as_secs_f64(),
        failed: run.sink.failed(),
        endpoint,
        model: model.clone(),
    };
    Output::of(&replayed, text)
}

/// Whether the archive has this file.
async fn is_stored(files: &impl ArchiveFiles, file: &str) -> Result<bool, Failure> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let listed = files.list(&format!("{folder}/")).await?;
    Ok(listed.iter().any(|listed| listed.name == file))
}

/// A run of a replay.
struct Run<'s, S> {
    sink: &'s mut S,
    position: PositionFile,
    rate: Option<u32>,
    begun: Instant,
    /// Requests that are sent next.
    batch: Vec<Request>,
    /// Requests that were sent, and those of them that no commit has completed.
    sent: u64,
    uncommitted: usize,
    /// The row of the last request.
    last: Option<Place>,
}

impl<S: Sink> Run<'_, S> {
    async fn push(&mut self, request: Request, place: Place) -> Result<(), Failure> {
        self.batch.push(request);
        self.last = Some(place);
        // Four times a second, where the rate is limited.
        let at_a_time = self.rate.map_or(usize::MAX, |rate| (rate as usize).div_ceil(4));
        if self.batch.len() >= self.sink.at_a_time().min(at_a_time) {
            self.send().await?;
        }
        if self.uncommitted >= self.sink.until_commit() {
            self.commit().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.sent as f64 / f64::from(rate));
            sleep_until(self.begun + due).await;
        }
        self.sent += self.batch.len() as u64;
        self.uncommitted += self.batch.len();
        self.sink.send(std::mem::take(&mut self.batch)).await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let (Some(place), count) = (&self.last, std::mem::take(&mut self.uncommitted)) else {
            return Ok(());
        };
        if count == 0 {
            return Ok(());
        }
        self.position.begin(self.sink.file(), place.clone(), count)?;
        self.sink.commit().await?;
        self.position.resolve(true)
    }
}

/// The result for people.
fn text(replayed: &Replayed) -> String {
    let Replayed { endpoint, model, requests, sent, seconds, failed } = replayed;
    let rate = *sent as f64 / seconds.max(1e-9);
    let failed = failed.map_or(String::new(), |failed| format!(", {failed} of them failed"));
    format!(
        "{endpoint}: {sent} requests were replayed through {model} in {seconds:.1} s ({rate:.0} a second){failed}; {requests} in all"
    )
}
