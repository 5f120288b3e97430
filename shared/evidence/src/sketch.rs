//! A mergeable sketch of the quantiles of numbers, with a proven bound of its rank error.
//!
//! **How.** The compactors of Karnin, Lang and Liberty 2016, "Optimal quantile approximation in
//! streams", FOCS. A value on level `h` stands for `2^h` values. A full level is sorted, and every
//! second value of it, the odd or the even ones by a coin, goes one level up. The two compactions
//! of a pair keep opposite ones (Ivkin, Liberty, Lang, Karnin and Braverman 2022, "Streaming quantiles
//! algorithms with small space and update time", Sensors 22 (24)), which halves the variance.
//!
//! **What is proven.** When a compaction happens depends on counts only, never on values, and a coin
//! changes only what is above its level. So, given the coins of the levels below, a pair of compactions
//! on level `h` changes the rank of a value by `-2^h`, 0 or `2^h` with the mean zero, independent of
//! all other pairs of its level. With `V` the sum of `4^h` over all pairs, begun ones included, the
//! error of the rank of one value exceeds `t` with a probability of at most `2 exp(-t² / 2V)`
//! (Hoeffding). `V` is counted where it arises and added up by [`Sketch::merge`], so that the bound
//! holds for any order and any grouping of merges. [`Sketch::rank_error`] is the bound for **all
//! values at once**: the union over both sides of a thousand quantiles, and a thousandth for the values
//! between them. Values that callers choose after having seen the coins are not covered.
//!
//! **Numbers.** Values are kept with the 24 significant bits of an `f32`; what is compared with them is
//! rounded like them. Least and greatest value and the count are exact. NaN is not counted. Infinities
//! are values like any other; -0 is 0.
//!
//! **Coins** come from a seed of the caller. Sketches that are merged must have different seeds, e.g. a
//! hash of what they belong to; otherwise their errors add up and do not cancel.
//!
//! **Size.** [`SIZE`] was chosen from this table, for a bound of about 1 %; `tests/sketch.rs` prints it, with more rows. Each is the worst of
//! 20 streams of random values, the bound at 99 %. `merged` are sketches of 600 values each, a minute at ten a second.
//!
//! | size | values | merged | bytes | proven bound | measured |
//! | ---: | ---: | --- | ---: | ---: | ---: |
//! | 64 | 36,000 | yes | 613 | 3.04 % | 1.57 % |
//! | 64 | 864,000 | no | 858 | 4.26 % | 2.15 % |
//! | 128 | 36,000 | yes | 1,055 | 1.78 % | 0.73 % |
//! | 128 | 864,000 | no | 1,286 | 2.24 % | 1.37 % |
//! | **256** | 600 | no | 912 | 0.92 % | 0.17 % |
//! | **256** | 36,000 | yes | 1,875 | 0.97 % | 0.44 % |
//! | **256** | 864,000 | yes | 2,078 | 1.04 % | 0.41 % |
//! | **256** | 864,000 | no | 2,143 | 1.15 % | 0.62 % |
//! | 400 | 36,000 | yes | 2,632 | 0.76 % | 0.35 % |
//! | 400 | 864,000 | no | 3,227 | 1.00 % | 0.48 % |
//!
//! **Why not a library.** `datasketches` 0.6 (Apache) takes its coins from a generator of the thread that
//! cannot be seeded, so that no simulation could be repeated, and states an error that is measured, not proven.
//! t-digests have no bound of the rank error, and histograms with a relative error of the value
//! (`DDSketch`) put all values of a model whose scores differ in the last digits into one cell.

#[cfg(test)]
mod tests;
mod wire;

use crate::{counts::add, interval::Confidence};

/// The size of a sketch where nobody says: about a third of the values that it keeps at most.
pub const SIZE: u16 = 256;
/// The smallest and the largest size.
pub const SIZES: std::ops::RangeInclusive<u16> = 16..=4_096;
/// More levels than any number of values needs.
const MAX_LEVELS: usize = 40;
/// Each level has room for this share of the one above it, and for a few values in any case.
const SHRINK: f64 = 2.0 / 3.0;
const LEAST_ROOM: usize = 8;
/// At how many quantiles the bound for all values is proven.
const NET: f64 = 1_000.0;

