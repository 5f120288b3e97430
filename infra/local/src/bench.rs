//! `bench`: load on the running system over real HTTP, from a process of its own.
//!
//! This process makes the load; the system runs in a child process, so that its memory is its own.
//! A closed loop sends the next request of a connection when the last is answered: it finds the
//! most that the system can do. An open loop (`--rate`) sends at fixed times whatever the system
//! does; a request that finds every connection busy is measured from the time it was due, so that a
//! stall counts for every request it delays.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Args;
use rendezvous_core::{EndpointName, Json};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

use crate::{
    client::Client,
    flights::{ENDPOINT, Flight, Flights},
    options::new_folder,
    percentiles::{Percentiles, Times},
    say::{Error, say},
};

#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    /// Kept-alive connections
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = 1..=1_000)]
    connections: i64,

    /// How long to measure, after one more second to warm up
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = 1..=3_600)]
    seconds: i64,

    /// Open loop: so many requests a second [default: closed loop, as many as there can be]
    #[arg(long, value_name = "COUNT", value_parser = 1..=100_000)]
    rate: Option<i64>,

    /// A deadline shorter than the endpoint's own
    #[arg(long, value_name = "MILLISECONDS", value_parser = 1..=29_000)]
    deadline: Option<i64>,

    /// Deadline of the endpoint, to tell which answers are late
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 200, value_parser = 1..=29_000)]
    schedule_deadline: i64,

    /// The endpoint to ask
    #[arg(long, value_name = "NAME", default_value = ENDPOINT)]
    endpoint: EndpointName,

    /// A file with the JSON of every request [default: real flights]
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,

    /// A system that runs already, e.g. 127.0.0.1:8080 [default: one is started]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,

    /// What follows `--` is handed to `serve` of the system that is started
    #[arg(last = true, value_name = "SERVE OPTIONS")]
    serve: Vec<String>,
}

/// The first second is not counted: connections open, caches fill.
const WARM_UP: Duration = Duration::from_secs(1);

/// An answer that comes more than this after its deadline is late.
const LATENESS: Duration = Duration::from_millis(5);

/// How many different requests are sent, again and again.
const FLIGHTS: usize = 4_000;

#[derive(Serialize)]
struct Measured {
    mode: &'static str,
    connections: usize,
    rate: Option<i64>,
    seconds: f64,
    requests: usize,
    requests_per_second: f64,
    errors: usize,
    late: usize,
    /// Share of the requests that were answered at most 5 ms after their deadline.
    in_time: f64,
    deadline_ms: u64,
    latency_ms: Percentiles,
    /// Answers by kind, and among them by model.
    kinds: BTreeMap<String, usize>,
    models: BTreeMap<String, usize>,
    /// Resident memory of the system, in MB; nothing where it cannot be read.
    resident_mb: Vec<f64>,
    /// Processor seconds of the system, all threads.
    processor_seconds: Option<f64>,
    first_error: Option<String>,
}

#[derive(Default)]
struct Tally {
    times: Times,
    errors: usize,
    late: usize,
    kinds: BTreeMap<String, usize>,
    models: BTreeMap<String, usize>,
    first_error: Option<String>,
}

/// Measures and prints one JSON object.
pub async fn bench(options: BenchOptions) -> Result<(), Error> {
    let (address, child) = if let Some(address) = options.address {
        (address, None)
    } else {
        let (address, child) = start_system(&options.serve).await?;
        (address, Some(child))
    };
    let pid = child.as_ref().and_then(Child::id);
    let measured = measure(&options, address, pid).await;
    if let Some(mut child) = child {
        child.kill().await?;
    }
    let measured = measured?;
    say(serde_json::to_string_pretty(&measured)?)?;
    match measured.errors {
        0 if measured.requests > 0 => Ok(()),
        0 => Err("no request was answered".into()),
        errors => Err(format!("{errors} of {} requests had no answer", measured.requests).into()),
    }
}

/// Starts the system in a process of its own; its first line of output is where it listens.
async fn start_system(arguments: &[String]) -> Result<(SocketAddr, Child), Error> {
    let mut serve = Command::new(std::env::current_exe()?);
    serve.args(["serve", "--port", "0"]).args(arguments);
    if !arguments.iter().any(|argument| argument.starts_with("--data")) {
        serve.arg("--data").arg(new_folder());
    }
    let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = child.stdout.take().ok_or("the system has no output")?;
    let mut lines = BufReader::new(output).lines();
    let first = lines.next_line().await?.ok_or("the system did not start; see above")?;
    let address = first.strip_prefix("http://").unwrap_or(&first).parse()?;
    // The rest of its output is read: a full pipe would block it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((address, child))
}

