//! A uniform sample of requests, for figures that need the values themselves.

use std::{collections::BTreeMap, hash::Hasher};

use rendezvous_core::RequestId;
use siphasher::sip::SipHasher24;

/// What is kept of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeptPair {
    /// The two models' values.
    pub first: f64,
    pub second: f64,
    /// Whether the outcome is 1; `None` when it is not known, or neither 0 nor 1.
    pub outcome: Option<bool>,
}

/// The requests with the smallest hashes, up to a limit: every request while there are no more than
/// that, and a uniform sample of them otherwise. Which ones does not depend on their order.
/// About 50 bytes a request.
#[derive(Clone, Debug)]
pub struct Kept {
    limit: usize,
    pairs: BTreeMap<u64, KeptPair>,
}

impl Kept {
    pub fn new(limit: usize) -> Self {
        Self { limit, pairs: BTreeMap::new() }
    }

    pub fn push(&mut self, request: RequestId, pair: KeptPair) {
        let hash = hash(0, request);
        if self.pairs.len() < self.limit || self.pairs.last_key_value().is_some_and(|l| hash < *l.0)
        {
            self.pairs.insert(hash, pair);
        }
        if self.pairs.len() > self.limit {
            self.pairs.pop_last();
        }
    }

    pub fn pairs(&self) -> impl ExactSizeIterator<Item = &KeptPair> {
        self.pairs.values()
    }
}

/// A hash of the request's id under a seed: SipHash-2-4, of which every bit is like a fair coin.
fn hash(seed: u64, request: RequestId) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(seed, 0x0065_7669_6465_6e63);
    hasher.write(request.as_bytes());
    hasher.finish()
}

/// A number in [0, 1) that is a function of the seed and the request's id, uniform over ids.
pub(crate) fn fraction(seed: u64, request: RequestId) -> f64 {
    // 53 bits: the precision of a double.
    (hash(seed, request) >> 11) as f64 / (1_u64 << 53) as f64
}

/// An id for tests, the same at every run.
#[cfg(test)]
pub(crate) fn request(n: u32) -> RequestId {
    serde_json::from_value(format!("00000000-0000-7000-8000-{n:012x}").into()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: f64) -> KeptPair {
        KeptPair { first: value, second: value, outcome: None }
    }

    #[test]
    fn the_sample_is_bounded_uniform_and_the_same_in_any_order() {
        let requests: Vec<_> =
            (0..10_000).map(|i| (request(i), pair(f64::from(i) / 10_000.0))).collect();
        let (mut forth, mut back) = (Kept::new(1_000), Kept::new(1_000));
        for ((id, pair), (last_id, last_pair)) in requests.iter().zip(requests.iter().rev()) {
            forth.push(*id, *pair);
            back.push(*last_id, *last_pair);
        }
        assert_eq!(forth.pairs().len(), 1_000);
        assert!(forth.pairs().eq(back.pairs()));
        let mean = forth.pairs().map(|pair| pair.first).sum::<f64>() / 1_000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }

    #[test]
    fn up_to_the_limit_every_request_is_kept() {
        let mut kept = Kept::new(10);
        (0..10).for_each(|i| kept.push(request(i), pair(0.5)));
        assert_eq!(kept.pairs().len(), 10);
    }
}
