//! A day: how good the models were, once the outcomes of the day's requests are known.
//!
//! The requests come in any order, twice: first their values ([`Values`]), for the tenths of the calibration,
//! then everything ([`Day`]). The first outcome of a request counts, as in a
//! [`Comparison`](crate::Comparison). In memory there is a sketch of 20 KB for each model, whatever the number of
//! requests.

use std::collections::BTreeMap;

use rendezvous_archive::Joined;
use rendezvous_core::{Arm, ModelId};
use serde::{Deserialize, Serialize};

use crate::{
    loss::{brier, log_loss},
    mean::MeanSequence,
    sketch::Sketch,
    whatif::Configurations,
    window::{MIN_PAIRED, Merge, Outcomes},
};

/// The greatest logarithmic loss of a request, in nats, as in a comparison.
const LOG_LOSS_CLIP: f64 = 5.0;

/// How many parts of equally many values the calibration has.
const TENTHS: usize = 10;

/// The distributions of the models' values whose outcomes are known.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<ModelId, Sketch>);

impl Values {
    /// Takes the next request.
    pub fn push(&mut self, request: &Joined) {
        if outcome(request).is_none() {
            return;
        }
        for score in &request.scores {
            if let Some(value) = score.value.filter(|&value| is_share(value)) {
                let sketch = self.0.entry(score.model.clone());
                sketch.or_insert_with(|| Sketch::new(0)).push(value);
            }
        }
    }

    /// The greatest value of each tenth but the last.
    fn bounds(&self, model: &ModelId) -> Vec<f64> {
        let Some(sketch) = self.0.get(model) else { return Vec::new() };
        (1..TENTHS).filter_map(|i| sketch.quantile(i as f64 / TENTHS as f64)).collect()
    }
}

/// What is known of the requests of a day, or with other days merged of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Day {
    pub requests: u64,
    pub undecided: u64,
    /// With an outcome where the configuration says, from 0 to 1.
    pub with_outcome: u64,
    pub models: BTreeMap<ModelId, ModelDay>,
}

/// One model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelDay {
    /// Requests that it was expected to score.
    pub expected: u64,
    /// Of these, those without a score and without a failure of it.
    pub missing: u64,
    pub failed: u64,
    pub outcomes: Outcomes,
    log_loss: f64,
    /// From the lowest values to the highest. Equal values are in one tenth; the bounds have the rank error
    /// of a [`Sketch`]. Empty of several days.
    pub tenths: Vec<Tenth>,
    /// Against the champion of `main` in the request's version; none of the champion itself.
    pub against: Option<Against>,
}

/// One tenth of a model's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenth {
    /// The greatest value; infinite in the last one.
    pub up_to: f64,
    pub count: u64,
    predicted: f64,
    observed: f64,
}

/// A model less the champion, on the same requests. Below zero the model is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Requests with an outcome for which at least one of the two has a value.
    pub expected: u64,
    brier: MeanSequence,
    log_loss: MeanSequence,
}

impl Default for Against {
    fn default() -> Self {
        Self {
            expected: 0,
            brier: MeanSequence::of_differences(1.0),
            log_loss: MeanSequence::of_differences(LOG_LOSS_CLIP),
        }
    }
}

impl Against {
    /// The difference of the squared errors; `None` where less than 95 % of the requests are paired.
    pub fn brier(&self) -> Option<MeanSequence> {
        self.is_paired().then_some(self.brier)
    }

    /// The same of the logarithmic losses.
    pub fn log_loss(&self) -> Option<MeanSequence> {
        self.is_paired().then_some(self.log_loss)
    }

    /// Requests for which both have a value.
    pub fn paired(&self) -> u64 {
        self.brier.count()
    }

    fn is_paired(&self) -> bool {
        let paired = self.paired();
        paired > 0 && paired as f64 >= MIN_PAIRED * self.expected as f64
    }
}

impl ModelDay {
    /// The mean logarithmic loss; `None` without outcomes.
    pub fn log_loss(&self) -> Option<f64> {
        let count = self.outcomes.count();
        (count > 0).then(|| self.log_loss / count as f64)
    }

    fn push(&mut self, value: f64, outcome: f64) {
        self.outcomes.push(value, outcome);
        self.log_loss += log_loss(value, outcome, LOG_LOSS_CLIP);
        let tenth = self.tenths.iter_mut().find(|tenth| value <= tenth.up_to);
        if let Some(tenth) = tenth {
            tenth.count += 1;
            tenth.predicted += value;
            tenth.observed += outcome;
        }
    }
}

