//! Models that are functions in processes of their own, in any language, as on AWS Lambda: each process
//! asks the [Runtime API](runtime_api) for events, and puts its scores on the stream by the
//! [API of Kinesis](kinesis).

mod card;
pub mod kinesis;
mod logs;
mod pool;
mod process;
pub mod runtime_api;
mod server;

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rendezvous_core::{
    ModelId,
    ports::{Payloads, Telemetry},
};
use rendezvous_folder::DataFolder;
use rendezvous_local_system::Local;
use rendezvous_model::ModelReport;
use rendezvous_sim::{Counters, mapping::Mapping};
use tokio::{sync::mpsc, task::AbortHandle};

pub(crate) use self::card::FunctionCard;
use self::{
    card::Stack,
    kinesis::{KinesisApi, Put},
    pool::ProcessFunction,
};
use crate::say::{timed, warn};

/// For the start of a process, and for the pause after one has failed, beside a function's own time-out.
const STARTS_WITHIN: Duration = Duration::from_secs(25);

/// The default of `RetryAttempts` in the template of the models.
const RETRY_ATTEMPTS: u32 = 5;

/// What functions in processes of their own need of a system.
pub(crate) struct Functions {
    kinesis: KinesisApi,
    counts: AbortHandle,
    /// Where the functions' logs are.
    logs: PathBuf,
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.counts.abort();
    }
}

impl Functions {
    pub(crate) async fn start(system: &Local, data: &DataFolder) -> io::Result<Self> {
        let (tells, told) = mpsc::unbounded_channel();
        let kinesis = KinesisApi::start(system.scores.clone(), tells).await?;
        let counts = tokio::spawn(count(told, system.counters.clone())).abort_handle();
        Ok(Self { kinesis, counts, logs: data.root().join("logs") })
    }

    /// Brings a function up. `folder` is that of its card.
    pub(crate) fn bring_up(
        &self,
        system: &Local,
        card: &FunctionCard,
        folder: &Path,
        mapping: &Mapping,
    ) {
        let kinesis = format!("http://{}", self.kinesis.address);
        let (scores, payloads) = (system.scores.name(), system.payloads.url());
        let stack = Stack { name: "local", scores, kinesis: &kinesis, payloads };
        let log = self.logs.join(format!("{}.log", card.model));
        let program = card.program(folder, &log, &stack);
        let mapping = Mapping {
            batch_size: card.batch_size(),
            function_timeout: program.timeout + STARTS_WITHIN,
            maximum_retry_attempts: RETRY_ATTEMPTS,
            ..mapping.clone()
        };
        let model = card.model.clone();
        let tell = move |what| warn(timed(format_args!("warning: {model}: {what}")));
        system.add_function(&card.model, card.endpoints.clone(), &mapping, |actor, faults| {
            ProcessFunction::start(actor, faults, program, tell)
        });
    }
}

/// Counts the scores that functions put, and warns once of each function that puts what is none of its own.
async fn count(mut told: mpsc::UnboundedReceiver<Put>, counters: Arc<Counters>) {
    let mut warned = HashSet::new();
    while let Some(Put { function, message }) = told.recv().await {
        let wrong = match &message {
            None => Some("puts a record that is no score: nobody can read it".to_owned()),
            Some(message) if message.score.model.as_str() != function => {
                Some(format!("puts scores as {}", message.score.model))
            }
            Some(_) => None,
        };
        if let Some(wrong) = wrong
            && warned.insert(function.clone())
        {
            warn(timed(format_args!("warning: {function} {wrong}")));
        }
        if let Some(message) = message {
            counters.record(&report(message.score.model, message.score.result.is_ok()));
        }
    }
}

/// A report of one score.
fn report(model: ModelId, scored: bool) -> ModelReport {
    let [scored, failed] = [scored, !scored].map(usize::from);
    ModelReport { requests: 1, scored, failed, ..ModelReport::new(model) }
}
