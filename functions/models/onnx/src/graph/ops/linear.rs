//! `LinearClassifier` and `LinearRegressor`.

use rten::Value;

use super::scores::{Labels, MAX_TARGETS, Transform, classified};
use crate::graph::{
    attributes::Attributes,
    tensors::{floats, size, tensor},
    texts::Texts,
};

/// The weights of a linear model, target by target.
#[derive(Debug)]
struct Layer {
    weights: Vec<f64>,
    intercepts: Vec<f64>,
    columns: usize,
}

impl Layer {
    fn new(attributes: Attributes<'_>, targets: usize) -> Result<Self, String> {
        let weights = attributes.floats("coefficients")?;
        let mut intercepts = attributes.floats("intercepts")?;
        if intercepts.is_empty() {
            intercepts = vec![0.0; targets];
        }
        let columns = weights.len().checked_div(targets).unwrap_or(0);
        if columns == 0 || weights.len() != columns * targets || intercepts.len() != targets {
            return Err(format!(
                "has {} coefficients and {} intercepts for {targets} targets",
                weights.len(),
                intercepts.len()
            ));
        }
        Ok(Self { weights, intercepts, columns })
    }

    /// The sums of the targets, row by row.
    fn sums(&self, x: &Value) -> Result<(usize, Vec<f64>), String> {
        let x = floats(x)?;
        let (rows, columns) = x.matrix()?;
        if columns != self.columns {
            return Err(format!("takes {} columns, and gets {columns}", self.columns));
        }
        let mut sums = Vec::with_capacity(size(rows, self.intercepts.len())?);
        for row in x.data.chunks_exact(columns) {
            let targets = self.weights.chunks_exact(columns).zip(&self.intercepts);
            sums.extend(targets.map(|(weights, intercept)| {
                intercept + row.iter().zip(weights).map(|(x, w)| f64::from(*x) * w).sum::<f64>()
            }));
        }
        Ok((rows, sums))
    }
}

#[derive(Debug)]
pub(in crate::graph) struct LinearClassifier {
    layer: Layer,
    labels: Labels,
    transform: Transform,
}

impl LinearClassifier {
    pub(super) fn read(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Self, bool), String> {
        let (labels, text) = Labels::read(attributes, "classlabels_ints", texts)?;
        let targets = match attributes.floats("intercepts")?.len() {
            0 => labels.count(),
            1 if labels.count() == 2 => 1,
            targets if targets == labels.count() => targets,
            targets => {
                return Err(format!("has {targets} intercepts for {} classes", labels.count()));
            }
        };
        let (layer, transform) = (Layer::new(attributes, targets)?, Transform::read(attributes)?);
        Ok((Self { layer, labels, transform }, text))
    }

    pub(super) fn run(&self, x: &Value) -> Result<Vec<Value>, String> {
        let (rows, mut sums) = self.layer.sums(x)?;
        let mut labels = Vec::with_capacity(rows);
        if self.layer.intercepts.len() == 1 && self.labels.count() == 2 {
            labels.extend(sums.iter().map(|sum| self.labels.of(usize::from(*sum > 0.0))));
            sums = sums.into_iter().flat_map(|sum| self.transform.pair(sum, true)).collect();
        } else {
            for scores in sums.chunks_exact_mut(self.labels.count()) {
                labels.push(self.labels.largest(scores));
                self.transform.apply(scores);
            }
        }
        classified(labels, &sums)
    }
}

#[derive(Debug)]
pub(in crate::graph) struct LinearRegressor {
    layer: Layer,
    transform: Transform,
}

impl LinearRegressor {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, String> {
        let targets = attributes.int("targets", 1);
        let targets = usize::try_from(targets).ok().filter(|targets| *targets <= MAX_TARGETS);
        let layer = Layer::new(attributes, targets.ok_or("targets: out of range")?)?;
        Ok(Self { layer, transform: Transform::read(attributes)? })
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
    pub(super) fn run(&self, x: &Value) -> Result<Vec<Value>, String> {
        let (rows, mut sums) = self.layer.sums(x)?;
        let targets = self.layer.intercepts.len();
        sums.chunks_exact_mut(targets).for_each(|sums| self.transform.apply(sums));
        let sums = sums.into_iter().map(|sum| sum as f32).collect();
        Ok(vec![tensor(&[rows, targets], sums)?])
    }
}
