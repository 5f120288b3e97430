//! Metrics as lines of CloudWatch's embedded metric format: a function prints them, CloudWatch
//! extracts them from the log. No call is made.

mod bursts;

use std::{
    io::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrique::{
    CloseValue, InflectableEntry, RootEntry,
    emf::{Emf, EmfBuilder, MetricDefinition, MetricDirective},
    writer::{
        MetricFlags, Observation, Unit, Value, ValueWriter,
        format::Format,
        unit::{self, UnitTag},
    },
};
use rendezvous_core::now;

use self::bursts::{Bursts, MAX_VALUES};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Rendezvous";

/// The lines of this process, as there is one standard output.
static BURSTS: Mutex<Bursts> = Mutex::new(Bursts::new());

/// Whether lines may be held.
static HOLDS: AtomicBool = AtomicBool::new(false);

/// The line that `entry` is.
pub fn line<E: InflectableEntry>(entry: impl CloseValue<Closed = E>) -> Vec<u8> {
    write(Emf::builder(NAMESPACE.to_owned(), vec![vec![]]), entry)
}

/// The same, with one of its counts under further sets of `dimensions`. Each combination of dimensions is
/// billed as a metric of its own, so that only metrics that are used get them.
pub fn line_with<E: InflectableEntry>(
    entry: impl CloseValue<Closed = E>,
    count: &str,
    dimensions: Vec<Vec<&str>>,
) -> Vec<u8> {
    let metric = MetricDefinition { name: count, unit: Unit::None, storage_resolution: None };
    let directive = MetricDirective { dimensions, metrics: vec![metric], namespace: NAMESPACE };
    write(Emf::builder(NAMESPACE.to_owned(), vec![vec![]]).directive(directive), entry)
}

/// Prints a line of metrics to standard output, from where Lambda sends it to CloudWatch. Where the
/// end of the process is announced, the lines of a burst of invocations are joined.
pub fn print(line: &[u8]) {
    if HOLDS.load(Ordering::Relaxed) {
        let mut bursts = BURSTS.lock().unwrap_or_else(PoisonError::into_inner);
        write_out(&bursts.add(line, now()));
    } else {
        write_out(line);
    }
}

/// Joins the lines of bursts from now on. Whoever calls this calls [`flush`] before the process ends.
pub(crate) fn hold() {
    HOLDS.store(true, Ordering::Relaxed);
}

/// Prints the lines that are held.
pub(crate) fn flush() {
    write_out(&BURSTS.lock().unwrap_or_else(PoisonError::into_inner).flush());
}

fn write_out(lines: &[u8]) {
    if let Err(error) = std::io::stdout().lock().write_all(lines) {
        tracing::error!(%error, "metrics cannot be printed");
    }
}

fn write<E: InflectableEntry>(format: EmfBuilder, entry: impl CloseValue<Closed = E>) -> Vec<u8> {
    let mut line = Vec::with_capacity(1_024);
    if let Err(error) = format.build().format(&RootEntry::new(entry.close()), &mut line) {
        tracing::error!(%error, "a line of metrics cannot be written");
    }
    line
}

/// How long several things took, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Millis(pub Vec<Duration>);

impl Value for Millis {
    const UNIT: Unit = unit::Millisecond::UNIT;

    fn write(&self, writer: impl ValueWriter) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // Neighbours are counted together where there are too many.
        let together = sorted.len().div_ceil(MAX_VALUES).max(1);
        let observations = sorted.chunks(together).map(|chunk| Observation::Repeated {
            total: chunk.iter().map(Duration::as_secs_f64).sum::<f64>() * 1_000.0,
            occurrences: chunk.len() as u64,
        });
        writer.metric(observations, Self::UNIT, [], MetricFlags::empty());
    }
}

impl CloseValue for Millis {
    type Closed = Self;

    fn close(self) -> Self {
        self
    }
}
