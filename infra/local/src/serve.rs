//! `serve`: the HTTP interface on this machine until Ctrl-C.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rendezvous_core::{Endpoint, EndpointName, ModelId};
use rendezvous_folder::{DataFolder, FileError};
use rendezvous_local_system::Local;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    console, http,
    log::Log,
    options::{Started, SystemOptions},
    ready::readiness,
    say::{Error, say, shown, timed, warn},
    values::missing_value,
    workspace::{Told, current},
};

/// How often the folders are looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long records in flight may take to get into the archive at the end.
const ARCHIVING: Duration = Duration::from_secs(3);

/// How long the disk may take to delete what is not needed any more when all is archived.
const TIDYING: Duration = Duration::from_secs(2);

/// How long the disk may take to note which models are up.
const NOTING: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// Publish nothing from the console, and show no payloads in it
    #[arg(long)]
    read_only: bool,

    #[command(flatten)]
    system: SystemOptions,
}

/// Runs until Ctrl-C or SIGTERM, or until its standard output is closed; then answers what is in
/// flight.
pub async fn serve(options: ServeOptions) -> Result<(), Error> {
    let mut interruptions = Interruptions::new()?;
    let data = options.system.data()?;
    let mut log = Log::open(&data)?;
    let mut started = options.system.start(&data, Some(&mut log)).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}; try another --port"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let endpoints = current(&*started.system.endpoints).await?;
    data.set_models_up(&started.workspace.models_up())?;

    let (stop, stopped) = watch::channel(false);
    let system = started.system.clone();
    let ready = readiness(&system, &data);
    let console = Arc::new(console::of(&system, &data, options.read_only, stopped.clone())?);
    let page = console.url(&url);
    let answer = console::answers(console);
    let server =
        tokio::spawn(http::serve_with(system.clone(), ready, Some(answer), listener, stopped));
    let ended = match say(introduction(&started, &endpoints, (&url, &page), &data)) {
        Ok(()) => tokio::select! {
            ended = look(&options.system, &mut started, &endpoints, &data) => ended,
            ended = interruptions.next() => ended,
        },
        closed => closed,
    };
    let ended = ended.and_then(|()| say(timed("Ending. A second Ctrl-C ends at once.")));
    tokio::spawn(async move {
        if interruptions.next().await.is_ok() {
            std::process::exit(130);
        }
    });
    // The server holds the other end for as long as it runs.
    let _ = stop.send(true);
    server.await?;
    let ending = data.clone();
    let none = note_models(move || ending.no_models_up());
    let ((), archived) = tokio::join!(none, system.drain(ARCHIVING));
    if archived {
        match timeout(TIDYING, tidy(&system, log)).await {
            Ok(tidied) => tidied?,
            Err(_) => warn(timed(format_args!(
                "warning: what is not needed any more is not deleted within {} s; the next start \
                 may archive some of it once more",
                TIDYING.as_secs()
            ))),
        }
        ended?;
        say(format_args!(
            "{}All requests in flight are answered and archived.",
            system.counters.totals()
        ))?;
    } else {
        warn(timed(kept(&system, log).await));
        ended?;
        say(system.counters.totals())?;
    }
    Ok(())
}

/// Notes which models are up, and warns when that fails or takes too long.
async fn note_models(note: impl FnOnce() -> Result<(), FileError> + Send + 'static) {
    let why = match timeout(NOTING, spawn_blocking(note)).await {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(crashed)) => crashed.to_string(),
        Err(_) => "the disk is too slow".to_owned(),
    };
    warn(timed(format_args!("warning: {why}: it is not noted which models are up")));
}

/// Stops a system all of whose records are archived, and deletes what only they needed.
async fn tidy(system: &Local, log: Log) -> Result<(), Error> {
    system.stop().await;
    // No message refers to them any more.
    system.payloads.clear().await?;
    let ended = log.end().await?;
    spawn_blocking(move || ended.delete_read()).await?
}

/// What is not archived at the end, and where it is.
async fn kept(system: &Local, log: Log) -> String {
    let left = left(system);
    let kept = match log.end().await {
        Ok(ended) => ended.to_string(),
        Err(error) => format!("The next start archives what is in the log; {error}."),
    };
    format!("Not archived within {} s: {left}. {kept}", ARCHIVING.as_secs())
}

