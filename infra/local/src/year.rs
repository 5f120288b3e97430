//! `demo --year`: every flight of the sample at its own time of 2013, on a clock that is simulated.
//!
//! Time without events is skipped: tokio's paused clock jumps to the next timer when all tasks wait.
//! The year takes as long as its requests do.

use std::{
    collections::VecDeque,
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use futures_util::future::join_all;
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use rendezvous_core::{
    Artifact, Failure, Json, Kind, RequestId, Timestamp,
    clock::{self, sleep_until},
    memory::MemoryWindows,
    now,
};
use rendezvous_model::{Model, Profile};
use rendezvous_monitor::alarms::{self, KeptAlarm, Subject};
use rendezvous_sim::{Size, mapping::Mapping};
use serde::Deserialize;

use crate::{
    cards::Loaded,
    flights::{ENDPOINT, Flight, Flights},
    options::SystemOptions,
    say::{Error, say},
    system::{Local, Windows},
    tables,
};

const DAY: Duration = Duration::from_hours(24);

/// When the outcomes of a day's flights are reported: at noon of the next day, after the last of them
/// has landed. The data does not say when each landed.
const REPORTED_AFTER: Duration = Duration::from_hours(36);

/// Plays the year; with `alarms` the monitor looks at every minute of it. The runtime must be of one thread:
/// only there can time be paused.
pub(crate) async fn play(options: &SystemOptions, alarms: bool) -> Result<(), Error> {
    let flights = Flights::read(&crate::flights::folder())?;
    let flights = flights.all()?;
    let data = options.fresh_data()?;
    let archive = data.archive();
    if fs::read_dir(&archive)?.next().is_some() {
        return Err(format!("{}: it must be empty", archive.display()).into());
    }
    let first = flights.first().map_or_else(now, Flight::departure);
    clock::simulate(midnight(first));
    let size = size(options.size()?, alarms);
    let bring_up = |system: &Local, loaded: Loaded| match loaded {
        Loaded::Onnx(model) => {
            let mapping = options.mapping(&model.profile().id);
            system.add_model_with(Undelayed(*model), &mapping);
        }
        // A process and another server take real time, which the year does not wait for.
        other => options.bring_up(system, None, other),
    };
    let windows = Windows::Memory(MemoryWindows::default());
    let started = options.configure(SystemOptions::system(&data, windows, &size), bring_up).await?;
    started.warn();
    let system = started.system;
    say(introduction(flights.len(), &system))?;
    tokio::time::pause();

    let began = now();
    let mut year = Year { system, open: VecDeque::new(), calls: AtomicU64::new(0) };
    let mut month = Month::default();
    for together in flights.chunk_by(|a, b| a.departure() == b.departure()) {
        let [flight, ..] = together else { continue };
        year.report_until(flight.departure()).await?;
        if month.name != flight.month() {
            month.print()?;
            month = Month { name: flight.month().to_owned(), ..Month::default() };
        }
        sleep_until(flight.departure()).await;
        year.ask(together, &mut month).await?;
    }
    year.report_until(now() + DAY * 2).await?;
    month.print()?;
    if alarms {
        year.print_alarms(began).await?;
    }

    let Year { system, .. } = year;
    if !system.drain(DAY * 7).await {
        return Err("some records did not get into the archive".into());
    }
    system.stop().await;
    say(format_args!("\n{}", tables::guide(&archive, tables::BY_MONTH)))?;
    Ok(())
}

/// The usual size, but for what few requests an hour need.
fn size(usual: Size, alarms: bool) -> Size {
    let monitor = usual.monitor.filter(|_| alarms);
    let minute = Duration::from_mins(1);
    Size {
        // Windows are so long that each hour is one file.
        shards: 1,
        decoy: Mapping { maximum_batching_window: DAY, maximum_record_age: DAY * 7, ..usual.decoy },
        monitor: monitor.map(|usual| Mapping { maximum_batching_window: minute, ..usual }),
        ..usual
    }
}

fn introduction(count: usize, system: &Local) -> String {
    format!(
        "A year in virtual time: {count} flights, every second one out of New York in 2013,\n\
         each asked about at its scheduled departure (local time, taken as UTC) and scored by {} models.\n\
         What became of a day's flights is reported at noon of the next day.\n\
         Time is skipped where nothing happens, so no time that is measured here says anything.\n",
        system.models().len()
    )
}

/// An alarm and, below it, each of its subjects.
fn lines(alarm: &KeptAlarm) -> String {
    let KeptAlarm { alarm: name, over, subjects, begun_us, ended_us, .. } = alarm;
    let over = over.map_or_else(String::new, |over| format!(" over {}", over.as_str()));
    let ended = ended_us.map_or_else(|| "the end of the year".to_owned(), minute);
    let of_subject = |Subject { name, figures, begun_us }: &Subject| {
        let of = if name.is_empty() { String::new() } else { format!(" {name}") };
        format!("    {}{of}: {figures}\n", minute(*begun_us))
    };
    let subjects: String = subjects.iter().map(of_subject).collect();
    format!("  {} to {ended}: {name}{over}\n{subjects}", minute(*begun_us))
}

fn minute(at: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    at.format("%m-%d %H:%M").to_string()
}

/// The start of the day.
fn midnight(instant: Timestamp) -> Timestamp {
    let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(instant.as_micros().div_euclid(day) * day)
}

struct Year {
    system: Arc<Local>,
    /// Requests whose outcome is not reported yet, in the order in which it will be.
    open: VecDeque<Open>,
    /// How many calls were made.
    calls: AtomicU64,
}

struct Open {
    due: Timestamp,
    id: RequestId,
    late: bool,
}

/// What has been answered in a month.
#[derive(Default)]
struct Month {
    name: String,
    requests: u32,
    late: u32,
    by_champion: u32,
}

impl Month {
    fn print(&self) -> io::Result<()> {
        let Self { name, requests, late, by_champion } = self;
        if *requests == 0 {
            return Ok(());
        }
        let late = 100.0 * f64::from(*late) / f64::from(*requests);
        say(format_args!(
            "  {name}  {requests:>6} requests, {by_champion:>6} answered by the champion, {late:4.1} % late"
        ))
    }
}

impl Year {
    /// Prints the alarms since the beginning, the earliest first.
    async fn print_alarms(&self, began: Timestamp) -> Result<(), Error> {
        let mut alarms = alarms::kept(&*self.system.windows, &ENDPOINT.parse()?, began).await?;
        alarms.sort_by_key(|alarm| alarm.begun_us);
        let list: String = alarms.iter().map(lines).collect();
        Ok(say(format_args!("\nAlarms of the monitor: {}\n{list}", alarms.len()))?)
    }

    /// Asks about flights that leave at the same time.
    async fn ask(&mut self, flights: &[Flight<'_>], month: &mut Month) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Answer {
            request: RequestId,
            kind: Kind,
        }
        let path = format!("/v1/endpoints/{ENDPOINT}/requests");
        let calls = flights.iter().map(|f| self.call(Method::POST, &path, f.payload.get()));
        for (flight, answer) in flights.iter().zip(join_all(calls).await) {
            let answer: Answer = serde_json::from_str(&answer?)?;
            month.requests += 1;
            month.late += u32::from(flight.late);
            month.by_champion += u32::from(answer.kind == Kind::Champion);
            let due = midnight(flight.departure()) + REPORTED_AFTER;
            self.open.push_back(Open { due, id: answer.request, late: flight.late });
        }
        Ok(())
    }

    /// Reports, each at its time, what is due until then.
    async fn report_until(&mut self, until: Timestamp) -> Result<(), Error> {
        while let Some(Open { due, id, late }) = self.open.pop_front_if(|open| open.due <= until) {
            sleep_until(due).await;
            let path = format!("/v1/endpoints/{ENDPOINT}/requests/{id}/outcome");
            self.call(Method::PUT, &path, &format!("{{\"late\":{late}}}")).await?;
        }
        Ok(())
    }

    /// Calls the interface as API Gateway does: the clock is not paused while a socket is read.
    async fn call(&self, method: Method, path: &str, body: &str) -> Result<String, Error> {
        let mut event = ApiGatewayV2httpRequest::default();
        event.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        event.body = Some(body.to_owned());
        let context = &mut event.request_context;
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        context.request_id = Some(format!("call {number}"));
        context.stage = Some("$default".to_owned());
        context.time_epoch = now().as_micros() / 1_000;
        context.http.method = method;
        context.http.path = Some(path.to_owned());
        let ApiGatewayV2httpResponse { status_code, body, .. } = self.system.call(event).await;
        let text = match body {
            Some(Body::Text(text)) => text,
            _ => String::new(),
        };
        match status_code {
            200 | 204 => Ok(text),
            other => Err(format!("{path}: {other} {text}").into()),
        }
    }
}

/// A model whose thinking takes no virtual time.
///
/// A graph runs on a thread of its own. A paused clock jumps to the next timer while all tasks wait
/// for that thread, so the one thread of the runtime is blocked until the graph has run.
struct Undelayed<M>(M);

impl<M: Model> Model for Undelayed<M> {
    fn profile(&self) -> &Profile {
        self.0.profile()
    }

    fn largest_batch(&self) -> usize {
        self.0.largest_batch()
    }

    fn artifact(&self) -> Option<Artifact> {
        self.0.artifact()
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        futures_executor::block_on(self.0.score(payloads))
    }
}
