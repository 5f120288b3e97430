use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
};

/// How many are remembered, at some 40 bytes each.
const REMEMBERED: usize = 8_192;

/// The latest distinct values.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    values: HashSet<T, foldhash::fast::RandomState>,
    by_age: VecDeque<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { values: HashSet::default(), by_age: VecDeque::new() }
    }
}

impl<T: Copy + Eq + Hash> Recent<T> {
    pub(crate) fn contains(&self, value: &T) -> bool {
        self.values.contains(value)
    }

    /// Remembers a value; returns whether it was not remembered already.
    pub(crate) fn insert(&mut self, value: T) -> bool {
        if !self.values.insert(value) {
            return false;
        }
        self.by_age.push_back(value);
        if self.by_age.len() > REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.values.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_new_once_until_it_is_too_old() {
        let mut recent = Recent::default();
        assert!(recent.insert(0) && !recent.insert(0));
        (1..REMEMBERED).for_each(|value| assert!(recent.insert(value)));
        assert!(recent.contains(&0));
        recent.insert(REMEMBERED);
        assert!(!recent.contains(&0) && recent.contains(&1));
    }
}
