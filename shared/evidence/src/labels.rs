//! Which requests to label, and what the labels say of all requests.
//!
//! Where two models agree, a label says nothing of which is better. So requests are drawn with a
//! probability that grows with the difference of the two values, and the labels are weighed back
//! with these probabilities: the estimate of Horvitz and Thompson 1952, "A generalization of
//! sampling without replacement from a finite universe", Journal of the American Statistical
//! Association 47 (260), which is unbiased whatever the models and labels are, because every
//! probability is known and above zero.
//!
//! The design is Poisson sampling (Särndal, Swensson and Wretman 1992, "Model Assisted Survey
//! Sampling", section 3.5): each request is drawn or not by a hash of its id, independently of the
//! others. Its probabilities are exact, so is the estimate of its variance, and it needs no list of
//! the requests; the price is that the number drawn varies, by its square root at most. Designs of
//! a fixed size (Sampford, Pareto) are less simple or have approximate probabilities.

use rendezvous_core::RequestId;
use serde::{Deserialize, Serialize};

use crate::{
    interval::{Confidence, FixedN, Interval},
    kept::fraction,
};

/// The part of the labels that is spread evenly over all requests, so that no probability is below
/// this part of `wanted / requests` and no label weighs more than twice what it would in a uniform
/// sample.
const EVEN: f64 = 0.5;

/// The probabilities with which requests are drawn. Two passes: every request is first counted with
/// [`Design::push`], then offered to [`Design::draw`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    seed: u64,
    wanted: u32,
    requests: u64,
    distance: f64,
}

impl Design {
    /// A design that draws about `wanted` requests. Equal seeds draw equal requests.
    pub fn new(seed: u64, wanted: u32) -> Self {
        Self { seed, wanted, requests: 0, distance: 0.0 }
    }

    /// Counts a request with the two models' values, which are finite.
    pub fn push(&mut self, first: f64, second: f64) {
        self.requests += 1;
        self.distance += (first - second).abs();
    }

    /// The request, if it is drawn. After all requests were counted.
    pub fn draw(&self, request: RequestId, first: f64, second: f64) -> Option<Drawn> {
        let probability = self.probability((first - second).abs());
        let drawn = fraction(self.seed, request) < probability;
        drawn.then_some(Drawn { request, probability, first, second })
    }

    /// The sample of these draws.
    pub fn sample(&self, drawn: Vec<Drawn>) -> Sample {
        Sample { seed: self.seed, wanted: self.wanted, requests: self.requests, drawn }
    }

    fn probability(&self, distance: f64) -> f64 {
        let even = 1.0 / self.requests as f64;
        let by_distance = if self.distance > 0.0 { distance / self.distance } else { even };
        (f64::from(self.wanted) * (EVEN * even + (1.0 - EVEN) * by_distance)).min(1.0)
    }
}

/// A request to label.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    pub request: RequestId,
    /// The probability with which it was drawn.
    pub probability: f64,
    /// The two models' values.
    pub first: f64,
    pub second: f64,
}

/// The requests to label, with all that is needed to weigh their labels. It is stored before the
/// first label is known: only then are its probabilities what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub seed: u64,
    /// How many requests were to be drawn, on average.
    pub wanted: u32,
    /// How many requests they were drawn from.
    pub requests: u64,
    pub drawn: Vec<Drawn>,
}

/// Why a sample has no estimate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoEstimate {
    #[error("the sample has no requests")]
    Empty,
    /// An estimate without them would be biased: requests that are hard to label are rarely like
    /// the others.
    #[error("{} of the sample's {drawn} requests have no label yet", missing.len())]
    Unlabelled { drawn: usize, missing: Vec<RequestId> },
}