/// The distribution of numbers, in a few kilobytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    size: u16,
    /// The state of the generator of coins.
    coins: u64,
    count: u64,
    least: f64,
    greatest: f64,
    /// Level `h` holds values of the weight `2^h`, in any order.
    levels: Vec<Vec<f32>>,
    kept: usize,
    room: usize,
    /// Of each level a bit: whether one compaction of a pair has happened, and what it kept.
    begun: u64,
    kept_odd: u64,
    /// The sum of `4^h` over all pairs of compactions.
    variance: f64,
}

impl Sketch {
    pub fn new(seed: u64) -> Self {
        Self::of_size(SIZE, seed)
    }

    /// A sketch of another size; one outside of [`SIZES`] is the nearest in it.
    pub fn of_size(size: u16, seed: u64) -> Self {
        let size = size.clamp(*SIZES.start(), *SIZES.end());
        Self {
            size,
            coins: seed,
            count: 0,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
            levels: vec![Vec::new()],
            kept: 0,
            room: room(size, 1, 0),
            begun: 0,
            kept_odd: 0,
            variance: 0.0,
        }
    }

    /// Counts a value; NaN is not counted.
    pub fn push(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        self.least = self.least.min(x);
        self.greatest = self.greatest.max(x);
        self.count += 1;
        self.levels[0].push(rounded(x));
        self.kept += 1;
        if self.kept > self.room {
            self.compress();
        }
    }

    /// Counts the values of `other`, which has another seed.
    pub fn merge(&mut self, other: &Self) {
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        add(&mut self.count, other.count);
        self.variance += other.variance;
        while self.levels.len() < other.levels.len() {
            self.grow();
        }
        for (own, values) in self.levels.iter_mut().zip(&other.levels) {
            own.extend_from_slice(values);
        }
        self.kept += other.kept;
        self.compress();
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value, exactly; `None` without values.
    pub fn least(&self) -> Option<f64> {
        (self.count > 0).then_some(self.least)
    }

    /// The greatest value, exactly; `None` without values.
    pub fn greatest(&self) -> Option<f64> {
        (self.count > 0).then_some(self.greatest)
    }

    /// The share of the values that are at most `x`; `None` without values. Off by at most
    /// [`Sketch::rank_error`].
    pub fn share_up_to(&self, x: f64) -> Option<f64> {
        let x = rounded(x);
        let weights = self.levels.iter().enumerate().map(|(level, values)| {
            let up_to = values.iter().filter(|value| **value <= x).count() as u64;
            up_to << level
        });
        (self.count > 0).then(|| weights.sum::<u64>() as f64 / self.count as f64)
    }

    /// The smallest value that a share of at least `q` of the values does not exceed: for 0 and less
    /// the smallest, for 1 and more the greatest. `None` without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        match q {
            ..=0.0 => self.least(),
            1.0.. => self.greatest(),
            _ => self.steps().quantile(q),
        }
    }

    /// By how much the share of the values that are at most `x` is wrong at most, for all `x` at
    /// once, with this confidence. Zero as long as every value is kept.
    pub fn rank_error(&self, confidence: Confidence) -> f64 {
        if self.variance == 0.0 {
            return 0.0;
        }
        let exponent = (2.0 * NET / (1.0 - confidence.share())).ln();
        ((2.0 * self.variance * exponent).sqrt() / self.count as f64 + 1.0 / NET).min(1.0)
    }

    /// The values that are kept, in order: what figures of the distribution are computed from.
    pub fn steps(&self) -> Steps {
        let weighted = self.levels.iter().enumerate();
        let mut values: Vec<(f32, u64)> = weighted
            .flat_map(|(level, values)| values.iter().map(move |value| (*value, 1 << level)))
            .collect();
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut steps: Vec<(f64, u64)> = Vec::with_capacity(values.len());
        let mut total = 0;
        for (value, weight) in values {
            total += weight;
            let value = f64::from(value).clamp(self.least, self.greatest);
            match steps.last_mut() {
                Some(last) if last.0 >= value => last.1 = total,
                _ => steps.push((value, total)),
            }
        }
        Steps { steps, count: self.count }
    }

    /// Makes room: compacts the lowest level that is full, until there is room for one more value.
    fn compress(&mut self) {
        while self.kept > self.room {
            let levels = self.levels.len();
            let full = |level: &usize| {
                let kept = self.levels[*level].len();
                kept >= 2 && kept >= room_of(self.size, levels, *level)
            };
            let Some(level) = (0..levels).find(full) else { break };
            if level + 1 == levels {
                if levels == MAX_LEVELS {
                    break;
                }
                self.grow();
            }
            self.compact(level);
        }
    }

    fn grow(&mut self) {
        self.levels.push(Vec::new());
        self.room = room(self.size, self.levels.len(), 0);
    }

    /// Moves every second value of a level one level up; of an odd number one value stays.
    fn compact(&mut self, level: usize) {
        let odd = self.keeps_odd(level);
        let mut values = std::mem::take(&mut self.levels[level]);
        let stays = (values.len() % 2 == 1).then(|| values.pop()).flatten();
        values.sort_unstable_by(f32::total_cmp);
        self.kept -= values.len() / 2;
        self.levels[level + 1].extend(values.iter().skip(usize::from(odd)).step_by(2));
        // The memory is used again.
        values.clear();
        values.extend(stays);
        self.levels[level] = values;
    }

    /// Whether the next compaction of a level keeps the second of each two values.
    fn keeps_odd(&mut self, level: usize) -> bool {
        let bit = 1 << level;
        self.begun ^= bit;
        if self.begun & bit == 0 {
            return self.kept_odd & bit == 0;
        }
        self.variance += 4_f64.powf(level as f64);
        let odd = self.coin();
        self.kept_odd = if odd { self.kept_odd | bit } else { self.kept_odd & !bit };
        odd
    }

    /// `SplitMix64`: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA.
    fn coin(&mut self) -> bool {
        self.coins = self.coins.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.coins ^ (self.coins >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 1
    }
}

