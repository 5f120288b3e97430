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
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Args;
use rendezvous_core::{EndpointName, Json};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
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
    processes::{processor_seconds, resident_mb},
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

    /// Where another server is asked, e.g. /predict; 200 with any JSON is an answer
    #[arg(long, requires = "address", conflicts_with_all = ["endpoint", "deadline"])]
    path: Option<String>,

    /// A file with the JSON of a request, or of several that are sent in turn [default: real flights]
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,

    /// A system that runs already, e.g. 127.0.0.1:8080 [default: one is started]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,

    /// Its process: memory and processor time are those of this one and all below it
    #[arg(long, requires = "address")]
    pid: Option<u32>,

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
    /// 429: more requests than the system takes at a time. They are among the errors.
    refused: usize,
    refused_ms: Percentiles,
    /// Answers by kind, and among them by model.
    kinds: BTreeMap<String, usize>,
    models: BTreeMap<String, usize>,
    /// Resident memory of the system, all its processes, in MB; nothing where it cannot be read.
    resident_mb: Vec<f64>,
    /// Processor seconds of the system, all its processes and threads, within `seconds`.
    processor_seconds: Option<f64>,
    first_error: Option<String>,
}

#[derive(Default)]
struct Tally {
    times: Times,
    refused: Times,
    answered: usize,
    errors: usize,
    late: usize,
    kinds: BTreeMap<String, usize>,
    models: BTreeMap<String, usize>,
    first_error: Option<String>,
}

/// Measures and prints one JSON object.
pub async fn bench(options: BenchOptions) -> Result<(), Error> {
    if let Some(pid) = options.pid
        && processor_seconds(pid).is_none()
    {
        return Err(format!("the processor time of process {pid} cannot be read").into());
    }
    let (address, pid, child) = if let Some(address) = options.address {
        (address, options.pid, None)
    } else {
        let (address, child) = start_system(&options.serve).await?;
        (address, child.id(), Some(child))
    };
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
        any_json: options.path.is_some(),
        next: Arc::default(),
        interval: options.rate.map(|rate| Duration::from_secs(1).div_f64(rate as f64)),
    };
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        senders.spawn(load.clone().send(Client::connect(address).await?));
    }
    let watch = tokio::spawn(watch(pid, load.begin, load.end));
    let mut total = Tally::default();
    while let Some(tally) = senders.join_next().await {
        total.add(tally?);
    }
    let (resident_mb, processor_seconds) = watch.await?;
    let answered = total.answered;
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
        refused: total.refused.count(),
        refused_ms: total.refused.percentiles(),
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
    let path = options.path.clone();
    let path = path.unwrap_or_else(|| format!("/v1/endpoints/{}/requests", options.endpoint));
    if let Some(file) = &options.payload {
        let payloads = payloads(file).map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(payloads
            .iter()
            .map(|json| Client::post(&path, &header, json.as_str()))
            .collect());
    }
    let flights = Flights::read(&crate::flights::folder())?;
    let post = |flight: &Flight| Client::post(&path, &header, flight.payload.get());
    Ok(flights.unseen(FLIGHTS)?.iter().map(post).collect())
}

/// All JSON values of a file, at least one.
fn payloads(file: &Path) -> Result<Vec<Json>, Error> {
    let text = std::fs::read_to_string(file)?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>();
    let payloads = values.map(|value| Ok(Json::parse(value?.get())?));
    let payloads: Vec<Json> = payloads.collect::<Result<_, Error>>()?;
    if payloads.is_empty() { Err("no JSON".into()) } else { Ok(payloads) }
}

/// What every connection does.
#[derive(Clone)]
struct Load {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    begin: Instant,
    end: Instant,
    deadline: Duration,
    /// The server is another one: its answers need not have a kind.
    any_json: bool,
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
                    let late = took > self.deadline + LATENESS;
                    match Body::read(body, self.any_json) {
                        Some(body) => tally.answered(body, took, late),
                        None => tally.error("an answer that is not as it should be".to_owned()),
                    }
                }
                Ok((status, body)) if counts => {
                    if status == 429 {
                        tally.refused.add(took);
                    }
                    tally.error(format!("{status}: {}", String::from_utf8_lossy(body)));
                }
                Ok(_) => {}
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

#[derive(Clone, Copy, Default, Deserialize)]
struct Body<'a> {
    model: Option<&'a str>,
    kind: Option<&'a str>,
}

impl<'a> Body<'a> {
    /// What an answer says; nothing when it is none.
    fn read(json: &'a [u8], any_json: bool) -> Option<Self> {
        let body: Option<Self> = serde_json::from_slice(json).ok();
        if any_json {
            let is_json = || serde_json::from_slice::<IgnoredAny>(json).is_ok();
            return body.or_else(|| is_json().then(Self::default));
        }
        body.filter(|body| body.kind.is_some())
    }
}

impl Tally {
    fn answered(&mut self, body: Body, took: Duration, late: bool) {
        self.times.add(took);
        self.answered += 1;
        self.late += usize::from(late);
        for (counts, word) in [(&mut self.kinds, body.kind), (&mut self.models, body.model)] {
            if let Some(word) = word {
                count(counts, word, 1);
            }
        }
    }

    fn error(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    fn add(&mut self, other: Self) {
        self.times.merge(other.times);
        self.refused.merge(other.refused);
        self.answered += other.answered;
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

/// Resident memory of a system, some thirty times at most, and its processor time, both while it is measured.
async fn watch(pid: Option<u32>, begin: Instant, end: Instant) -> (Vec<f64>, Option<f64>) {
    let Some(pid) = pid else { return (Vec::new(), None) };
    sleep_until(begin).await;
    let before = processor_seconds(pid);
    let mut every = interval((end - begin) / 30);
    let mut memory = Vec::new();
    while every.tick().await < end {
        memory.extend(resident_mb(pid));
    }
    let taken = processor_seconds(pid).zip(before).map(|(after, before)| after - before);
    (memory, taken)
}