async fn measure(
    options: &BenchOptions,
    address: SocketAddr,
    pid: Option<u32>,
) -> Result<Measured, Error> {
    let requests = Arc::new(requests(options)?);
    let connections = usize::try_from(options.connections)?;
    let seconds = u64::try_from(options.seconds)?;
    let own = options.deadline.unwrap_or(i64::MAX).min(options.schedule_deadline);
    let deadline = Duration::from_millis(u64::try_from(own)?);
    let begin = Instant::now();
    let load = Load {
        address,
        requests,
        begin: begin + WARM_UP,
        end: begin + WARM_UP + Duration::from_secs(seconds),
        deadline,
        next: Arc::default(),
        interval: options.rate.map(|rate| Duration::from_secs(1).div_f64(rate as f64)),
    };
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        senders.spawn(load.clone().send(Client::connect(address).await?));
    }
    let watch = tokio::spawn(watch(pid, load.end));
    let mut total = Tally::default();
    while let Some(tally) = senders.join_next().await {
        total.add(tally?);
    }
    let (resident_mb, processor_seconds) = watch.await?;
    let answered: usize = total.kinds.values().sum();
    let count = answered + total.errors;
    Ok(Measured {
        mode: if options.rate.is_some() { "open" } else { "closed" },
        connections,
        rate: options.rate,
        seconds: seconds as f64,
        requests: count,
        requests_per_second: answered as f64 / seconds as f64,
        errors: total.errors,
        late: total.late,
        in_time: (answered - total.late) as f64 / count.max(1) as f64,
        deadline_ms: u64::try_from(own)?,
        latency_ms: total.times.percentiles(),
        kinds: total.kinds,
        models: total.models,
        resident_mb,
        processor_seconds,
        first_error: total.first_error,
    })
}

fn requests(options: &BenchOptions) -> Result<Vec<Vec<u8>>, Error> {
    let header = options.deadline.map(|ms| format!("Rendezvous-Deadline-Ms: {ms}\r\n"));
    let header = header.unwrap_or_default();
    let path = format!("/v1/endpoints/{}/requests", options.endpoint);
    if let Some(file) = &options.payload {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
        let payload = Json::parse(&text).map_err(|invalid| named(&invalid))?;
        return Ok(vec![Client::post(&path, &header, payload.as_str())]);
    }
    let flights = Flights::read(&crate::flights::folder())?;
    let post = |flight: &Flight| Client::post(&path, &header, flight.payload.get());
    Ok(flights.unseen(FLIGHTS)?.iter().map(post).collect())
}

/// What every connection does.
#[derive(Clone)]
struct Load {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    begin: Instant,
    end: Instant,
    deadline: Duration,
    /// The number of the next request, of all connections.
    next: Arc<AtomicUsize>,
    /// Open loop: the time between two requests, of all connections together.
    interval: Option<Duration>,
}

impl Load {
    async fn send(self, mut client: Client) -> Tally {
        let start = self.begin - WARM_UP;
        let mut tally = Tally::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = match self.interval {
                None => Instant::now(),
                // Request `number` is due at a fixed time; whichever connection is free takes it,
                // and what it has waited for a free one counts.
                Some(interval) => start + interval.mul_f64(number as f64),
            };
            if due >= self.end {
                return tally;
            }
            // The wait for a free connection counts; the lateness of this timer does not.
            let was_busy = self.interval.is_some() && Instant::now() > due;
            if self.interval.is_some() && !was_busy {
                sleep_until(due).await;
            }
            let request = &self.requests[number % self.requests.len()];
            let since = if was_busy { due } else { Instant::now() };
            let answer = client.send(request).await;
            let took = since.elapsed();
            let counts = due >= self.begin;
            match answer {
                Ok((200, body)) if counts => {
                    tally.answered(body, took, took > self.deadline + LATENESS);
                }
                Ok((200, _)) => {}
                Ok((status, body)) => {
                    tally.error(format!("{status}: {}", String::from_utf8_lossy(body)));
                }
                Err(error) => {
                    tally.error(error.to_string());
                    match Client::connect(self.address).await {
                        Ok(connected) => client = connected,
                        Err(error) => {
                            tally.error(format!("a connection is lost: {error}"));
                            return tally;
                        }
                    }
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    model: Option<&'a str>,
    kind: &'a str,
}

impl Tally {
    fn answered(&mut self, body: &[u8], took: Duration, late: bool) {
        let Ok(Body { model, kind }) = serde_json::from_slice(body) else {
            return self.error("an answer that is not as it should be".to_owned());
        };
        self.times.add(took);
        self.late += usize::from(late);
        count(&mut self.kinds, kind, 1);
        if let Some(model) = model {
            count(&mut self.models, model, 1);
        }
    }

    fn error(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    fn add(&mut self, other: Self) {
        self.times.merge(other.times);
        self.errors += other.errors;
        self.late += other.late;
        other.kinds.iter().for_each(|(word, n)| count(&mut self.kinds, word, *n));
        other.models.iter().for_each(|(word, n)| count(&mut self.models, word, *n));
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

fn count(counts: &mut BTreeMap<String, usize>, word: &str, n: usize) {
    match counts.get_mut(word) {
        Some(count) => *count += n,
        None => drop(counts.insert(word.to_owned(), n)),
    }
}

/// Resident memory of the system, some thirty times at most, and its processor time.
async fn watch(pid: Option<u32>, end: Instant) -> (Vec<f64>, Option<f64>) {
    let Some(pid) = pid else { return (Vec::new(), None) };
    let mut every = interval((end - Instant::now()) / 30);
    let mut resident = Vec::new();
    let before = processor_seconds(pid);
    while every.tick().await < end {
        resident.extend(resident_mb(pid));
    }
    let taken = processor_seconds(pid).zip(before).map(|(after, before)| after - before);
    (resident, taken)
}

/// From Linux's `/proc`; nothing elsewhere.
fn resident_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some((kib * 1024.0 / 1e6 * 10.0).round() / 10.0)
}

/// User and system time, from Linux's `/proc`, which counts in hundredths of a second.
fn processor_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let ticks: u32 = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(f64::from(ticks) / 100.0)
}
