//! Quantiles of times in constant memory.

use std::time::Duration;

/// A histogram of times whose cells grow with the time: up to 2.048 ms each microsecond has a cell, above
/// that each power of two is divided into 1,024. So a quantile is at most 0.1 % too small, and never too
/// large.
#[derive(Clone, Debug, Default)]
pub struct Times {
    cells: Vec<u64>,
    count: u64,
}

/// Powers of two below that are counted exactly, less one.
const BITS: u32 = 10;

impl Times {
    pub fn add(&mut self, time: Duration) {
        let cell = cell(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if cell >= self.cells.len() {
            self.cells.resize(cell + 1, 0);
        }
        self.cells[cell] += 1;
        self.count += 1;
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest time that a share of at least `q` of them does not exceed (nearest rank); zero where
    /// there is none.
    pub fn quantile(&self, q: f64) -> Duration {
        let (mut below, wanted) = (0, q * self.count as f64);
        let reached = self.cells.iter().position(|count| {
            below += count;
            below > 0 && below as f64 >= wanted
        });
        Duration::from_micros(reached.map_or(0, least))
    }
}

fn cell(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(BITS + 1);
    let cell = (u64::from(shift) << BITS) + (micros >> shift);
    usize::try_from(cell).unwrap_or(usize::MAX)
}

/// The least time in a cell.
fn least(cell: usize) -> u64 {
    let cell = cell as u64;
    let shift = (cell >> BITS).saturating_sub(1);
    (cell - (shift << BITS)) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_at_most_a_thousandth_wide() {
        for micros in (0..5_000).chain((1..50).map(|i| i * 17_999_999)).chain([u64::MAX >> 1]) {
            let least = least(cell(micros));
            assert!(least <= micros && micros - least <= micros / 1_024, "{micros}: {least}");
            assert!(micros >= 2_048 || least == micros, "{micros}: {least}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_nearest_rank() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for micros in (1..=1_000).rev() {
            times.add(Duration::from_micros(micros));
        }
        let quantiles = [0.0, 0.5, 0.95, 0.999, 1.0].map(|q| times.quantile(q).as_micros());
        assert_eq!(quantiles, [1, 500, 950, 999, 1_000]);
        assert_eq!(times.count(), 1_000);
    }
}
