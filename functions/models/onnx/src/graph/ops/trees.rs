//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.

use rten::Value;

use super::{
    forest::{Forest, Lists},
    scores::{Labels, MAX_TARGETS, Transform, classified},
};
use crate::graph::{
    attributes::Attributes,
    tensors::{floats, tensor},
    texts::Texts,
};

#[derive(Debug)]
pub(in crate::graph) struct TreeClassifier {
    forest: Forest,
    base: Vec<f64>,
    labels: Labels,
    transform: Transform,
    /// Set if there are two classes and all weights are of one.
    pair: Option<Pair>,
}

#[derive(Debug)]
struct Pair {
    /// The class whose weights the file has.
    class: usize,
    base: f64,
    /// Whether the sum is a probability: all weights are positive.
    share: bool,
}

impl TreeClassifier {
    pub(super) fn read(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Self, bool), String> {
        let (labels, text) = Labels::read(attributes, "classlabels_int64s", texts)?;
        let lists = lists(attributes, "class")?;
        let forest = Forest::new(&lists, labels.count(), false)?;
        let base = attributes.floats("base_values")?;
        let transform = Transform::read(attributes)?;
        let pair = pair(&lists, labels.count(), &base, transform);
        if pair.is_none() && !base.is_empty() && base.len() != labels.count() {
            return Err(format!("has {} base_values for {} classes", base.len(), labels.count()));
        }
        Ok((Self { forest, base, labels, transform, pair }, text))
    }

    pub(super) fn run(&self, x: &Value) -> Result<Vec<Value>, String> {
        let x = floats(x)?;
        let (rows, columns) = x.matrix()?;
        let mut scores = self.forest.sums(rows, columns, &x.data)?;
        let mut labels = Vec::with_capacity(rows);
        for scores in scores.chunks_exact_mut(self.labels.count()) {
            if let Some(Pair { class, base, share }) = &self.pair {
                let sum = scores[*class] + base;
                let threshold = if *share { 0.5 } else { 0.0 };
                labels.push(self.labels.of(usize::from(sum > threshold)));
                scores.copy_from_slice(&self.transform.pair(sum, *share));
            } else {
                scores.iter_mut().zip(&self.base).for_each(|(score, base)| *score += base);
                labels.push(self.labels.largest(scores));
                self.transform.apply(scores);
            }
        }
        classified(labels, &scores)
    }
}

fn pair(lists: &Lists<'_>, classes: usize, base: &[f64], transform: Transform) -> Option<Pair> {
    let (class, others) = lists.weight_targets.split_first()?;
    if classes != 2 || others.iter().any(|other| other != class) {
        return None;
    }
    let positive = lists.weights.iter().chain(base).all(|weight| *weight >= 0.0);
    Some(Pair {
        class: usize::try_from(*class).ok()?,
        base: base.last().copied().unwrap_or_default(),
        share: positive && transform != Transform::Logistic,
    })
}

#[derive(Debug)]
pub(in crate::graph) struct TreeRegressor {
    forest: Forest,
    base: Vec<f64>,
    targets: usize,
    transform: Transform,
}

impl TreeRegressor {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, String> {
        let targets = attributes.int("n_targets", 1);
        let targets = usize::try_from(targets).ok().filter(|targets| *targets <= MAX_TARGETS);
        let targets = targets.ok_or("n_targets: out of range")?;
        let mean = match attributes.text("aggregate_function", "SUM")? {
            "SUM" => false,
            "AVERAGE" => true,
            other => return Err(format!("aggregate_function: {other} is not supported")),
        };
        let forest = Forest::new(&lists(attributes, "target")?, targets, mean)?;
        let base = attributes.floats("base_values")?;
        if !base.is_empty() && base.len() != targets {
            return Err(format!("has {} base_values for {targets} targets", base.len()));
        }
        Ok(Self { forest, base, targets, transform: Transform::read(attributes)? })
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
    pub(super) fn run(&self, x: &Value) -> Result<Vec<Value>, String> {
        let x = floats(x)?;
        let (rows, columns) = x.matrix()?;
        let mut sums = self.forest.sums(rows, columns, &x.data)?;
        for sums in sums.chunks_exact_mut(self.targets) {
            sums.iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
            self.transform.apply(sums);
        }
        let sums = sums.into_iter().map(|sum| sum as f32).collect();
        Ok(vec![tensor(&[rows, self.targets], sums)?])
    }
}

/// The attributes that both operators have. Those of the weights begin with `of`.
fn lists<'n>(attributes: Attributes<'n>, of: &str) -> Result<Lists<'n>, String> {
    Ok(Lists {
        trees: attributes.ints("nodes_treeids"),
        nodes: attributes.ints("nodes_nodeids"),
        columns: attributes.ints("nodes_featureids"),
        modes: attributes.texts("nodes_modes")?,
        thresholds: attributes.floats("nodes_values")?,
        passed: attributes.ints("nodes_truenodeids"),
        failed: attributes.ints("nodes_falsenodeids"),
        missing: attributes.ints("nodes_missing_value_tracks_true"),
        weight_trees: attributes.ints(&format!("{of}_treeids")),
        weight_nodes: attributes.ints(&format!("{of}_nodeids")),
        weight_targets: attributes.ints(&format!("{of}_ids")),
        weights: attributes.floats(&format!("{of}_weights"))?,
    })
}
