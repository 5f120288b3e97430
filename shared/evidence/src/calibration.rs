//! Whether what happens is as frequent as the values say.

use serde::Serialize;

/// How many bins of equal width the values are divided into.
const BINS: usize = 10;

/// The requests whose value is in a bin: the mean of the values beside the mean of the outcomes. Of a
/// calibrated model the two are equal, up to chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Values at or above it are in the bin, up to `to`.
    pub from: f64,
    pub to: f64,
    pub requests: u64,
    pub value: f64,
    pub outcome: f64,
}

/// Counts the values and the outcomes of one model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calibration([Counted; BINS]);

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    requests: u64,
    values: f64,
    outcomes: f64,
}

impl Calibration {
    /// Counts a request: both numbers are between 0 and 1.
    pub(crate) fn push(&mut self, value: f64, outcome: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of bins"
        )]
        let bin = ((value * BINS as f64) as usize).min(BINS - 1);
        let Counted { requests, values, outcomes } = &mut self.0[bin];
        *requests += 1;
        *values += value;
        *outcomes += outcome;
    }

    /// The bins that have requests.
    pub(crate) fn bins(&self) -> Vec<Bin> {
        let bin = |(i, counted): (usize, &Counted)| {
            let Counted { requests, values, outcomes } = *counted;
            let share = |number: usize| number as f64 / BINS as f64;
            let mean = |sum: f64| sum / requests as f64;
            Bin {
                from: share(i),
                to: share(i + 1),
                requests,
                value: mean(values),
                outcome: mean(outcomes),
            }
        };
        self.0.iter().enumerate().filter(|(_, counted)| counted.requests > 0).map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bin_has_the_means_of_its_own_requests() {
        let mut calibration = Calibration::default();
        for (value, outcome) in [(0.0, 0.0), (0.125, 1.0), (0.1875, 0.0), (1.0, 1.0)] {
            calibration.push(value, outcome);
        }
        let bins = calibration.bins();
        let figures: Vec<_> =
            bins.iter().map(|bin| (bin.requests, bin.value, bin.outcome)).collect();
        assert_eq!(figures, [(1, 0.0, 0.0), (2, 0.15625, 0.5), (1, 1.0, 1.0)]);
        assert_eq!((bins[1].from, bins[1].to, bins[2].from), (0.1, 0.2, 0.9));
    }
}
