//! `demo --year`: every flight of the sample at its own time of 2013, on a clock that is simulated.
//!
//! Time without events is skipped: tokio's paused clock jumps to the next timer when all tasks wait.
//! The year takes as long as its requests do. Without the monitor no month depends on the one before it, so each
//! processor plays some of them.

use std::{
    collections::VecDeque,
    fs, io,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
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
use rendezvous_folder::DataFolder;
use rendezvous_local_system::{self as local, Local, Windows};
use rendezvous_model::{Model, Profile};
use rendezvous_monitor::alarms::{self, KeptAlarm, Subject};
use rendezvous_onnx::on_compute_thread;
use rendezvous_sim::{Size, mapping::Mapping};
use serde::Deserialize;
use tokio::runtime::Builder;

use crate::{
    cards::Loaded,
    flights::{ENDPOINT, Flight, Flights},
    options::{Started, SystemOptions},
    say::{Error, say},
    tables,
};

const DAY: Duration = Duration::from_hours(24);

/// When the outcomes of a day's flights are reported: at noon of the next day, after the last of them
/// has landed. The data does not say when each landed.
const REPORTED_AFTER: Duration = Duration::from_hours(36);

/// Plays the year; with `alarms` the monitor looks at every minute of it.
///
/// Waits for threads of its own, on which time is paused.
pub(crate) fn play(options: &SystemOptions, alarms: bool) -> Result<(), Error> {
    let flights = Flights::read(&crate::flights::folder())?;
    let flights = flights.all()?;
    let data = options.rehearsal_data()?;
    let archive = data.archive();
    if fs::read_dir(&archive)?.next().is_some() {
        return Err(format!("{}: it must be empty", archive.display()).into());
    }
    let count = if alarms { 1 } else { thread::available_parallelism().map_or(1, NonZero::get) };
    // The endpoint is published before several systems read it.
    on_thread(|| async {
        introduce(&start(options, &data, &flights, alarms).await?, flights.len())
    })?;
    thread::scope(|scope| {
        let parts: Vec<_> = parts(&flights, count)
            .into_iter()
            .map(|part| {
                let (told, months) = mpsc::channel();
                let data = &data;
                let play = move || on_thread(|| play_part(options, data, part, alarms, told));
                (months, scope.spawn(play))
            })
            .collect();
        for (months, thread) in parts {
            // Ends when the part does.
            months.iter().try_for_each(|month| month.print())?;
            thread.join().map_err(|_| "the year was not played to its end")??;
        }
        Ok::<_, Error>(())
    })?;
    say(format_args!("\n{}", tables::guide(&archive, tables::BY_MONTH)))?;
    Ok(())
}

/// Runs a task on this thread, with a clock that can be paused, and graphs in place.
fn on_thread<F: Future<Output = Result<(), Error>>>(
    task: impl FnOnce() -> F + Send,
) -> Result<(), Error> {
    on_compute_thread(|| Builder::new_current_thread().enable_all().build()?.block_on(task()))
}

/// About so many parts of about the same size, of whole months.
fn parts<'a, 'f>(flights: &'a [Flight<'f>], count: usize) -> Vec<&'a [Flight<'f>]> {
    let size = flights.len().div_ceil(count.max(1));
    let mut parts: Vec<&[Flight<'_>]> = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for month in flights.chunk_by(|a, b| a.month() == b.month()) {
        end += month.len();
        if end - start + month.len() / 2 >= size {
            parts.push(&flights[start..end]);
            start = end;
        }
    }
    parts.extend(Some(&flights[start..]).filter(|rest| !rest.is_empty()));
    parts
}

/// The system that plays these flights. From here on it is the midnight before the first of them.
async fn start(
    options: &SystemOptions,
    data: &DataFolder,
    flights: &[Flight<'_>],
    alarms: bool,
) -> Result<Started, Error> {
    clock::simulate(midnight(flights.first().map_or_else(now, Flight::departure)));
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
    options.configure(local::start(data, windows, &size), bring_up).await
}

/// Prints what follows, and the warnings.
fn introduce(started: &Started, count: usize) -> Result<(), Error> {
    started.warn();
    Ok(say(introduction(count, &started.system))?)
}

/// Plays some flights, and tells of each month when it is over.
async fn play_part(
    options: &SystemOptions,
    data: &DataFolder,
    flights: &[Flight<'_>],
    alarms: bool,
    told: mpsc::Sender<Month>,
) -> Result<(), Error> {
    let system = start(options, data, flights, alarms).await?.system;
    tokio::time::pause();

    let began = now();
    let mut year = Year { system, open: VecDeque::new(), calls: AtomicU64::new(0) };
    for of_month in flights.chunk_by(|a, b| a.month() == b.month()) {
        let name = of_month.first().map_or("", Flight::month).to_owned();
        let mut month = Month { name, ..Month::default() };
        for together in of_month.chunk_by(|a, b| a.departure() == b.departure()) {
            let Some(departure) = together.first().map(Flight::departure) else { continue };
            year.report_until(departure).await?;
            sleep_until(departure).await;
            year.ask(together, &mut month).await?;
        }
        if told.send(month).is_err() {
            // Nobody listens any more: the months cannot be printed, or another part has failed.
            return Ok(());
        }
    }
    year.report_until(now() + DAY * 2).await?;
    if alarms {
        year.print_alarms(began).await?;
    }

    let Year { system, .. } = year;
    if !system.drain(DAY * 7).await {
        return Err("some records did not get into the archive".into());
    }
    system.stop().await;
    Ok(())
}

/// The usual size, but for what few requests an hour need.
fn size(usual: Size, alarms: bool) -> Size {
    let monitor = usual.monitor.filter(|_| alarms);
    let minute = Duration::from_mins(1);
    Size {
        // Windows are so long that each hour is one file.
        shards: 1,
        decoy: Mapping { maximum_batching_window: DAY, ..usual.decoy },
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
        let ApiGatewayV2httpResponse { status_code, body, .. } =
            local::call(&self.system, event).await;
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
/// A graph that has not shown itself quick runs on a thread of its own. A paused clock jumps to the next timer while
/// all tasks wait for that thread, so the one thread of the runtime is blocked until the graph has run.
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
