//! `demo`: real requests through the whole system, while models fail, and a report of the
//! answers.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clap::Args;
use rendezvous_core::{
    Arm, Endpoint, EndpointCache, ModelId, RequestId, ScoreMessage,
    memory::{Position, Subscription},
};
use rendezvous_local_system::Local;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use crate::{
    client::Client,
    deaths::{Kill, switch},
    flights::{ENDPOINT, Flight, Flights},
    options::{SystemOptions, known},
    report::{Answered, Heard, Report, Round},
    say::{Error, say, shown, warn},
    server::Server,
    story::Story,
    tables, year,
};

/// How long the story takes that the console shows.
const STORY_SECONDS: i64 = 180;

#[derive(Args, Clone, Debug)]
pub struct DemoOptions {
    /// Requests a second
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = 1..=20_000)]
    rate: i64,

    /// Requests in all [default: 3,000; with --console three minutes of them]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    count: Option<i64>,

    /// Show it in the web console, as a story: the champion dies and comes back, a challenger is better
    /// and is promoted in steps, a bad one goes back. The console stays until Ctrl-C
    #[arg(long, conflicts_with_all = ["year", "kill", "deadline"])]
    console: bool,

    /// Port on 127.0.0.1; by default a free one
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// A deadline shorter than the endpoint's own
    #[arg(long, value_name = "MILLISECONDS", value_parser = 1..=29_000)]
    deadline: Option<i64>,

    /// Kill a model for some seconds, e.g. logistic@1@5..10 [default: the champion, half-way]
    #[arg(long, value_name = "MODEL@SECONDS..SECONDS")]
    kill: Vec<Kill>,

    /// Play the whole year in virtual time instead, each flight at its own time, outcomes a day later
    #[arg(long, conflicts_with_all = ["rate", "count", "deadline", "kill", "report", "shards"])]
    year: bool,

    /// With --year: let the monitor look at every minute of it, as on AWS, and list its alarms
    #[arg(long, requires = "year")]
    alarms: bool,

    /// Write the report as JSON, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    #[command(flatten)]
    system: SystemOptions,
}

impl DemoOptions {
    /// How many requests are sent.
    fn count(&self) -> i64 {
        let usual = if self.console { self.rate * STORY_SECONDS } else { 3_000 };
        self.count.unwrap_or(usual)
    }
}

/// Plays the demonstration and prints its report. An error when a client got none of its answers.
pub async fn demo(options: DemoOptions) -> Result<(), Error> {
    if options.year {
        return year::play(&options.system, options.alarms);
    }
    let count = usize::try_from(options.count())?;
    let sample = Flights::read(&crate::flights::folder())?;
    let flights = sample.unseen(count)?;
    let data = options.system.fresh_data()?;
    let started = options.system.start(&data, None).await?;
    started.warn();
    let system = started.system.clone();
    let name = ENDPOINT.parse()?;
    let endpoint = EndpointCache::new(system.endpoints.clone()).current(&name).await?;
    let endpoint = endpoint.ok_or_else(|| no_endpoint(started.workspace.endpoints().path()))?;
    let Server { address, page, stop, task } =
        Server::start(&started, &data, options.port, options.console).await?;
    let kills = kills(&options, &endpoint)?;
    let mut switches = JoinSet::new();
    for kill in &kills {
        switches.spawn(switch(kill.clone(), known(&system, &kill.model)?, Instant::now()));
    }

    let round = round(&options, &kills)?;
    say(introduction(&endpoint, &system, &round, count))?;
    if options.console {
        say(format_args!("Open the console: {page}\n"))?;
        let champion = endpoint.configuration.schedule(&Arm::main()).champion().clone();
        let story = Story { system: system.clone(), endpoint: name, champion };
        switches.spawn(story.tell(length(&options)?));
    }
    let heard = Arc::new(Mutex::new(Heard::default()));
    for lane in system.scores.subscribe(Position::Latest, 1) {
        tokio::spawn(listen(lane, endpoint.clone(), heard.clone()));
    }
    let (answered, reported) = play(address, &flights, count, &round).await?;
    switches.abort_all();
    if options.console {
        say(format_args!("\nThe console stays until Ctrl-C: {page}"))?;
        tokio::signal::ctrl_c().await?;
    }

    if !system.drain(Duration::from_secs(30)).await {
        warn("some records were still on their way after 30 s");
    }
    // The server holds the other end for as long as it runs.
    let _ = stop.send(true);
    task.await?;
    data.no_models_up()?;
    system.stop().await;
    let calls = system.ledger.calls();
    let archive = &data.archive();
    let report = Report::new(&endpoint, &round, &answered, &lock(&heard), calls, archive);
    say(format_args!(
        "{report}What the functions reported\n{}\n\
         What became of {reported} of the flights was reported as their outcome.\n\n{}",
        system.counters.totals(),
        tables::guide(archive, tables::BY_MODEL)
    ))?;
    if let Some(file) = &options.report {
        write(&report, file)?;
    }
    if report.answered() == 0 { Err("no request was answered".into()) } else { Ok(()) }
}

