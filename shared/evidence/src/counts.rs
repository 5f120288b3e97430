//! Counts that come from outside, in bytes, and may have any value: a sum that is too large is the largest.

/// Adds a count to another one.
pub(crate) fn add(own: &mut u64, other: u64) {
    *own = own.saturating_add(other);
}

/// The sum of counts.
pub(crate) fn sum<'a>(counts: impl IntoIterator<Item = &'a u64>) -> u64 {
    counts.into_iter().fold(0, |sum, count| sum.saturating_add(*count))
}
