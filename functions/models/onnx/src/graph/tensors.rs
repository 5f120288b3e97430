//! Tensors as the operators of `ai.onnx.ml` see them.

use std::borrow::Cow;

use rten::Value;
use rten_tensor::{AsView, Layout, Tensor};

/// A tensor's numbers, row by row.
#[derive(Debug)]
pub(super) struct Numbers<'v, T: Clone> {
    pub(super) shape: Vec<usize>,
    pub(super) data: Cow<'v, [T]>,
}

impl<T: Clone> Numbers<'_, T> {
    /// Rows and columns. A vector is one row.
    pub(super) fn matrix(&self) -> Result<(usize, usize), String> {
        match self.shape[..] {
            [columns] => Ok((1, columns)),
            [rows, columns] => Ok((rows, columns)),
            _ => Err(format!("takes rows and columns, and gets the shape {:?}", self.shape)),
        }
    }
}

/// The most numbers of a tensor that an operator makes: a file can ask for any size.
const MAX_NUMBERS: usize = 1 << 24;

/// The size of a tensor of so many rows.
pub(super) fn size(rows: usize, columns: usize) -> Result<usize, String> {
    let size = rows.checked_mul(columns).filter(|size| *size <= MAX_NUMBERS);
    size.ok_or_else(|| format!("makes more than {MAX_NUMBERS} numbers"))
}

/// The numbers as floats.
#[expect(clippy::cast_precision_loss, reason = "the operators compute with f32")]
pub(super) fn floats(value: &Value) -> Result<Numbers<'_, f32>, String> {
    match value {
        Value::FloatTensor(tensor) => Ok(numbers(tensor)),
        Value::Int32Tensor(tensor) => {
            let Numbers { shape, data } = numbers(tensor);
            Ok(Numbers { shape, data: data.iter().map(|number| *number as f32).collect() })
        }
        _ => Err(format!("does not take a {}", value.dtype())),
    }
}

/// The numbers as whole numbers; what follows the point of a float is left out.
#[expect(clippy::cast_possible_truncation, reason = "as ONNX defines it")]
pub(super) fn whole(value: &Value) -> Result<Numbers<'_, i32>, String> {
    match value {
        Value::Int32Tensor(tensor) => Ok(numbers(tensor)),
        Value::FloatTensor(tensor) => {
            let Numbers { shape, data } = numbers(tensor);
            Ok(Numbers { shape, data: data.iter().map(|number| *number as i32).collect() })
        }
        _ => Err(format!("does not take a {}", value.dtype())),
    }
}

fn numbers<T: Clone>(tensor: &Tensor<T>) -> Numbers<'_, T> {
    let shape = tensor.shape().to_vec();
    let data = tensor.data().map_or_else(|| Cow::Owned(tensor.to_vec()), Cow::Borrowed);
    Numbers { shape, data }
}

/// A tensor. The length of `data` is the product of `shape`.
pub(super) fn tensor<T>(shape: &[usize], data: Vec<T>) -> Result<Value, String>
where
    Value: From<Tensor<T>>,
{
    Value::from_shape(shape, data).map_err(|error| error.to_string())
}
