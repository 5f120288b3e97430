//! What is told of the answers, the real ones and the others alike.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::{Kind, ModelId};
use serde::Serialize;

use crate::times::Times;

/// Answers, summed up.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// How many answers of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// How many answers each model gave.
    pub models: BTreeMap<String, u64>,
    /// From the receipt to the decision.
    pub elapsed_ms: Elapsed,
    /// The share of the answers that no model gave: fallbacks and none. Null without answers.
    pub fallback_rate: Option<f64>,
    /// The mean of (value − outcome)², where both are known; null where none is. Brier, "Verification of
    /// forecasts expressed in terms of probability", Monthly Weather Review 78 (1950).
    pub brier: Option<f64>,
    /// How many answers have both.
    pub brier_requests: u64,
}

/// Quantiles in milliseconds, at most 0.1 % too small.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Elapsed {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// Answers so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    kinds: [u64; 4],
    models: Vec<(ModelId, u64)>,
    elapsed: Times,
    squares: f64,
    valued: u64,
}

impl Tally {
    pub(super) fn add(
        &mut self,
        kind: Kind,
        model: Option<&ModelId>,
        elapsed: Duration,
        value_and_truth: Option<(f64, f64)>,
    ) {
        self.kinds[kind as usize] += 1;
        if let Some(model) = model {
            match self.models.iter_mut().find(|(other, _)| other == model) {
                Some((_, count)) => *count += 1,
                None => self.models.push((model.clone(), 1)),
            }
        }
        self.elapsed.add(elapsed);
        if let Some((value, truth)) = value_and_truth {
            self.squares += (value - truth).powi(2);
            self.valued += 1;
        }
    }

    pub(super) fn side(&self) -> Side {
        let count = |kind: Kind| self.kinds[kind as usize];
        let all: u64 = self.kinds.iter().sum();
        let share = |part: f64, of: u64| (of > 0).then(|| part / of as f64);
        let ms = |q| self.elapsed.quantile(q).as_secs_f64() * 1e3;
        let models = self.models.iter().map(|(model, count)| (model.to_string(), *count));
        Side {
            kinds: Kind::ALL.map(|kind| (kind, count(kind))).into(),
            models: models.collect(),
            elapsed_ms: Elapsed { p50: ms(0.5), p95: ms(0.95), p99: ms(0.99) },
            fallback_rate: share((count(Kind::Fallback) + count(Kind::None)) as f64, all),
            brier: share(self.squares, self.valued),
            brier_requests: self.valued,
        }
    }
}
