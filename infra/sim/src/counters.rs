//! Telemetry in one process: what every function has reported, added up.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rendezvous::RendezvousReport;
use rendezvous_core::{EndpointName, ModelId, ports::Telemetry};
use rendezvous_decoy::DecoyReport;
use rendezvous_ingress::IngressReport;
use rendezvous_model::ModelReport;
use rendezvous_monitor::MonitorReport;

/// The sums of all reports.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Totals>);

/// What was counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub ingress: IngressTotals,
    pub rendezvous: RendezvousTotals,
    pub models: BTreeMap<ModelId, ModelTotals>,
    pub decoy: DecoyTotals,
    pub monitor: MonitorTotals,
}

#[derive(Clone, Debug, Default)]
pub struct IngressTotals {
    /// Calls answered with a decision, by kind.
    pub answers: BTreeMap<&'static str, u64>,
    /// Of those, answers that left more than 5 ms after their deadline.
    pub late: u64,
    /// Of those, answers whose commit was not confirmed.
    pub unsettled: u64,
    /// Answers to repeats of an idempotency key.
    pub repeats: u64,
    /// Calls refused with a status of 400 to 499.
    pub refused: u64,
    /// Calls that ended with a status of 500 or more.
    pub unanswered: u64,
}

#[derive(Clone, Debug, Default)]
pub struct RendezvousTotals {
    pub scores: u64,
    pub unreadable: u64,
    pub expired: u64,
    pub settled: u64,
    /// Scores that were handed over again.
    pub again: u64,
    pub longest_lag: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct ModelTotals {
    pub scored: u64,
    /// Failures of every kind but `expired`.
    pub failed: u64,
    pub expired: u64,
    pub unsent: u64,
    pub longest_lag: Duration,
    /// Of the last batch that had requests to score, none was scored, and not because of the payloads.
    pub failing: bool,
}

#[derive(Clone, Debug, Default)]
pub struct DecoyTotals {
    pub rows: u64,
    pub quarantined: u64,
    pub files: u64,
    pub bytes: u64,
    pub longest_lag: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct MonitorTotals {
    /// Requests that were listed, because a batch has left them without a decision.
    pub listed: u64,
    /// Overdue requests that were decided.
    pub settled: u64,
    /// Partial windows that were written.
    pub windows: u64,
    /// Configurations that were published.
    pub published: u64,
    /// How long after its deadline one was decided, at most.
    pub latest: Duration,
    /// By endpoint and name: those that are active after the last minute, and how many have begun.
    pub alarms: BTreeMap<(EndpointName, String), (usize, u64)>,
}

impl Counters {
    /// The totals so far.
    pub fn totals(&self) -> Totals {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, count: impl FnOnce(&mut Totals)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A line for each function, two spaces in, for people.
impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ingress, rendezvous, models, decoy, monitor } = self;
        let lines = [("ingress", ingress.to_string()), ("rendezvous", rendezvous.to_string())];
        let models = models.iter().map(|(id, model)| (id.as_str(), model.to_string()));
        for (function, counts) in lines.into_iter().chain(models) {
            writeln!(f, "  {function:14}{counts}")?;
        }
        writeln!(f, "  {:14}{decoy}", "decoy")?;
        writeln!(f, "  {:14}{monitor}", "monitor")
    }
}

impl Display for IngressTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, late, unsettled, repeats, refused, unanswered } = self;
        let answered: u64 = answers.values().sum();
        let kinds: Vec<String> = answers.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let kinds =
            if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        write!(
            f,
            "{answered} answers{kinds}, {late} late, {unsettled} unsettled, {repeats} repeats, \
             {refused} refused, {unanswered} without an answer"
        )
    }
}

impl Display for RendezvousTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scores, unreadable, expired, settled, again, longest_lag } = self;
        write!(
            f,
            "{scores} scores, {settled} requests settled, {expired} scores expired, {again} \
             redelivered, {unreadable} unreadable, {}",
            Lag(*longest_lag)
        )
    }
}

