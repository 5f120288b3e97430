//! Operators that change each number on its own, or each row: `Scaler`, `Imputer`, `Normalizer`,
//! `Binarizer`, `Sigmoid`.

use rten::Value;

use super::scores::logistic;
use crate::graph::{
    attributes::Attributes,
    kind::Kind,
    tensors::{floats, tensor, whole},
};

/// `(x - offset) * scale`, with one of each for all columns or one per column.
#[derive(Debug)]
pub(in crate::graph) struct Scaler {
    offset: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, String> {
        let (offset, scale) = (attributes.floats("offset")?, attributes.floats("scale")?);
        if offset.is_empty() || scale.is_empty() {
            return Err("has no offset or no scale".to_owned());
        }
        Ok(Self { offset, scale })
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        let x = floats(x)?;
        let columns = columns(&x.shape);
        let offset = per_column("offset", &self.offset, columns)?;
        let scale = per_column("scale", &self.scale, columns)?;
        let scaled = x.data.iter().enumerate().map(|(i, x)| {
            let column = i % columns.max(1);
            ((f64::from(*x) - offset(column)) * scale(column)) as f32
        });
        tensor(&x.shape, scaled.collect())
    }
}

/// Replaces one value by another, which is that of its column or of all.
#[derive(Debug)]
pub(in crate::graph) enum Imputer {
    Floats { replaced: f32, by: Vec<f64> },
    Whole { replaced: i32, by: Vec<i32> },
}

impl Imputer {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, String> {
        let whole = attributes.small_ints("imputed_value_int64s")?;
        let floats = attributes.floats("imputed_value_floats")?;
        match (floats.is_empty(), whole.is_empty()) {
            (false, true) => {
                let replaced = attributes.float("replaced_value_float", 0.0);
                Ok(Self::Floats { replaced, by: floats })
            }
            (true, false) => {
                let replaced = attributes.small_int("replaced_value_int64", 0)?;
                Ok(Self::Whole { replaced, by: whole })
            }
            _ => Err("has no imputed values, or two kinds of them".to_owned()),
        }
    }

    /// What its output holds.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Floats { .. } => Kind::Float,
            Self::Whole { .. } => Kind::Whole,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        match self {
            Self::Floats { replaced, by } => {
                let x = floats(x)?;
                let columns = columns(&x.shape);
                let by = per_column("imputed values", by, columns)?;
                #[expect(clippy::float_cmp, reason = "as ONNX defines it")]
                let is_replaced = |x: f32| x == *replaced || (x.is_nan() && replaced.is_nan());
                let imputed =
                    x.data.iter().enumerate().map(|(i, x)| {
                        if is_replaced(*x) { by(i % columns.max(1)) as f32 } else { *x }
                    });
                tensor(&x.shape, imputed.collect())
            }
            Self::Whole { replaced, by } => {
                let x = whole(x)?;
                let columns = columns(&x.shape);
                let by = per_column("imputed values", by, columns)?;
                let imputed = x
                    .data
                    .iter()
                    .enumerate()
                    .map(|(i, x)| if x == replaced { by(i % columns.max(1)) } else { *x });
                tensor(&x.shape, imputed.collect())
            }
        }
    }
}

/// Divides each row by its norm.
#[derive(Debug)]
pub(in crate::graph) enum Normalizer {
    Max,
    L1,
    L2,
}

impl Normalizer {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, String> {
        match attributes.text("norm", "MAX")? {
            "MAX" => Ok(Self::Max),
            "L1" => Ok(Self::L1),
            "L2" => Ok(Self::L2),
            other => Err(format!("norm: {other} is not supported")),
        }
    }

    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        let x = floats(x)?;
        let (mut data, columns) = (x.data.into_owned(), columns(&x.shape));
        for row in data.chunks_exact_mut(columns.max(1)) {
            let norm = match self {
                Self::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                Self::L1 => row.iter().map(|x| x.abs()).sum(),
                Self::L2 => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
            };
            // A row of zeros stays as it is.
            if norm != 0.0 {
                for x in row {
                    *x /= norm;
                }
            }
        }
        tensor(&x.shape, data)
    }
}

/// 1 for what is above the threshold, else 0.
#[derive(Debug)]
pub(in crate::graph) struct Binarizer(f32);

impl Binarizer {
    pub(super) fn read(attributes: Attributes<'_>) -> Self {
        Self(attributes.float("threshold", 0.0))
    }

    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        let x = floats(x)?;
        let above = x.data.iter().map(|x| if *x > self.0 { 1.0 } else { 0.0 });
        tensor(&x.shape, above.collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
pub(super) fn sigmoid(x: &Value) -> Result<Value, String> {
    let x = floats(x)?;
    let probabilities = x.data.iter().map(|x| logistic(f64::from(*x)) as f32);
    tensor(&x.shape, probabilities.collect())
}

fn columns(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

/// The number of a column, from a list of one for all columns or of one per column.
fn per_column<'l, T: Copy>(
    name: &str,
    list: &'l [T],
    columns: usize,
) -> Result<impl Fn(usize) -> T + 'l, String> {
    if list.len() != 1 && list.len() != columns {
        return Err(format!("has {} {name} for {columns} columns", list.len()));
    }
    Ok(move |column: usize| list[if list.len() == 1 { 0 } else { column }])
}
