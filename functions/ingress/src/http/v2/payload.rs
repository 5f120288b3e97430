//! Payloads of rows: each element is put where the endpoint's tensors say.

use std::fmt::Write;

use rendezvous_core::{Json, Tensors, tensors::pointer_parts};
use serde_json::value::RawValue;

use super::input::Column;
use crate::http::problem::Problem;

/// A value of the payload.
enum Node {
    Object(Vec<(String, Node)>),
    /// Of a tensor, one column, or none for all.
    Value(usize, Option<usize>),
}

/// The payload of each row.
pub(super) fn payloads(
    tensors: &Tensors,
    columns: &[Column<'_>],
    rows: usize,
    max_bytes: usize,
) -> Result<Vec<Json>, Problem> {
    let root = tree(tensors);
    // One element is a scalar, whatever the dimensions are.
    let shapes = tensors.inputs.iter().map(|tensor| match tensor.row_elements() {
        1 => Vec::new(),
        _ => tensor.row_shape(),
    });
    let shapes: Vec<Vec<usize>> = shapes.collect();
    let payload = |row| {
        let mut text = String::new();
        write(&root, &shapes, columns, row, &mut text);
        if text.len() > max_bytes {
            return Err(Problem::too_large(text.len(), max_bytes).of(format_args!("Row {row}")));
        }
        let invalid = |invalid| Problem::malformed(format!("Row {row}: its payload is {invalid}."));
        Json::parse(&text).map_err(invalid)
    };
    (0..rows).map(payload).collect()
}

fn tree(tensors: &Tensors) -> Node {
    let mut root = Node::Object(Vec::new());
    for (i, tensor) in tensors.inputs.iter().enumerate() {
        let one = tensor.field.is_some();
        for (j, pointer) in tensor.pointers().iter().enumerate() {
            let parts = pointer_parts(pointer).unwrap_or_default();
            root.put(&parts, Node::Value(i, (!one).then_some(j)));
        }
    }
    root
}

impl Node {
    fn put(&mut self, parts: &[String], value: Self) {
        let Some((first, rest)) = parts.split_first() else {
            *self = value;
            return;
        };
        // The configuration allows no pointer through the value of another one.
        let Self::Object(members) = self else { return };
        let at = members.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            members.push((first.clone(), Self::Object(Vec::new())));
            members.len() - 1
        });
        if let Some((_, member)) = members.get_mut(at) {
            member.put(rest, value);
        }
    }
}

fn write(
    node: &Node,
    shapes: &[Vec<usize>],
    columns: &[Column<'_>],
    row: usize,
    text: &mut String,
) {
    match node {
        Node::Object(members) => {
            text.push('{');
            for (i, (name, member)) in members.iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                // Writing to a string cannot fail.
                let _ = write!(text, "{comma}{}:", serde_json::Value::from(name.as_str()));
                write(member, shapes, columns, row, text);
            }
            text.push('}');
        }
        Node::Value(tensor, column) => {
            let elements = columns.get(*tensor).map_or(&[][..], |column| column.row(row));
            let (elements, shape) = match column {
                Some(column) => (elements.get(*column..=*column).unwrap_or_default(), &[][..]),
                None => (elements, shapes.get(*tensor).map_or(&[][..], Vec::as_slice)),
            };
            array(elements, shape, text);
        }
    }
}

/// Writes elements as nested arrays of this shape.
fn array(elements: &[&RawValue], shape: &[usize], text: &mut String) {
    let Some((length, inner)) = shape.split_first() else {
        for element in elements {
            text.push_str(element.get());
        }
        return;
    };
    text.push('[');
    let size = elements.len() / (*length).max(1);
    for (i, part) in elements.chunks(size.max(1)).enumerate() {
        if i > 0 {
            text.push(',');
        }
        array(part, inner, text);
    }
    text.push(']');
}
