//! One run: a small world, a function of its seed.

mod archive;
mod clients;
mod end;
pub mod long;
mod models;
mod operator;
mod ramps;

use std::{io, sync::Arc, time::Duration};

use rendezvous_core::{
    RequestMessage, Timestamp, clock,
    memory::{MemoryArchive, MemoryEndpoints, MemorySecrets, Position},
    random,
};
use rendezvous_ingress::Settings;
use tokio::{runtime::Builder, time::Instant};

use crate::{
    Conditions, Size, System, Trace,
    fault::{Fault, Shares},
    invariant::{Invariant, Violation},
    mapping::Mapping,
    tally::Tally,
    weather::Weather,
    witness::{Answers, Witness},
};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// How many requests clients make before the minutes in which arms are judged, repeats of a key not counted.
    pub requests: usize,
    pub shares: Shares,
    pub traced: bool,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests that the stream `input` has accepted, repeats included, and those that were decided.
    pub requests: u64,
    pub decided: u64,
    pub answers: Answers,
    pub tally: Tally,
    pub virtual_time: Duration,
    pub violations: Vec<Violation>,
    pub trace: Vec<String>,
}

/// When every run begins.
const START: Timestamp = Timestamp::from_micros(1_763_794_344_123_456);

/// The models that the configurations list.
const IDS: [&str; 4] = ["a@1", "b@1", "c@1", "d@1"];

/// How long the ledger keeps a mailbox. Longer than a record is delivered again.
const RETENTION: Duration = Duration::from_mins(12);

/// How early ingress settles before the deadline.
const MARGIN: Duration = Duration::from_millis(25);

/// Within how long after its deadline a request with a mailbox is decided, and how long the longest freeze
/// lasts.
const OVERDUE: Duration = Duration::from_mins(3);
const FREEZE: Duration = Duration::from_mins(4);

/// How long it may take until everything is handled once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_hours(2);

/// What the parts of a run share.
struct World {
    plan: Plan,
    system: System<MemoryArchive>,
    weather: Arc<Weather>,
    witness: Arc<Witness>,
}

/// Runs a plan on a thread of its own clock.
pub fn run(plan: Plan) -> Report {
    let report = in_virtual_time(plan.seed, async {
        let start = Instant::now();
        let trace = plan.traced.then(Arc::<Trace>::default);
        let world = World::new(plan, trace.as_ref());
        world.live().await;
        let virtual_time = start.elapsed();
        let World { weather, witness, system, .. } = world;
        drop(system);
        let report = Report {
            requests: u64::try_from(witness.requests()).unwrap_or(0),
            decided: u64::try_from(witness.decisions().len()).unwrap_or(0),
            answers: witness.answers(),
            tally: Tally::default(),
            virtual_time,
            violations: witness.violations(),
            trace: trace.map(|trace| trace.lines()).unwrap_or_default(),
        };
        report.tally.add(weather.tally());
        report
    });
    report.unwrap_or_else(|error| {
        let what = format!("there is no runtime: {error}");
        let violation = Violation { invariant: Invariant::Readable, request: None, what };
        Report { violations: vec![violation], ..Report::default() }
    })
}

/// Does what a seed determines, on a clock of its own.
fn in_virtual_time<T>(seed: u64, work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let _seed = random::seed(seed);
    Ok(runtime.block_on(async {
        clock::simulate(START);
        work.await
    }))
}

/// The size of a system under these conditions.
fn size(conditions: Conditions) -> Size {
    Size {
        shards: 2,
        mailboxes: 1_000_000,
        settings: Settings {
            margin: MARGIN,
            max_payload_bytes: 64 * 1024,
            // Some payloads of the clients are larger.
            inline_payload_bytes: 64,
            ledger_retention: RETENTION,
            in_flight: 2_000,
        },
        decoy: Mapping {
            maximum_batching_window: Duration::from_mins(5),
            function_timeout: Duration::from_mins(1),
            starting_position: Position::TrimHorizon,
            ..Size::default().decoy
        },
        monitor: Size::default().monitor.map(|mapping| Mapping {
            maximum_batching_window: Duration::from_mins(1),
            function_timeout: Duration::from_mins(1),
            ..mapping
        }),
        conditions,
        ..Size::default()
    }
}

impl World {
    fn new(plan: Plan, trace: Option<&Arc<Trace>>) -> Self {
        let weather = Arc::new(Weather::new(plan.shares));
        let witness = Arc::new(Witness::new(RETENTION));
        let conditions = Conditions {
            trace: trace.cloned(),
            weather: Some(weather.clone()),
            witness: Some(witness.clone()),
        };
        let size = size(conditions);
        let (endpoints, secrets) = (Arc::<MemoryEndpoints>::default(), MemorySecrets::random());
        let (archive, windows, payloads) = (Arc::default(), Arc::default(), Arc::default());
        let secrets = Arc::new(secrets);
        let system = System::start_on(archive, endpoints, secrets, windows, payloads, &size);
        Self { plan, system, weather, witness }
    }

    /// Clients ask while things go wrong; in the end everything is handled and checked.
    async fn live(&self) {
        operator::retain(&self.system, usize::MAX);
        operator::publish(self, 0).await;
        models::start(&self.system, &self.weather);
        let (asked, ..) = tokio::join!(
            clients::all(self, 0),
            operator::outages(self),
            operator::publications(self),
            operator::reshards(self),
            models::silences(self)
        );
        if self.draw("expiry") < self.plan.shares.of(Fault::Expiry) {
            tokio::time::sleep(RETENTION + Duration::from_mins(1)).await;
            clients::read_expired(self, &asked).await;
            clients::all(self, 1).await;
        }
        ramps::judged(self).await;
        self.weather.calm_down();
        operator::retain(&self.system, 0);
        for model in IDS {
            models::kill(self, model, false);
        }
        tokio::time::sleep(FREEZE + OVERDUE).await;
        rendezvous_core::mutation::unmutated(|| {
            end::check_overdue(self);
            ramps::check(self);
        });
        if !self.system.drain(PATIENCE).await {
            let what = "not everything was handled in the end".to_owned();
            let violation = Violation { invariant: Invariant::Readable, request: None, what };
            return self.witness.report(violation);
        }
        self.system.stop().await;
        rendezvous_core::mutation::unmutated(|| {
            let messages = self.witness.messages();
            let (input, scores) = (messages.input.iter(), &messages.scores);
            let requests: Vec<_> =
                input.filter_map(|data| RequestMessage::parse(data).ok()).collect();
            end::check(self, &requests, scores);
            archive::check(self, &requests, scores);
        });
    }

    /// A draw in [0, 1) about something that happens once in a run.
    fn draw(&self, about: impl std::hash::Hash) -> f64 {
        self.weather.draw(about)
    }

    /// Whether a fault of the whole run happens in this one.
    fn has(&self, fault: Fault) -> bool {
        self.plan.shares.of(fault) > 0.0
    }
}

/// A share of a duration.
fn part(of: Duration, share: f64) -> Duration {
    of.mul_f64(share)
}