/// What is not archived.
fn left(system: &Local) -> String {
    let held = [
        ("requests", system.input.held()),
        ("scores", system.scores.held()),
        ("decisions", system.ledger.changes.held()),
        ("outcomes", system.outcomes.changes.held()),
    ];
    let left = held.iter().filter(|(_, bytes)| *bytes > 0);
    let left = left.map(|(what, bytes)| format!("{} kB of {what}", bytes.div_ceil(1_000)));
    left.collect::<Vec<_>>().join(", ")
}

/// What is printed at the start. The first line is the address alone, for programs.
fn introduction(
    started: &Started,
    endpoints: &[Arc<Endpoint>],
    (url, console): (&str, &str),
    data: &DataFolder,
) -> String {
    let mut lines = vec![url.to_owned(), String::new(), format!("  console {console}")];
    for endpoint in endpoints {
        let models: Vec<&str> = endpoint.configuration.models().map(ModelId::as_str).collect();
        let (name, version) = (&endpoint.name, endpoint.version);
        lines.push(format!("  endpoint {name}, version {version}: {}", models.join(", ")));
    }
    let warnings = started.told.iter().filter(|told| told.is_warning());
    lines.extend(warnings.map(|warning| format!("  {warning}")));
    lines.push(format!("  {}; saved files take effect", started.workspace.places()));
    lines.push(format!("  data (endpoints, archive, secret) in {}\n", shown(data.root())));
    for endpoint in endpoints {
        let (name, sample) = (&endpoint.name, started.workspace.sample(endpoint));
        lines.push(format!("  curl -s {url}/v1/endpoints/{name}/requests \\"));
        let sample = quoted(&sample);
        lines.push(format!("    -H 'Content-Type: application/json' -d '{sample}'\n"));
    }
    lines.push("Ctrl-C ends it.".to_owned());
    lines.join("\n")
}

/// Text between the single quotes of a shell.
fn quoted(text: &str) -> String {
    text.replace('\'', r"'\''")
}

/// Puts what is saved in the folders into effect and tells of it, until standard output is closed.
async fn look(
    options: &SystemOptions,
    started: &mut Started,
    endpoints: &[Arc<Endpoint>],
    data: &DataFolder,
) -> io::Result<()> {
    let Started { system, workspace, functions, .. } = started;
    let functions = functions.as_ref();
    let mut checks = Checks { system: system.clone(), of: HashMap::new() };
    checks.start(endpoints);
    // A folder that cannot be read is told once.
    let mut unreadable = false;
    loop {
        sleep(INTERVAL).await;
        let looked = workspace
            .look(&*system.endpoints, |model| options.bring_up(system, functions, model))
            .await;
        let was_unreadable = std::mem::replace(&mut unreadable, looked.is_err());
        let told = match looked {
            Ok(told) => told,
            Err(error) if was_unreadable => {
                tracing::debug!(%error, "a folder still cannot be read");
                continue;
            }
            Err(error) => {
                warn(timed(format_args!("warning: {}: {error}", workspace.places())));
                Vec::new()
            }
        };
        for told in &told {
            match told {
                Told::Done(_) => say(timed(told))?,
                Told::Warning(_) => warn(timed(told)),
            }
        }
        if told.is_empty() {
            continue;
        }
        let (data, up) = (data.clone(), workspace.models_up());
        note_models(move || data.set_models_up(&up)).await;
        if let Ok(endpoints) = current(&*system.endpoints).await {
            checks.start(&endpoints);
        }
    }
}

/// The checks of each endpoint's `value`, one for each version.
struct Checks {
    system: Arc<Local>,
    of: HashMap<EndpointName, (u64, AbortHandle)>,
}

impl Checks {
    /// Starts the check of every version that has none yet, instead of that of the former version.
    fn start(&mut self, endpoints: &[Arc<Endpoint>]) {
        for endpoint in endpoints {
            let former = self.of.get(&endpoint.name);
            if former.is_some_and(|(version, _)| *version == endpoint.version) {
                continue;
            }
            let (system, checked) = (self.system.clone(), endpoint.clone());
            let check = tokio::spawn(async move {
                if let Some(warning) = missing_value(&system.scores, &checked).await {
                    warn(timed(format_args!("warning: {warning}")));
                }
            });
            let check = (endpoint.version, check.abort_handle());
            if let Some((_, former)) = self.of.insert(endpoint.name.clone(), check) {
                former.abort();
            }
        }
    }
}

/// Ctrl-C and, where there is one, SIGTERM. From its creation on no signal is missed.
struct Interruptions {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Interruptions {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        Ok(Self { signals })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> io::Result<()> {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