/// Writes the report as JSON.
fn write(report: &Report, file: &Path) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(report)?;
    std::fs::write(file, json).map_err(|error| format!("{}: {error}", file.display()))?;
    say(format_args!("The same as JSON: {}", shown(file)))?;
    Ok(())
}

/// What is sent, and which models are killed.
fn round(options: &DemoOptions, kills: &[Kill]) -> Result<Round, Error> {
    Ok(Round {
        rate: u32::try_from(options.rate)?,
        own_deadline: options.deadline.map(u64::try_from).transpose()?.map(Duration::from_millis),
        kills: kills.iter().map(|kill| (kill.model.clone(), kill.from, kill.to)).collect(),
    })
}

/// The models that are killed: as asked for, or the champion half-way.
fn kills(options: &DemoOptions, endpoint: &Endpoint) -> Result<Vec<Kill>, Error> {
    if !options.kill.is_empty() || options.console {
        return Ok(options.kill.clone());
    }
    let length = length(options)?;
    let model = endpoint.configuration.schedule(&Arm::main()).champion().clone();
    Ok(vec![Kill { model, from: length * 2 / 5, to: length * 7 / 10 }])
}

/// How long it takes to send the requests.
fn length(options: &DemoOptions) -> Result<Duration, Error> {
    let length = Duration::from_secs(1) * u32::try_from(options.count())?;
    Ok(length / u32::try_from(options.rate)?)
}

fn no_endpoint(folder: &Path) -> String {
    format!("{}: no {ENDPOINT}.json here", shown(folder))
}

fn introduction(endpoint: &Endpoint, system: &Local, round: &Round, count: usize) -> String {
    let models = crate::report::roles(endpoint);
    let models = models.iter().map(|(model, role)| format!("  {:12} {role}\n", model.as_str()));
    let kills = round.kills.iter().map(|(model, from, to)| {
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        format!("{model} will be dead from {from:.1} s to {to:.1} s.\n")
    });
    format!(
        "Will this flight arrive more than 15 minutes late? {count} real flights out of New York,\n\
         July to December 2013, {} a second, each scored by {} models:\n\n{}\n{}",
        round.rate,
        system.models().len(),
        models.collect::<Vec<_>>().concat(),
        kills.collect::<Vec<_>>().concat(),
    )
}

/// Listens to every score, as a comparison of models would.
async fn listen(lane: Subscription, endpoint: Arc<Endpoint>, heard: Arc<Mutex<Heard>>) {
    loop {
        for record in lane.next(1_000, usize::MAX, Duration::ZERO).await {
            if let Ok(message) = ScoreMessage::parse(&record.data) {
                lock(&heard).add(&message, endpoint.configuration.value());
            }
        }
    }
}

