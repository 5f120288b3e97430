//! A long run: one system for hours of virtual time, at a steady rate, while calls fail by chance.
//!
//! The witness of a shorter run keeps all that it sees. Here what clients are told is compared with the archive as it
//! is written, and forgotten half an hour later, so that memory does not grow with the length of the run.

mod accounts;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::Method;
use rendezvous_core::{
    memory::{MemoryEndpoints, MemorySecrets, MemoryWindows},
    ports::EndpointTable,
};
use serde_json::from_str;
use tokio::time::{Instant, sleep, sleep_until};

use self::accounts::{Accounts, Answer};
use super::{
    FREEZE, IDS, OVERDUE, PATIENCE, RETENTION,
    clients::{Message, REQUESTS, call},
    in_virtual_time, models, operator, size,
};
use crate::{Conditions, Size, System, fault::Shares, weather::Weather};

/// How long what a client was told of a request is kept. By then it is in the archive.
const KEPT: Duration = Duration::from_mins(30);

/// How many requests a second a shard is for. A model that scores one request at a time scores some 75 a second.
const RATE_OF_SHARD: f64 = 50.0;

/// How long windows of minutes are kept, and how many bytes there are for them for each request a second: at 1,000 a second
/// 64 MiB were full after some 50 minutes; this is twice as much for each hour.
const KEEP_WINDOWS: Duration = Duration::from_hours(3);
const WINDOWS_BYTES: f64 = 512.0 * 1024.0;

/// The part of an hour's answers that may come without the ledger or the input stream.
const MOST_UNSETTLED: f64 = 0.1;

/// How many records of each shard are retained: so many come again when a mapping starts over.
const RETAINED: usize = 1_000;

const MINUTE: Duration = Duration::from_mins(1);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Long {
    pub seed: u64,
    /// Requests a second.
    pub rate: f64,
    pub time: Duration,
    pub shares: Shares,
}

/// What came of it so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub virtual_time: Duration,
    pub requests: u64,
    /// Answers with a decision, and those of them that are not settled.
    pub answers: u64,
    pub unsettled: u64,
    /// Requests that are answered later.
    pub accepted: u64,
    /// Calls that were answered with an error, by its status.
    pub errors: BTreeMap<i64, u64>,
    /// Requests whose answers were found in the archive, and those that are still to be found there.
    pub compared: u64,
    pub open: u64,
    /// The arms at the end of the hour, each with its deadline and whether it has a fallback: without one, what no model has
    /// scored by then is an error.
    pub arms: Vec<String>,
    /// What is not as a client was told, the first of it.
    pub wrong: Vec<String>,
}

/// Runs it; `tell` hears each hour, and once at the end.
pub fn run(plan: Long, mut tell: impl FnMut(&Progress)) -> io::Result<Progress> {
    in_virtual_time(plan.seed, async {
        let run = Run::start(plan);
        run.ask(&mut tell).await;
        run.end().await;
        let progress = run.progress();
        tell(&progress);
        progress
    })
}

struct Run {
    plan: Long,
    system: System<Accounts>,
    weather: Arc<Weather>,
    began: Instant,
}

impl Run {
    fn start(plan: Long) -> Self {
        let weather = Arc::new(Weather::new(plan.shares.in_long_run()));
        let conditions = Conditions { weather: Some(weather.clone()), ..Conditions::default() };
        let mut size: Size = size(conditions);
        // Stored payloads are kept for ever.
        size.settings.inline_payload_bytes = size.settings.max_payload_bytes;
        size.mailboxes = 10_000 + count(plan.rate * 2.0 * RETENTION.as_secs_f64());
        size.keep_windows = KEEP_WINDOWS;
        let (endpoints, secrets) =
            (Arc::<MemoryEndpoints>::default(), Arc::new(MemorySecrets::random()));
        let windows = MemoryWindows::holding_at_most((64 << 20) + count(plan.rate * WINDOWS_BYTES));
        let (archive, payloads) = (Arc::default(), Arc::default());
        let system = System::start_on(archive, endpoints, secrets, windows.into(), payloads, &size);
        operator::spread(&system, count(plan.rate / RATE_OF_SHARD).max(size.shards));
        operator::retain(&system, RETAINED);
        models::start(&system, &weather);
        Self { plan, system, weather, began: Instant::now() }
    }

