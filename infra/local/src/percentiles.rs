//! Percentiles of measured times.

use std::time::Duration;

use serde::Serialize;

/// Times, sorted when they are asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    micros: Vec<u32>,
}

/// In milliseconds, each the smallest measured time that so many do not exceed (nearest rank).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.micros.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.micros.extend(other.micros);
    }

    pub(crate) fn count(&self) -> usize {
        self.micros.len()
    }

    pub(crate) fn percentiles(mut self) -> Percentiles {
        self.micros.sort_unstable();
        let count = self.micros.len();
        let at = |per_mille: usize| {
            let rank = (count * per_mille).div_ceil(1_000).clamp(1, count.max(1));
            self.micros.get(rank - 1).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        Percentiles { p50: at(500), p95: at(950), p99: at(990), p99_9: at(999), max: at(1_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_times() {
        let mut times = Times::default();
        (1..=1_000).rev().for_each(|ms| times.add(Duration::from_millis(ms)));
        let p = times.percentiles();
        assert_eq!((p.p50, p.p95, p.p99, p.p99_9, p.max), (500.0, 950.0, 990.0, 999.0, 1_000.0));
        assert_eq!(Times::default().percentiles(), Percentiles::default());
    }
}