/// Sends every request at its time, over as many connections as it takes, and reports the outcome of
/// each that is answered. The answers, and how many outcomes were taken.
async fn play(
    address: SocketAddr,
    flights: &[Flight<'_>],
    count: usize,
    round: &Round,
) -> Result<(Vec<Answered>, usize), Error> {
    let header = round
        .own_deadline
        .map(|deadline| format!("Rendezvous-Deadline-Ms: {}\r\n", deadline.as_millis()));
    let path = format!("/v1/endpoints/{ENDPOINT}/requests");
    let clients = Arc::new(Clients { address, free: Mutex::default() });
    let answered: Arc<Mutex<Vec<Answered>>> = Arc::default();
    let start = Instant::now();
    let progress = tokio::spawn(progress(answered.clone()));
    let mut ticks = interval(Duration::from_secs(1) / round.rate);
    let mut requests = JoinSet::new();
    let mut reported = 0;
    for i in 0..count {
        // A request is measured from the time it is due, so that a delay in sending it counts.
        let due = ticks.tick().await;
        let flight = &flights[i % flights.len()];
        let late = flight.late;
        let request =
            Client::post(&path, header.as_deref().unwrap_or_default(), flight.payload.get());
        let (clients, answered) = (clients.clone(), answered.clone());
        requests.spawn(async move {
            let answer = ask(&clients, &request, (start, due), late).await;
            let id = answer.answer.as_ref().ok().map(|answer| answer.request);
            lock(&answered).push(answer);
            match id {
                Some(id) => clients.report(id, late).await,
                None => false,
            }
        });
        if progress.is_finished() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        while let Some(ended) = requests.try_join_next() {
            reported += usize::from(ended?);
        }
    }
    while let Some(ended) = requests.join_next().await {
        reported += usize::from(ended?);
    }
    progress.abort();
    let mut answered = std::mem::take(&mut *lock(&answered));
    answered.sort_by_key(|answer| answer.sent);
    Ok((answered, reported))
}

/// As many connections as are needed at a time.
struct Clients {
    address: SocketAddr,
    free: Mutex<Vec<Client>>,
}

impl Clients {
    /// Sends a request over a free connection, or a new one, and returns the answer's body if its
    /// status is the one that is expected.
    async fn send(&self, request: &[u8], expected: u16) -> io::Result<Vec<u8>> {
        let free = lock(&self.free).pop();
        let mut client = match free {
            Some(client) => client,
            None => Client::connect(self.address).await?,
        };
        let (status, body) = client.send(request).await?;
        let body = body.to_vec();
        if status != expected {
            let text = String::from_utf8_lossy(&body);
            return Err(io::Error::other(format!("{status}: {text}")));
        }
        lock(&self.free).push(client);
        Ok(body)
    }

    /// Reports what became of a flight; whether that was taken.
    async fn report(&self, id: RequestId, late: bool) -> bool {
        let path = format!("/v1/endpoints/{ENDPOINT}/requests/{id}/outcome");
        let request = Client::put(&path, &format!("{{\"late\":{late}}}"));
        self.send(&request, 204).await.is_ok()
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    request: RequestId,
    model: Option<ModelId>,
    kind: rendezvous_core::Kind,
    reason: rendezvous_core::Reason,
    #[serde(borrow)]
    score: &'a RawValue,
}

async fn ask(
    clients: &Clients,
    request: &[u8],
    (start, due): (Instant, Instant),
    late: bool,
) -> Answered {
    let answer = async {
        let body = clients.send(request, 200).await?;
        let body: Body = serde_json::from_slice(&body).map_err(io::Error::other)?;
        Ok(crate::report::Answer {
            request: body.request,
            model: body.model,
            kind: body.kind,
            reason: body.reason,
            score: body.score.get().to_owned(),
        })
    };
    let answer: Result<_, io::Error> = answer.await;
    Answered {
        sent: due.duration_since(start),
        took: due.elapsed(),
        was_late: late,
        answer: answer.map_err(|error| error.to_string()),
    }
}

/// Prints the first answer whole, then a line a second, until standard output is closed.
async fn progress(answered: Arc<Mutex<Vec<Answered>>>) -> io::Result<()> {
    let first = loop {
        if let Some(first) = lock(&answered).first().cloned() {
            break first;
        }
        sleep(Duration::from_millis(1)).await;
    };
    let took = first.took.as_secs_f64() * 1e3;
    say(format_args!("  first answer after {took:.1} ms: {}", first.what()))?;
    let mut done = 0;
    loop {
        sleep(Duration::from_secs(1)).await;
        let mut by: HashMap<String, usize> = HashMap::new();
        {
            let answered = lock(&answered);
            for answer in &answered[done..] {
                *by.entry(answer.by()).or_default() += 1;
            }
            done = answered.len();
        }
        let mut by: Vec<_> = by.into_iter().collect();
        by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let by: Vec<String> = by.iter().map(|(who, count)| format!("{count} by {who}")).collect();
        say(format_args!("  {done:>7} answered, the last {}", by.join(", ")))?;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