impl Tenth {
    /// The mean value and the mean outcome; `None` of a tenth without values.
    pub fn means(&self) -> Option<(f64, f64)> {
        let n = self.count as f64;
        (n > 0.0).then(|| (self.predicted / n, self.observed / n))
    }
}

impl Day {
    /// An empty day whose calibration has tenths of these values.
    pub fn new(values: &Values) -> Self {
        let model = |model: &ModelId| {
            let mut bounds = values.bounds(model);
            // Values that many requests have.
            bounds.dedup();
            let bounds = bounds.into_iter().chain([f64::INFINITY]);
            let tenths = bounds.map(|up_to| Tenth { up_to, ..Tenth::default() }).collect();
            ModelDay { tenths, ..ModelDay::default() }
        };
        let models = values.0.keys().map(|id| (id.clone(), model(id))).collect();
        Self { models, ..Self::default() }
    }

    /// Takes the next request. One whose row or whose version of the configuration is missing counts as a
    /// request only.
    pub fn push(&mut self, request: &Joined, configurations: &Configurations) {
        self.requests += 1;
        self.undecided += u64::from(request.decision.is_none());
        let outcome = outcome(request);
        self.with_outcome += u64::from(outcome.is_some());
        let Some(asked) = &request.request else { return };
        let Some(configuration) = configurations.get(&asked.config) else { return };
        for model in configuration.models().filter(|model| !asked.skip.contains(model)) {
            let day = self.models.entry(model.clone()).or_default();
            day.expected += 1;
            match request.score_of(model) {
                None => day.missing += 1,
                Some(score) => day.failed += u64::from(score.failure.is_some()),
            }
        }
        let Some(outcome) = outcome else { return };
        let value =
            |model: &ModelId| request.score_of(model)?.value.filter(|&value| is_share(value));
        let champion = configuration.schedule(&Arm::main()).champion();
        let of_champion = value(champion);
        for model in configuration.models().filter(|model| !asked.skip.contains(model)) {
            let of_model = value(model);
            let day = self.models.entry(model.clone()).or_default();
            if let Some(value) = of_model {
                day.push(value, outcome);
            }
            if model == champion || of_model.or(of_champion).is_none() {
                continue;
            }
            let against = day.against.get_or_insert_default();
            against.expected += 1;
            if let (Some(value), Some(of_champion)) = (of_model, of_champion) {
                let log = |value| log_loss(value, outcome, LOG_LOSS_CLIP);
                against.brier.push(brier(value, outcome) - brier(of_champion, outcome));
                against.log_loss.push(log(value) - log(of_champion));
            }
        }
    }
}

/// The days are of different requests.
impl Merge for Day {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.undecided += other.undecided;
        self.with_outcome += other.with_outcome;
        for (model, day) in &other.models {
            let own = self.models.entry(model.clone()).or_default();
            own.expected += day.expected;
            own.missing += day.missing;
            own.failed += day.failed;
            own.outcomes.merge(&day.outcomes);
            own.log_loss += day.log_loss;
            if let Some(against) = &day.against {
                let own = own.against.get_or_insert_default();
                own.expected += against.expected;
                own.brier.merge(&against.brier);
                own.log_loss.merge(&against.log_loss);
            }
        }
        // Each day has its own tenths.
        self.models.values_mut().for_each(|model| model.tenths.clear());
    }
}

fn outcome(request: &Joined) -> Option<f64> {
    request.outcome.as_ref()?.first.filter(|&value| is_share(value))
}

fn is_share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

#[cfg(test)]
mod tests {
    use rendezvous_archive::{Asked, Reported, Scored};
    use rendezvous_core::{Configuration, RequestId, Timestamp};

    use super::*;
    use crate::{
        bytes::{from_bytes, to_bytes},
        interval::Confidence,
    };

