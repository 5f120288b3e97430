//! The console of the local system.

use std::{pin::Pin, sync::Arc, time::Duration};

use hyper::{Request, Response, body::Incoming};
use rendezvous_console::{
    Body, Console, Counters, ModelCounters, Ports, Running, Settings, Worker,
};
use rendezvous_folder::{DataFolder, FolderArchive, FolderEndpoints};
use rendezvous_local_system::{Local, Windows};
use rendezvous_operations::up::{self, Up};
use rendezvous_sim::Totals;
use tokio::sync::watch;

use crate::say::{Error, shown};

/// How long before the deadline ingress settles, on this machine.
const MARGIN: Duration = Duration::from_millis(5);

pub(crate) type LocalConsole = Console<FolderEndpoints, Windows, FolderArchive, LocalSystem>;

/// The system of this process.
pub(crate) struct LocalSystem {
    system: Arc<Local>,
    data: DataFolder,
}

impl Running for LocalSystem {
    async fn models_up(&self) -> Result<Up, String> {
        up::read(&self.data)
    }

    fn counters(&self) -> Option<Counters> {
        Some(counters(self.system.counters.totals()))
    }

    fn margin(&self) -> Duration {
        MARGIN
    }
}

fn counters(totals: Totals) -> Counters {
    let Totals { ingress, models, .. } = totals;
    let model = |(id, of): (_, rendezvous_sim::ModelTotals)| {
        (id, ModelCounters { scored: of.scored, failed: of.failed + of.expired })
    };
    Counters {
        answers: ingress.answers,
        late: ingress.late,
        unsettled: ingress.unsettled,
        refused: ingress.refused,
        unanswered: ingress.unanswered,
        models: models.into_iter().map(model).collect(),
    }
}

/// The console of a system on its data folder, until `stop` is true.
pub(crate) fn of(
    system: &Arc<Local>,
    data: &DataFolder,
    read_only: bool,
    stop: watch::Receiver<bool>,
) -> Result<LocalConsole, Error> {
    let ports = Ports {
        endpoints: system.endpoints.clone(),
        windows: system.windows.clone(),
        archive: system.archive.clone(),
        running: LocalSystem { system: system.clone(), data: data.clone() },
    };
    let settings = Settings {
        name: format!("data folder {}", shown(data.root())),
        author: std::env::var("USER").unwrap_or_else(|_| "console".to_owned()),
        read_only,
    };
    let worker = Worker::start().map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(Console::new(ports, settings, worker, stop))
}

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A function that answers what is below `/console`.
pub(crate) fn answers(
    console: Arc<LocalConsole>,
) -> impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static {
    move |request| {
        let console = console.clone();
        Box::pin(async move { console.answer(request).await })
    }
}