impl Display for ModelTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scored, failed, expired, unsent, longest_lag, failing: _ } = self;
        let lag = Lag(*longest_lag);
        write!(f, "{scored} scored, {failed} failed, {expired} expired, {unsent} not sent, {lag}")
    }
}

impl Display for DecoyTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, quarantined, files, bytes, longest_lag } = self;
        write!(
            f,
            "{rows} rows in {files} files ({} KB), {quarantined} in quarantine, {}",
            bytes.div_ceil(1_000),
            Lag(*longest_lag)
        )
    }
}

impl Display for MonitorTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listed, settled, windows, published, latest: _, alarms } = self;
        let alarms: u64 = alarms.values().map(|(_, begun)| begun).sum();
        write!(
            f,
            "{listed} requests listed, {settled} overdue requests settled, {windows} windows, \
             {published} versions published, {alarms} alarms"
        )
    }
}

/// How far behind its stream a function was at most.
struct Lag(Duration);

impl Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} ms behind", self.0.as_millis())
    }
}

impl Telemetry<IngressReport> for Counters {
    fn record(&self, report: &IngressReport) {
        self.add(|Totals { ingress, .. }| {
            match &report.answered {
                Some(answered) if answered.repeat => ingress.repeats += 1,
                Some(answered) => {
                    *ingress.answers.entry(answered.kind.as_str()).or_default() += 1;
                    ingress.late += u64::from(answered.late());
                    ingress.unsettled += u64::from(!answered.settled);
                }
                None => {}
            }
            ingress.refused += u64::from((400..500).contains(&report.status));
            ingress.unanswered += u64::from(report.status >= 500);
        });
    }
}

impl Telemetry<RendezvousReport> for Counters {
    fn record(&self, report: &RendezvousReport) {
        self.add(|Totals { rendezvous, .. }| {
            rendezvous.scores += u64_of(report.scores);
            rendezvous.unreadable += u64_of(report.unreadable);
            rendezvous.expired += u64_of(report.expired);
            rendezvous.settled += u64_of(report.settled);
            rendezvous.again += u64_of(report.again);
            rendezvous.longest_lag = rendezvous.longest_lag.max(report.lag);
        });
    }
}

impl Telemetry<DecoyReport> for Counters {
    fn record(&self, report: &DecoyReport) {
        self.add(|Totals { decoy, .. }| {
            decoy.rows += u64_of(report.rows);
            decoy.quarantined += u64_of(report.quarantined);
            decoy.files += u64_of(report.files);
            decoy.bytes += u64_of(report.bytes);
            decoy.longest_lag = decoy.longest_lag.max(report.lag);
        });
    }
}

impl Telemetry<MonitorReport> for Counters {
    fn record(&self, report: &MonitorReport) {
        self.add(|Totals { monitor, .. }| {
            monitor.listed += u64_of(report.listed);
            monitor.settled += u64_of(report.settled);
            monitor.windows += u64_of(report.windows);
            monitor.published += u64_of(report.published);
            monitor.latest = monitor.latest.max(report.latest);
            if report.source == "minute" {
                monitor.alarms.values_mut().for_each(|(active, _)| *active = 0);
            }
            for (key, counts) in &report.alarms {
                let (active, begun) = monitor.alarms.entry(key.clone()).or_default();
                (*active, *begun) = (counts.active, *begun + u64_of(counts.begun));
            }
        });
    }
}

impl Telemetry<ModelReport> for Counters {
    fn record(&self, report: &ModelReport) {
        self.add(|Totals { models, .. }| {
            let model = models.entry(report.model.clone()).or_default();
            model.scored += u64_of(report.scored);
            model.failed += u64_of(report.failed + report.timed_out + report.invalid);
            model.expired += u64_of(report.expired);
            model.unsent += u64_of(report.unsent);
            model.longest_lag = model.longest_lag.max(report.lag);
            if report.scored + report.failed + report.timed_out > 0 {
                model.failing = report.scored == 0;
            }
        });
    }
}