impl Sample {
    /// The mean difference of the two models' losses over all requests that the sample was drawn
    /// from, first less second. The interval is normal, for one look at a sample of at least some
    /// dozens.
    ///
    /// `loss` is that of a value, given the label, e.g. [`brier`](crate::loss::brier).
    pub fn difference(
        &self,
        loss: impl Fn(f64, f64) -> f64,
        label: impl Fn(RequestId) -> Option<f64>,
        confidence: Confidence,
    ) -> Result<Interval<FixedN>, NoEstimate> {
        let (mut estimate, mut variance, mut missing) = (0.0, 0.0, Vec::new());
        for drawn in &self.drawn {
            let Some(label) = label(drawn.request) else {
                missing.push(drawn.request);
                continue;
            };
            let difference = loss(drawn.first, label) - loss(drawn.second, label);
            let weighed = difference / drawn.probability / self.requests as f64;
            estimate += weighed;
            variance += (1.0 - drawn.probability) * weighed * weighed;
        }
        if self.drawn.is_empty() {
            Err(NoEstimate::Empty)
        } else if missing.is_empty() {
            Ok(Interval::normal(estimate, variance, confidence))
        } else {
            Err(NoEstimate::Unlabelled { drawn: self.drawn.len(), missing })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{kept::request, loss::brier};

    struct World {
        requests: Vec<(RequestId, f64, f64)>,
        labels: HashMap<RequestId, f64>,
    }

    impl World {
        fn new(n: u32) -> Self {
            let mut random = fastrand::Rng::with_seed(17);
            let mut world = Self { requests: Vec::new(), labels: HashMap::new() };
            for i in 0..n {
                let id = request(i);
                let truth = random.f64();
                // Mostly equal, and far apart now and then.
                let other = if random.f64() < 0.1 { random.f64() } else { truth };
                world.requests.push((id, truth, other));
                world.labels.insert(id, f64::from(u8::from(random.f64() < truth)));
            }
            world
        }

        fn sample(&self, seed: u64, wanted: u32) -> Sample {
            let mut design = Design::new(seed, wanted);
            self.requests.iter().for_each(|(_, a, b)| design.push(*a, *b));
            let drawn = self.requests.iter().filter_map(|(id, a, b)| design.draw(*id, *a, *b));
            design.sample(drawn.collect())
        }

        fn estimate(&self, sample: &Sample) -> Interval<FixedN> {
            let label = |id| self.labels.get(&id).copied();
            sample.difference(brier, label, Confidence::new(0.95).unwrap()).unwrap()
        }

        fn truth(&self) -> f64 {
            let loss = |(id, a, b): &(RequestId, f64, f64)| {
                brier(*a, self.labels[id]) - brier(*b, self.labels[id])
            };
            self.requests.iter().map(loss).sum::<f64>() / self.requests.len() as f64
        }
    }

    #[test]
    fn the_estimate_is_unbiased_and_its_interval_covers() {
        let world = World::new(2_000);
        let truth = world.truth();
        let (draws, mut sum, mut squares, mut covered, mut sizes) = (1_000, 0.0, 0.0, 0, 0);
        for seed in 0..draws {
            let sample = world.sample(seed, 200);
            let estimate = world.estimate(&sample);
            sum += estimate.estimate;
            squares += (estimate.estimate - truth).powi(2);
            covered += u32::from(!estimate.excludes(truth));
            sizes += sample.drawn.len();
        }
        let n = draws as f64;
        let error_of_mean = (squares / n / n).sqrt();
        assert!((sum / n - truth).abs() < 3.0 * error_of_mean, "{} for {truth}", sum / n);
        assert!((920..=980).contains(&covered), "{covered}");
        assert!((180.0..=200.0).contains(&(sizes as f64 / n)), "{sizes}");
    }

    #[test]
    fn where_models_differ_labels_say_more_than_in_a_uniform_sample() {
        let world = World::new(2_000);
        let sample = world.sample(1, 200);
        let apart =
            sample.drawn.iter().filter(|drawn| drawn.first.to_bits() != drawn.second.to_bits());
        // A tenth of the requests differ: half of the labels, and a tenth of the other half.
        assert!(apart.count() > sample.drawn.len() / 2);
    }

    #[test]
    fn probabilities_are_bounded_below_and_stored() {
        let world = World::new(2_000);
        let sample = world.sample(1, 200);
        assert!(sample.drawn.iter().all(|drawn| drawn.probability >= 0.05 - 1e-12));
        let text = serde_json::to_string(&sample).unwrap();
        let stored: Sample = serde_json::from_str(&text).unwrap();
        let (stored, estimate) = (world.estimate(&stored), world.estimate(&sample));
        // A decimal number may differ from the one stored in its last digit.
        assert!((stored.high - estimate.high).abs() < 1e-12);
        assert_eq!(world.sample(1, 200), sample);
        assert_ne!(world.sample(2, 200).drawn, sample.drawn);
    }

    #[test]
    fn models_that_agree_everywhere_are_sampled_evenly() {
        let mut design = Design::new(1, 10);
        (0..100).for_each(|_| design.push(0.5, 0.5));
        assert!((design.probability(0.0) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn without_all_labels_there_is_no_estimate() {
        let world = World::new(100);
        let sample = world.sample(1, 50);
        let estimate =
            |sample: &Sample| sample.difference(brier, |_| None, Confidence::DEFAULT).unwrap_err();
        let NoEstimate::Unlabelled { missing, .. } = estimate(&sample) else {
            panic!("no label is known")
        };
        assert!(missing.iter().eq(sample.drawn.iter().map(|drawn| &drawn.request)));
        assert_eq!(estimate(&Sample { drawn: Vec::new(), ..sample }), NoEstimate::Empty);
    }
}
