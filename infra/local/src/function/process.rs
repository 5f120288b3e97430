//! One process of a function.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use bytes::Bytes;
use rendezvous_core::{RequestId, now};
use rustix::process::{Pid, setpriority_process};
use tokio::{
    process::{Child, Command},
    time::{Instant, interval, timeout_at},
};

use super::{
    logs::Log,
    runtime_api::{Invocation, RuntimeApi, Said},
};
use crate::processes::resident_mb;

/// How long a process may take until it asks for its first event: as on Lambda.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How often the memory of a process is looked at while it works.
const LOOK: Duration = Duration::from_millis(200);

/// The nice value of functions; the server has 0.
const LOWER_PRIORITY: i32 = 10;

/// How much of what a function says of its error is shown.
const SHOWN: usize = 300;

/// How a function is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The function's name, which is the id of its model.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// The working folder.
    pub(crate) folder: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) memory_mb: u32,
    /// Where what it prints is kept.
    pub(crate) log: Log,
}

/// A process that waits for an event, or works on one. It is killed when this is dropped.
pub(super) struct Process {
    child: Child,
    api: RuntimeApi,
    program: Program,
    started: Instant,
}

impl Process {
    /// Starts a process and waits until it asks for its first event.
    pub(super) async fn start(program: &Program) -> Result<Self, String> {
        let api = RuntimeApi::start().await.map_err(|error| format!("no port is free: {error}"))?;
        let child = spawn(program, &api.address.to_string())
            .map_err(|error| format!("{} cannot be started: {error}", shown(&program.command)))?;
        let started = Instant::now();
        let mut process = Self { child, api, program: program.clone(), started };
        let until = started + START_WITHIN;
        let ready = async {
            tokio::select! {
                said = process.api.said.recv() => match said {
                    Some(Said::Ready) => Ok(()),
                    Some(Said::NotStarted { error }) => Err(format!("it cannot start: {}", text(&error))),
                    _ => Err("it answered before it was asked".to_owned()),
                },
                status = process.child.wait() => Err(ended(status)),
            }
        };
        let ready = timeout_at(until, ready).await;
        let late =
            || Err(format!("it did not ask for an event within {} s", START_WITHIN.as_secs()));
        match ready.unwrap_or_else(|_| late()) {
            Ok(()) => Ok(process),
            Err(what) => Err(process.because(&what)),
        }
    }

    /// How long ago it was started.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Hands an event over and waits for the response. The outer error means that the process is of no
    /// use any more; the inner one that it has failed on this event.
    pub(super) async fn invoke(&mut self, event: Bytes) -> Result<Result<Bytes, String>, String> {
        let Program { name, timeout, memory_mb, .. } = &self.program;
        let (until, id) = (Instant::now() + *timeout, RequestId::random().to_string());
        let deadline_ms = (now() + *timeout).as_micros() / 1_000;
        let invocation = Invocation { id: id.clone(), event, deadline_ms, function: name.clone() };
        if self.api.invocations.send(invocation).await.is_err() {
            return Err(self.because("it takes no event"));
        }
        let pid = self.child.id();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = self.api.said.recv() => match said {
                    Some(Said::Response { id: answered, body }) if answered == id => return Ok(Ok(body)),
                    Some(Said::Failed { id: answered, error }) if answered == id => {
                        return Ok(Err(self.because(&text(&error))));
                    }
                    Some(_) => {}
                    None => return Err(self.because("its Runtime API has ended")),
                },
                status = self.child.wait() => return Err(self.because(&ended(status))),
                () = tokio::time::sleep_until(until) => {
                    return Err(self.because(&format!("it timed out after {} s", timeout.as_secs_f64())));
                }
                _ = looks.tick() => {
                    let used = memory_mb_of(pid).await;
                    if used > f64::from(*memory_mb) {
                        return Err(self.because(&format!("it used {used} MB of {memory_mb} MB of memory")));
                    }
                }
            }
        }
    }

    /// Whether the process waits for an event, at the latest within a second.
    pub(super) async fn is_ready(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(1);
        let ready = async {
            loop {
                tokio::select! {
                    said = self.api.said.recv() => match said {
                        Some(Said::Ready) => return true,
                        Some(_) => {}
                        None => return false,
                    },
                    _ = self.child.wait() => return false,
                }
            }
        };
        timeout_at(until, ready).await.unwrap_or(false)
    }

    /// What has happened, with where its log is.
    fn because(&self, what: &str) -> String {
        format!("{what}; its log is {}", self.program.log.path().display())
    }
}

/// The memory of a process in MB. On a thread of its own: the requests of other models must not wait for
/// the file that says it.
async fn memory_mb_of(pid: Option<u32>) -> f64 {
    let looked = tokio::task::spawn_blocking(move || pid.and_then(resident_mb).unwrap_or_default());
    looked.await.unwrap_or_default()
}

fn spawn(program: &Program, runtime_api: &str) -> io::Result<Child> {
    let Some((name, arguments)) = program.command.split_first() else {
        return Err(io::Error::other("the command is empty"));
    };
    let [output, errors] = program.log.outputs(&program.name)?;
    // A path with a folder is one from the card's folder.
    let own = program.folder.join(name);
    let executable = if name.contains('/') && own.exists() { own } else { name.into() };
    let child = Command::new(executable)
        .args(arguments)
        .current_dir(&program.folder)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        // Ctrl-C in a terminal is for the server, which ends its functions when their work is done.
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .stdout(output)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()?;
    yield_processors(&program.name, &child);
    Ok(child)
}

/// On Lambda a function has processors of its own. Here the server and the models within it go first.
fn yield_processors(name: &str, child: &Child) {
    // Without an id the process has ended, and `None` would be this process.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| setpriority_process(Some(pid), LOWER_PRIORITY)) {
        tracing::warn!(function = name, %error, "a function runs with the priority of the server");
    }
}

fn shown(command: &[String]) -> String {
    command.join(" ")
}

fn ended(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended: {status}"),
        Err(error) => format!("it ended: {error}"),
    }
}

/// What a function says of its error, cut.
fn text(error: &[u8]) -> String {
    let kind = serde_json::from_slice::<serde_json::Value>(error).ok();
    // The message may quote the event. It is in the function's log.
    let kind = kind.and_then(|error| Some(error.get("errorType")?.as_str()?.to_owned()));
    let kind = kind.unwrap_or_else(|| "an error".to_owned());
    format!("it failed with {}", kind.chars().take(SHOWN).collect::<String>())
}