/// A distribution as a function that grows in steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// Each value, ascending, and how many values are at most it.
    steps: Vec<(f64, u64)>,
    count: u64,
}

impl Steps {
    /// Each value, and the share of the values that are at most it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (f64, f64)> {
        self.steps.iter().map(|(value, up_to)| (*value, *up_to as f64 / self.count as f64))
    }

    /// The smallest value that is kept and that a share of at least `q` of the values does not exceed.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = q * self.count as f64;
        let at = self.steps.partition_point(|(_, up_to)| (*up_to as f64) < wanted);
        self.steps.get(at).or(self.steps.last()).map(|(value, _)| *value)
    }

    /// The share of the values that are at most `x`; zero without values.
    pub fn share_up_to(&self, x: f64) -> f64 {
        let up_to = self.steps.partition_point(|(value, _)| *value <= x);
        let up_to = up_to.checked_sub(1).map_or(0, |at| self.steps[at].1);
        up_to as f64 / self.count.max(1) as f64
    }
}

/// As values are kept.
#[expect(clippy::cast_possible_truncation, reason = "this is the rounding that is meant")]
fn rounded(x: f64) -> f32 {
    // The sum makes 0 of -0.
    x as f32 + 0.0
}

/// How many values the levels from `lowest` on keep.
fn room(size: u16, levels: usize, lowest: usize) -> usize {
    (lowest..levels).map(|level| room_of(size, levels, level)).sum()
}

/// How many values of a level are enough to compact it. The highest level has the size of the sketch.
fn room_of(size: u16, levels: usize, level: usize) -> usize {
    let share = SHRINK.powf((levels - 1 - level) as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the size"
    )]
    let room = (f64::from(size) * share).ceil() as usize;
    room.max(LEAST_ROOM)
}
