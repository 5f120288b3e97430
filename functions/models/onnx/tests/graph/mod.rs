//! Writes small ONNX files: `p = MatMul(x, [[1], [2]])`, where `x` has two columns.
//!
//! An ONNX file is a protocol buffer of a few kinds of fields; the numbers below are those of
//! `onnx.proto`, which names them in the comments.

use std::{fs, path::PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// How the number of rows is limited.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows {
    /// `x` is declared as `[N, 2]`.
    Any,
    /// `x` is declared as `[rows, 2]`.
    Declared(u64),
    /// `x` is declared as `[N, 2]`, but a `Reshape` to `[1, 2]` works with one row only.
    OneInside,
}

/// A folder with such a model and its card; returns the card's path, too.
pub(crate) fn model(rows: Rows) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let onnx = onnx(rows);
    let card = format!(
        r#"{{ "model": "sum@1", "about": "A test.", "endpoints": ["e"], "onnx": "sum.onnx",
              "timeout_ms": 1000, "inputs": [{{"field": "/a"}}, {{"field": "/b"}}],
              "outputs": ["p"], "provenance": {{ "sha256": "{:x}" }} }}"#,
        Hex(&Sha256::digest(&onnx))
    );
    fs::write(folder.path().join("sum.onnx"), onnx).unwrap();
    let path = folder.path().join("sum.json");
    fs::write(&path, card).unwrap();
    (folder, path)
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn onnx(rows: Rows) -> Vec<u8> {
    let declared = match rows {
        Rows::Declared(rows) => Some(rows),
        Rows::Any | Rows::OneInside => None,
    };
    let mut graph = Message::default();
    let from = if matches!(rows, Rows::OneInside) {
        graph = graph.message(1, &node("Reshape", &["x", "shape"], "reshaped"));
        "reshaped"
    } else {
        "x"
    };
    let graph = graph
        .message(1, &node("MatMul", &[from, "weights"], "p")) // GraphProto.node
        .text(2, "sum") // GraphProto.name
        .message(5, &tensor("weights", 1, &[2, 1], &floats(&[1.0, 2.0]))) // .initializer, FLOAT
        .message(5, &tensor("shape", 7, &[2], &integers(&[1, 2]))) // INT64
        .message(11, &value("x", declared, 2)) // GraphProto.input
        .message(12, &value("p", declared, 1)); // GraphProto.output
    let opset = Message::default().text(1, "").number(2, 17); // OperatorSetIdProto
    Message::default()
        .number(1, 8) // ModelProto.ir_version
        .message(7, &graph) // ModelProto.graph
        .message(8, &opset) // ModelProto.opset_import
        .0
}

/// A `NodeProto`.
fn node(operator: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    node.text(2, output).text(4, operator)
}

/// A `TensorProto` with its data in `raw_data`.
fn tensor(name: &str, data_type: u64, shape: &[u64], data: &[u8]) -> Message {
    let tensor = shape.iter().fold(Message::default(), |tensor, size| tensor.number(1, *size));
    tensor.number(2, data_type).text(8, name).bytes(9, data)
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn integers(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A `ValueInfoProto` of a tensor of floats, `[rows or N, columns]`.
fn value(name: &str, rows: Option<u64>, columns: u64) -> Message {
    let rows = match rows {
        Some(rows) => Message::default().number(1, rows), // Dimension.dim_value
        None => Message::default().text(2, "N"),          // Dimension.dim_param
    };
    let columns = Message::default().number(1, columns);
    let shape = Message::default().message(1, &rows).message(1, &columns); // TensorShapeProto.dim
    let tensor = Message::default().number(1, 1).message(2, &shape); // .elem_type FLOAT, .shape
    let of_type = Message::default().message(1, &tensor); // TypeProto.tensor_type
    Message::default().text(1, name).message(2, &of_type)
}

/// An encoded message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
