//! What classifiers do with the sums of their classes.

use crate::graph::{attributes::Attributes, tensors::tensor, texts::Texts};
use rten::Value;

/// The most classes or targets of one operator.
pub(super) const MAX_TARGETS: usize = 10_000;

/// What turns sums into scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    /// A softmax that leaves zeros as they are.
    SoftmaxZero,
}

impl Transform {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, String> {
        match attributes.text("post_transform", "NONE")? {
            "NONE" => Ok(Self::None),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::Softmax),
            "SOFTMAX_ZERO" => Ok(Self::SoftmaxZero),
            other => Err(format!("post_transform: {other} is not supported")),
        }
    }

    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Softmax => softmax(scores, |_| true),
            Self::SoftmaxZero => softmax(scores, |score| score.abs() > 1e-7),
        }
    }

    /// The scores of two classes, of which the model has one sum. It is a probability if the file has
    /// only positive ones (`share`), else a margin around 0.
    pub(super) fn pair(self, sum: f64, share: bool) -> [f64; 2] {
        match self {
            Self::Logistic => [logistic(-sum), logistic(sum)],
            _ if share => [1.0 - sum, sum],
            _ => {
                let mut pair = [-sum, sum];
                self.apply(&mut pair);
                pair
            }
        }
    }
}

pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(scores: &mut [f64], counts: impl Fn(f64) -> bool) {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in &mut *scores {
        if counts(*score) {
            *score = (*score - max).exp();
            sum += *score;
        }
    }
    for score in scores {
        *score /= sum;
    }
}

/// The labels of the classes, as numbers or as the codes of texts.
#[derive(Debug)]
pub(super) struct Labels(Vec<i32>);

impl Labels {
    /// `ints` is the name of the attribute with labels that are numbers. Returns whether they are texts.
    pub(super) fn read(
        attributes: Attributes<'_>,
        ints: &str,
        texts: &mut Texts,
    ) -> Result<(Self, bool), String> {
        let codes = attributes.codes("classlabels_strings", texts)?;
        let text = !codes.is_empty();
        let labels = if text { codes } else { attributes.small_ints(ints)? };
        if labels.is_empty() || labels.len() > MAX_TARGETS {
            return Err(format!("has {} class labels, not 1 to {MAX_TARGETS}", labels.len()));
        }
        Ok((Self(labels), text))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The label of a class.
    pub(super) fn of(&self, class: usize) -> i32 {
        self.0.get(class).copied().unwrap_or_default()
    }

    /// The label of the largest score, of equal ones the first.
    pub(super) fn largest(&self, scores: &[f64]) -> i32 {
        let mut best = 0;
        for (class, score) in scores.iter().enumerate() {
            if *score > scores[best] {
                best = class;
            }
        }
        self.of(best)
    }
}

/// The two outputs of a classifier.
#[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
pub(super) fn classified(labels: Vec<i32>, scores: &[f64]) -> Result<Vec<Value>, String> {
    let rows = labels.len();
    let columns = scores.len().checked_div(rows).unwrap_or(0);
    let scores = scores.iter().map(|score| *score as f32).collect();
    Ok(vec![tensor(&[rows], labels)?, tensor(&[rows, columns], scores)?])
}
