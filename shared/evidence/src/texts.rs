//! The most frequent texts of a stream, in bounded memory.
//!
//! The summary of Misra and Gries 1982, "Finding repeated elements", Science of Computer Programming 2, in the
//! mergeable form of Agarwal, Cormode, Huang, Phillips, Wei and Yi 2013, "Mergeable summaries", ACM Transactions on
//! Database Systems 38 (4). A count is never too high, and too low by at most [`Texts::error`], which
//! is at most the number of texts divided by [`KEPT`] + 1, in any order and grouping of merges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many different texts are counted.
pub const KEPT: usize = 32;
/// Of a longer text only the beginning counts, in characters.
pub const MAX_CHARS: usize = 64;

/// Counts of the most frequent texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    counts: BTreeMap<String, u64>,
    total: u64,
    /// By how much a count is too low at most.
    error: u64,
}

impl Texts {
    /// Counts a text.
    pub fn push(&mut self, text: &str) {
        let text = text.char_indices().nth(MAX_CHARS).map_or(text, |(end, _)| &text[..end]);
        self.total += 1;
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else {
            self.counts.insert(text.to_owned(), 1);
            self.shrink();
        }
    }

    /// Counts the texts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.error = self.error.saturating_add(other.error);
        for (text, count) in &other.counts {
            let own = self.counts.entry(text.clone()).or_default();
            *own = own.saturating_add(*count);
        }
        self.shrink();
    }

    /// Takes the count of the most frequent text that finds no place from all counts. Each such unit is
    /// taken from more than [`KEPT`] texts, which bounds the sum of all.
    fn shrink(&mut self) {
        if self.counts.len() <= KEPT {
            return;
        }
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let (_, taken, _) = counts.select_nth_unstable_by(KEPT, |a, b| b.cmp(a));
        let taken = *taken;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(taken);
            *count > 0
        });
        self.error = self.error.saturating_add(taken);
    }

    /// How many texts were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// By how much each count is too low at most; also the highest count of a text that is not listed.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// The texts that are counted, by name, and how often each occurred at least.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(text, count)| (text.as_str(), *count))
    }

    /// How often a text occurred at least.
    pub fn count(&self, text: &str) -> u64 {
        self.counts.get(text).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_different_texts_are_counted_exactly() {
        let mut texts = Texts::default();
        (0..1_000).for_each(|i| texts.push(["WN", "DL", "WN", "AA"][i % 4]));
        assert_eq!(texts.iter().collect::<Vec<_>>(), [("AA", 250), ("DL", 250), ("WN", 500)]);
        assert_eq!((texts.error(), texts.total(), texts.count("ZZ")), (0, 1_000, 0));
    }

    #[test]
    fn merged_in_any_order_no_count_is_off_by_more_than_is_stated() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..50 {
            let mut exact: BTreeMap<String, u64> = BTreeMap::new();
            let mut parts = vec![Texts::default(); random.usize(1..20)];
            for _ in 0..5_000 {
                // Squared, so that some are frequent.
                let text = format!("{}", (random.f64().powi(3) * 300.0).floor());
                *exact.entry(text.clone()).or_default() += 1;
                let at = random.usize(..parts.len());
                parts[at].push(&text);
            }
            while parts.len() > 1 {
                let other = parts.swap_remove(random.usize(..parts.len()));
                let at = random.usize(..parts.len());
                parts[at].merge(&other);
            }
            let texts = &parts[0];
            assert!(texts.error() <= 5_000 / (KEPT as u64 + 1) && texts.iter().count() <= KEPT);
            for (text, exact) in exact {
                let count = texts.count(&text);
                assert!(
                    count <= exact && exact <= count + texts.error(),
                    "{text}: {count} {exact}"
                );
            }
        }
    }

    #[test]
    fn of_a_long_text_the_beginning_counts() {
        let mut texts = Texts::default();
        texts.push(&"ä".repeat(MAX_CHARS));
        texts.push(&"ä".repeat(MAX_CHARS + 1));
        assert_eq!(texts.count(&"ä".repeat(MAX_CHARS)), 2);
    }
}
