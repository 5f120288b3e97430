use rendezvous_core::ModelId;
use serde::{Deserialize, Serialize};

use super::{merge::Merge, pair::Pair};

/// Pairs of models on the same requests, each by the names of its two models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pairs(Vec<(ModelId, ModelId, Pair)>);

impl Pairs {
    /// Counts a request that both models were expected to score, see [`Pair::push`]. A value at or above
    /// `threshold` is on the upper side.
    pub fn push(&mut self, models: [&ModelId; 2], threshold: f64, values: [Option<f64>; 2]) {
        let [first, second] = values;
        self.pair(models, || Pair::new(threshold)).push(first, second);
    }

    fn pair(&mut self, models: [&ModelId; 2], new: impl FnOnce() -> Pair) -> &mut Pair {
        let is_it = |pair: &(ModelId, ModelId, Pair)| [&pair.0, &pair.1] == models;
        let at = self.0.iter().position(is_it).unwrap_or_else(|| {
            let [first, second] = models;
            self.0.push((first.clone(), second.clone(), new()));
            self.0.len() - 1
        });
        &mut self.0[at].2
    }

    /// Each pair, with its models.
    pub fn iter(&self) -> impl Iterator<Item = ([&ModelId; 2], &Pair)> {
        self.0.iter().map(|(first, second, pair)| ([first, second], pair))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Merge for Pairs {
    fn merge(&mut self, other: &Self) {
        for (first, second, pair) in &other.0 {
            let models = [first, second];
            let is_known = self.iter().any(|(known, _)| known == models);
            if is_known {
                self.pair(models, || *pair).merge(pair);
            } else {
                self.0.push((first.clone(), second.clone(), *pair));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{from_bytes, to_bytes};

    #[test]
    fn pairs_are_merged_by_their_models_and_kept_in_bytes() {
        let [a, b, c] = ["a@1", "b@1", "c@1"].map(|id| id.parse::<ModelId>().unwrap());
        let (mut one, mut two) = (Pairs::default(), Pairs::default());
        one.push([&a, &b], 0.5, [Some(0.1), Some(0.9)]);
        two.push([&a, &b], 0.5, [Some(0.1), None]);
        two.push([&a, &c], 0.5, [Some(0.9), Some(0.9)]);
        one.merge(&two);
        let bytes = to_bytes(&one).unwrap();
        assert!(bytes.len() < 2 * 120, "{}", bytes.len());
        assert_eq!(from_bytes::<Pairs>(&bytes), Ok(one.clone()));
        let counts: Vec<_> =
            one.iter().map(|(models, pair)| (models, pair.expected(), pair.paired())).collect();
        assert_eq!(counts, [([&a, &b], 2, 1), ([&a, &c], 1, 1)]);
    }
}