    const CONFIGURATION: &str = r#"{
        "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 100 },
        "observers": [ { "model": "b@1", "role": "challenger" } ]
    }"#;

    fn id(model: &str) -> ModelId {
        model.parse().unwrap()
    }

    /// A request with the values of `a@1` and `b@1`, and its outcome.
    fn request(a: Option<f64>, b: Option<f64>, outcome: Option<f64>) -> Joined {
        let at = Timestamp::default();
        let scored = |(model, value): (&str, Option<f64>)| {
            let (model, value) = (id(model), Some(value?));
            Some(Scored {
                model,
                arrived: at,
                started: at,
                finished: at,
                value,
                failure: None,
                replayed: false,
            })
        };
        Joined {
            id: RequestId::random(),
            request: Some(Asked {
                config: 1,
                arm: Arm::main(),
                key: None,
                received: at,
                deadline: at,
                arrived: at,
                skip: Vec::new(),
                segment: None,
            }),
            scores: [("a@1", a), ("b@1", b)].into_iter().filter_map(scored).collect(),
            decision: None,
            outcome: outcome.map(|first| Reported {
                arrived: at,
                first: Some(first),
                last: Some(0.25),
            }),
            retried: false,
        }
    }

    fn day(requests: &[Joined]) -> Day {
        let configurations =
            Configurations::from([(1, Configuration::parse(CONFIGURATION).unwrap())]);
        let mut values = Values::default();
        for request in requests {
            values.push(request);
        }
        let mut day = Day::new(&values);
        for request in requests {
            day.push(request, &configurations);
        }
        day
    }

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-12)
    }

    #[test]
    fn a_day_has_the_losses_of_each_model_and_its_difference_to_the_champion() {
        let mut requests = vec![request(Some(0.5), Some(0.75), Some(1.0)); 30];
        requests.extend(vec![request(Some(0.5), Some(0.75), Some(0.0)); 10]);
        requests.push(request(Some(0.5), None, None));
        let day = day(&requests);
        assert_eq!((day.requests, day.with_outcome, day.undecided), (41, 40, 41));
        let [a, b] = ["a@1", "b@1"].map(|model| &day.models[&id(model)]);
        assert_eq!((a.expected, a.missing, b.missing, a.against), (41, 0, 1, None));
        let mean = |of: MeanSequence| Some(of.interval(Confidence::DEFAULT)?.estimate);
        assert!(near(mean(a.outcomes.loss()), 0.25));
        assert!(near(mean(b.outcomes.loss()), (30.0 * 0.0625 + 10.0 * 0.5625) / 40.0));
        assert!(near(a.log_loss(), 2_f64.ln()));
        let against = b.against.unwrap();
        assert_eq!((against.expected, against.paired()), (40, 40));
        assert!(near(
            mean(against.brier().unwrap()),
            (30.0 * 0.0625 + 10.0 * 0.5625) / 40.0 - 0.25
        ));
        assert_eq!(b.outcomes.means(), Some((0.75, 0.75)));
        let read: Day = from_bytes(&to_bytes(&day).unwrap()).unwrap();
        assert_eq!(read, day);
    }

    #[test]
    fn the_tenths_have_equally_many_values_and_equal_values_are_in_one() {
        let value = |i: u32| f64::from(i) / 1_000.0;
        let outcome = |i: u32| f64::from(u8::from(i >= 500));
        let requests: Vec<Joined> =
            (0..1_000).map(|i| request(Some(value(i)), Some(0.5), Some(outcome(i)))).collect();
        let day = day(&requests);
        let tenths = &day.models[&id("a@1")].tenths;
        assert_eq!(tenths.len(), 10);
        assert_eq!(tenths.iter().map(|tenth| tenth.count).sum::<u64>(), 1_000);
        assert!(tenths.iter().all(|tenth| (70..=130).contains(&tenth.count)), "{tenths:?}");
        let (predicted, observed) = tenths[0].means().unwrap();
        assert!((0.03..0.07).contains(&predicted) && observed < 1e-12, "{predicted} {observed}");
        let equal = &day.models[&id("b@1")].tenths;
        assert!(equal.iter().any(|tenth| tenth.count == 1_000), "{equal:?}");
    }

    #[test]
    fn days_are_added_up_and_a_difference_with_too_few_pairs_is_withheld() {
        let one =
            day(&[request(Some(0.5), Some(0.75), Some(1.0)), request(Some(0.5), None, Some(1.0))]);
        assert_eq!(one.models[&id("b@1")].against.unwrap().brier(), None);
        let mut two = one.clone();
        two.merge(&day(&vec![request(Some(0.5), Some(0.75), Some(1.0)); 98]));
        let model = &two.models[&id("b@1")];
        assert_eq!((two.requests, model.expected, model.missing), (100, 100, 1));
        assert_eq!(model.against.unwrap().brier().unwrap().count(), 99);
        assert!(model.tenths.is_empty());
    }
}
