//! The inputs of a call, each with the tensor of the endpoint that it is.

use rendezvous_core::{Tensor, Tensors, names::shown};
use serde_json::value::RawValue;

use super::{
    element::{array, check, nested},
    request::{Input, listed},
};
use crate::http::problem::Problem;

/// What to do instead of sending binary data.
pub(super) const SEND_JSON: &str = "Send each input's data as a JSON array; with tritonclient and KServe's client, set binary_data=False.";

/// The elements of one input, row after row.
pub(super) struct Column<'a> {
    pub(super) rows: usize,
    elements: Vec<&'a RawValue>,
    of_a_row: usize,
}

impl<'a> Column<'a> {
    /// The elements of one row.
    pub(super) fn row(&self, row: usize) -> &[&'a RawValue] {
        self.elements.get(row * self.of_a_row..(row + 1) * self.of_a_row).unwrap_or_default()
    }
}

/// The inputs in the order of the endpoint's tensors. All have the same number of rows.
pub(super) fn columns<'a>(
    tensors: &Tensors,
    inputs: &[Input<'a>],
) -> Result<Vec<Column<'a>>, Problem> {
    let names = || tensors.inputs.iter().map(|tensor| tensor.name.as_str());
    for (i, Input { name, .. }) in inputs.iter().enumerate() {
        let shown = shown(name);
        if names().all(|known| known != name) {
            let known = listed(names());
            return Err(Problem::malformed(format!(
                "There is no input {shown}; there are {known}."
            )));
        }
        if inputs[..i].iter().any(|before| before.name == *name) {
            return Err(Problem::malformed(format!("The input {shown} is there twice.")));
        }
    }
    let mut columns: Vec<Column<'a>> = Vec::with_capacity(tensors.inputs.len());
    for tensor in &tensors.inputs {
        let name = shown(&tensor.name);
        let input = inputs.iter().find(|input| input.name == tensor.name);
        let input =
            input.ok_or_else(|| Problem::malformed(format!("The input {name} is missing.")))?;
        let column = column(tensor, input)
            .map_err(|wrong| Problem::malformed(format!("The input {name} {wrong}.")))?;
        if let Some(first) = columns.first()
            && first.rows != column.rows
        {
            let (first, first_name) = (first.rows, listed(names().take(1)));
            return Err(Problem::malformed(format!(
                "The input {name} has {} rows, {first_name} has {first}.",
                column.rows
            )));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn column<'a>(tensor: &Tensor, input: &Input<'a>) -> Result<Column<'a>, String> {
    let expected = tensor.datatype.as_str();
    if input.datatype != expected {
        let datatype = shown(&input.datatype);
        return Err(format!("has the datatype {datatype}; it must be {expected}"));
    }
    let shape: Option<Vec<usize>> =
        input.shape.iter().map(|dimension| usize::try_from(*dimension).ok()).collect();
    let of_a_row = tensor.row_elements();
    let rows = match shape.as_deref() {
        Some([rows, row @ ..]) if *row == *tensor.row_shape() => *rows,
        _ => {
            let (found, expected) = (&input.shape, &tensor.shape);
            return Err(format!("has the shape {found:?}; it must be {expected:?}"));
        }
    };
    let data = input.data.ok_or_else(|| format!("has no data. {SEND_JSON}"))?;
    let list = array(data).ok_or("has data that are not an array")?;
    let is_flat = list.first().is_none_or(|first| !first.get().starts_with('['));
    let mut elements = Vec::new();
    if is_flat {
        if rows.checked_mul(of_a_row) != Some(list.len()) {
            let (found, shape) = (list.len(), &input.shape);
            return Err(format!("has {found} elements; its shape is {shape:?}"));
        }
        elements = list;
    } else {
        if list.len() != rows {
            let (found, shape) = (list.len(), &input.shape);
            return Err(format!("has data of {found} rows; its shape is {shape:?}"));
        }
        for (row, each) in list.into_iter().enumerate() {
            nested(each, &tensor.row_shape(), &mut elements)
                .map_err(|wrong| format!("row {row}, {wrong}"))?;
        }
    }
    for (i, element) in elements.iter().enumerate() {
        check(tensor.datatype, element.get())
            .map_err(|wrong| format!("row {}, element {} {wrong}", i / of_a_row, i % of_a_row))?;
    }
    Ok(Column { rows, elements, of_a_row })
}
