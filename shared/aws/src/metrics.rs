//! Metrics as lines of CloudWatch's embedded metric format: what a function prints, CloudWatch
//! counts. Nothing is called, nothing waits.

use std::time::Duration;

use metrique::{
    CloseValue, InflectableEntry, RootEntry,
    emf::Emf,
    writer::{
        MetricFlags, Observation, Unit, Value, ValueWriter, format::Format,
        unit::{self, UnitTag},
    },
};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Rendezvous";

/// "The metric value ... array ... must not have more than 100 members."
const MAX_VALUES: usize = 100;

/// The line that `entry` is.
pub fn line<E: InflectableEntry>(entry: impl CloseValue<Closed = E>) -> Vec<u8> {
    let mut line = Vec::with_capacity(1_024);
    let mut format = Emf::all_validations(NAMESPACE.to_owned(), vec![vec![]]);
    if let Err(error) = format.format(&RootEntry::new(entry.close()), &mut line) {
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