    /// Clients ask at the rate, and each hour there is another configuration.
    async fn ask(&self, tell: &mut impl FnMut(&Progress)) {
        let mut asked = FuturesUnordered::new();
        let (mut minutes, mut number, mut before) = (0, 0_u32, Progress::default());
        loop {
            let due = self.began + Duration::from_secs_f64(f64::from(number) / self.plan.rate);
            if due - self.began >= self.plan.time {
                break;
            }
            if due >= self.began + MINUTE * minutes {
                if minutes > 0 && minutes.is_multiple_of(60) {
                    before = self.each_hour(&before).await;
                    tell(&before);
                }
                self.each_minute(minutes).await;
                if !before.wrong.is_empty() {
                    break;
                }
                minutes += 1;
            }
            asked.push(self.ask_one(number));
            number += 1;
            let next = self.began + Duration::from_secs_f64(f64::from(number) / self.plan.rate);
            while tokio::select! {
                biased;
                () = sleep_until(next) => false,
                Some(()) = asked.next() => true,
            } {}
        }
        while asked.next().await.is_some() {}
    }

    async fn each_minute(&self, minute: u32) {
        self.system.archive.forget(KEPT);
        if minute.is_multiple_of(5) {
            self.weather.forget();
        }
        if minute.is_multiple_of(60) {
            operator::publish_in(&self.system.endpoints, &self.weather, minute / 60).await;
        }
    }

    /// The arms of the current configuration.
    async fn arms(&self) -> Option<Vec<String>> {
        let (name, table) = (operator::endpoint()?, &self.system.endpoints);
        let version = table.current(&name).await.ok()??;
        let endpoint = table.version(&name, version).await.ok()??;
        let described = endpoint.configuration.arms().map(|(arm, schedule)| {
            let fallback = if schedule.fallback().is_some() { "" } else { ", no fallback" };
            format!("{arm} ({} ms{fallback})", schedule.deadline().as_millis())
        });
        Some(described.collect())
    }

    /// How far it is after an hour, and that the system keeps up.
    async fn each_hour(&self, before: &Progress) -> Progress {
        let Progress { answers, unsettled, .. } = self.progress();
        let (answers, unsettled) = (answers - before.answers, unsettled - before.unsettled);
        if unsettled as f64 > MOST_UNSETTLED * answers as f64 {
            let what = format!("of the {answers} answers of an hour {unsettled} are not settled");
            self.system.archive.wrong(what);
        }
        Progress { arms: self.arms().await.unwrap_or_default(), ..self.progress() }
    }

    /// One client: it asks, some with a key and twice, some without waiting; it reads, and reports.
    async fn ask_one(&self, number: u32) {
        let draw = |about: &str| self.weather.draw((number, about));
        let key = format!("key-{number}");
        let headers: &[(&'static str, &str)] = match draw("kind") {
            ..0.2 => &[("prefer", "respond-async")],
            ..0.4 => &[("idempotency-key", &key)],
            _ => &[],
        };
        let body = format!("{{ \"n\": {number}, \"x\": [1.0e0] }}");
        let Some(answer) = self.send(number, "ask", headers, &body).await else { return };
        if headers.iter().any(|(name, _)| *name == "idempotency-key") {
            self.send(number, "ask again", headers, &body).await;
        }
        let path = format!("{REQUESTS}/{}", answer.request);
        if draw("reads") < 0.2 {
            sleep(Duration::from_secs(2)).await;
            let message = Message { method: &Method::GET, path: &path, headers: &[], body: "" };
            let (status, text) = self.call(number, "read", message).await;
            // Without a decision it says nothing that must stay.
            if status == 200 {
                self.hear(status, &text);
            }
        }
        if draw("reports") < 0.25 {
            let (path, body) = (format!("{path}/outcome"), "{\"late\": true }");
            let message = Message { method: &Method::PUT, path: &path, headers: &[], body };
            self.call(number, "report", message).await;
        }
    }

    async fn send(
        &self,
        number: u32,
        about: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let message = Message { method: &Method::POST, path: REQUESTS, headers, body };
        let (status, text) = self.call(number, about, message).await;
        self.hear(status, &text)
    }

    async fn call(&self, number: u32, about: &str, message: Message<'_>) -> (i64, String) {
        let user = usize::from(number.to_le_bytes()[0] % 4);
        call(&self.system, user, format!("{number} {about}"), message).await
    }

    fn hear(&self, status: i64, text: &str) -> Option<Answer> {
        let answer = from_str::<Answer>(text).ok();
        self.system.archive.told(status, answer.as_ref());
        answer
    }

    /// Nothing goes wrong any more, and everything is handled.
    async fn end(&self) {
        self.weather.calm_down();
        operator::retain(&self.system, 0);
        for model in IDS {
            if let Some(faults) = model.parse().ok().and_then(|id| self.system.faults(&id)) {
                faults.kill(false);
            }
        }
        sleep(FREEZE + OVERDUE).await;
        if !self.system.drain(PATIENCE).await {
            self.system.archive.wrong("not everything was handled in the end".to_owned());
        }
        self.system.stop().await;
        self.system.archive.forget(Duration::ZERO);
    }

    fn progress(&self) -> Progress {
        Progress { virtual_time: self.began.elapsed(), ..self.system.archive.progress() }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive, and small"
)]
fn count(number: f64) -> usize {
    number.ceil() as usize
}
