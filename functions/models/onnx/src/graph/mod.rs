//! An ONNX file: what it takes and returns, and how it is run.
//!
//! A file of standard operators only is given to `rten` as it is. In another one the operators of
//! `ai.onnx.ml` are executed here, and `rten` runs the graphs of standard operators between them.

mod attributes;
mod kind;
mod nodes;
mod ops;
mod plan;
mod proto;
mod standard;
mod tensors;
#[cfg(test)]
mod tests;
mod texts;

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use prost::Message;
use rten::{ThreadPool, Value};

use self::{
    nodes::is_text,
    plan::{ML, Plan, Step},
    proto::{GraphProto, Model, ValueInfo},
    standard::Standard,
    tensors::{floats, tensor, whole},
};

pub(crate) use self::{kind::Kind, texts::Texts};

/// The most nodes of a file.
const MAX_NODES: usize = 100_000;

/// An ONNX file that has been read, and not been made ready to run.
pub(crate) struct File {
    bytes: Bytes,
    model: Model,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// An input or output of a graph.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// None if it is nothing that is supported.
    pub(crate) kind: Option<Kind>,
    /// The sizes that the file gives it; one that it leaves open is none.
    pub(crate) shape: Option<Vec<Option<usize>>>,
}

/// Numbers row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Floats(Vec<f32>),
    Whole(Vec<i32>),
}

/// A table of numbers: an input of a graph, or an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: usize,
    pub(crate) data: Data,
}

/// Rows for a graph.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) rows: usize,
    /// Whether the values are made up, so that categories may be unknown.
    pub(crate) sample: bool,
    /// One table for each of the graph's inputs.
    pub(crate) tables: Vec<Table>,
}

impl Table {
    /// Keeps the first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.data {
            Data::Floats(data) => data.truncate(rows * self.columns),
            Data::Whole(data) => data.truncate(rows * self.columns),
        }
    }
}

/// A graph, ready to run.
pub(crate) struct Graph {
    steps: Vec<Step>,
    registers: usize,
    /// Whether each input is a vector, not a matrix.
    vectors: Vec<bool>,
    /// The registers and kinds of the outputs.
    outputs: Vec<(usize, Kind)>,
    texts: Arc<Texts>,
}

impl File {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, String> {
        let bytes = Bytes::from(bytes);
        let model =
            Model::decode(bytes.clone()).map_err(|error| format!("no ONNX file: {error}"))?;
        let graph = model.graph.as_ref().ok_or("no ONNX file: it has no graph")?;
        if graph.node.len() > MAX_NODES {
            return Err(format!("the graph has more than {MAX_NODES} nodes"));
        }
        let constants: HashSet<&str> =
            graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let inputs = graph.input.iter().filter(|input| !constants.contains(input.name.as_str()));
        let inputs = inputs.map(port).collect();
        let zipped = graph.node.iter().filter(|node| node.op_type == "ZipMap" && node.domain == ML);
        let zipped: HashSet<&str> =
            zipped.flat_map(|node| &node.output).map(String::as_str).collect();
        let mut outputs: Vec<Port> = graph.output.iter().map(port).collect();
        for output in &mut outputs {
            if zipped.contains(output.name.as_str()) {
                // A list of maps from labels to scores is the same as the table of the scores.
                output.kind = Some(Kind::Float);
            }
        }
        Ok(Self { bytes, model, inputs, outputs })
    }

    pub(crate) fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    pub(crate) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The graph that computes the outputs with these numbers. Each input's kind must be known.
    pub(crate) fn graph(self, wanted: &[usize]) -> Result<Graph, String> {
        let kinds = self.inputs.iter().map(|port| Some((port.name.clone(), port.kind?)));
        let inputs: Vec<(String, Kind)> =
            kinds.collect::<Option<_>>().ok_or("an input has no kind")?;
        let rank = |port: &Port| port.shape.as_ref().is_some_and(|shape| shape.len() == 1);
        let vectors = self.inputs.iter().map(rank).collect();
        let wanted = wanted.iter().filter_map(|i| self.outputs.get(*i));
        let wanted: Vec<(String, Kind)> = wanted
            .map(|port| Some((port.name.clone(), port.kind?)))
            .collect::<Option<_>>()
            .ok_or("an output has no kind")?;
        let (names, kinds): (Vec<String>, Vec<Kind>) = wanted.into_iter().unzip();
        let Model { ir_version, graph, opset_import } = self.model;
        let graph = graph.ok_or("no graph")?;
        if is_standard(&graph) {
            drop(graph);
            let registers = inputs.len() + names.len();
            let outputs = inputs.len()..registers;
            let step = Standard::load(
                self.bytes.into(),
                inputs.into_iter().map(|(name, _)| name).zip(0..),
                names.into_iter().zip(outputs.clone()),
            )?;
            let (steps, outputs) = (vec![Step::Standard(step)], outputs.zip(kinds).collect());
            return Ok(Graph { steps, registers, vectors, outputs, texts: Arc::default() });
        }
        let opset = opset_import.iter().filter(|set| matches!(set.domain(), "" | "ai.onnx"));
        let opset = opset.filter_map(|set| set.version).max().unwrap_or(13);
        let plan = Plan::new(graph, &inputs, &names)?;
        for (name, kind) in names.iter().zip(&kinds) {
            if (plan.output_kind(name) == Some(Kind::Text)) != (*kind == Kind::Text) {
                return Err(format!("the output {name} is declared as {kind}, and is not"));
            }
        }
        let (steps, outputs, registers, texts) = plan.steps(&inputs, &names, ir_version, opset)?;
        let outputs = outputs.into_iter().zip(kinds).collect();
        Ok(Graph { steps, registers, vectors, outputs, texts: Arc::new(texts) })
    }
}

impl Graph {
    pub(crate) fn texts(&self) -> &Arc<Texts> {
        &self.texts
    }

    /// The outputs for a batch, on the thread of `pool`.
    pub(crate) fn run(&self, pool: &Arc<ThreadPool>, batch: Batch) -> Result<Vec<Table>, String> {
        let Batch { rows, sample, tables: inputs } = batch;
        let mut registers: Vec<Option<Value>> = Vec::new();
        registers.resize_with(self.registers, || None);
        for ((register, input), vector) in registers.iter_mut().zip(inputs).zip(&self.vectors) {
            let shape = [rows, input.columns];
            let shape = if *vector { &shape[..1] } else { &shape };
            *register = Some(match input.data {
                Data::Floats(data) => tensor(shape, data)?,
                Data::Whole(data) => tensor(shape, data)?,
            });
        }
        for step in &self.steps {
            match step {
                Step::Standard(graph) => graph.run(pool, &mut registers)?,
                Step::Own(own) => {
                    let wrong = |what| format!("{}: {what}", own.name);
                    let x = registers[own.input].as_ref().ok_or("a value is missing")?;
                    let outputs = own.operator.run(x, &self.texts, sample).map_err(wrong)?;
                    for (register, output) in own.outputs.iter().zip(outputs) {
                        registers[*register] = Some(output);
                    }
                }
            }
        }
        self.outputs
            .iter()
            .map(|(register, kind)| table(&mut registers, *register, *kind, rows))
            .collect()
    }
}

/// The table in a register.
fn table(
    registers: &mut [Option<Value>],
    register: usize,
    kind: Kind,
    rows: usize,
) -> Result<Table, String> {
    let value = registers[register].as_ref().ok_or("an output is missing")?;
    let (shape, data) = match kind {
        Kind::Float => {
            let numbers = floats(value)?;
            (numbers.shape, Data::Floats(numbers.data.into_owned()))
        }
        Kind::Whole | Kind::Bool | Kind::Text => {
            let numbers = whole(value)?;
            (numbers.shape, Data::Whole(numbers.data.into_owned()))
        }
    };
    match shape[..] {
        [of, columns] if of == rows => Ok(Table { columns, data }),
        [of] if of == rows => Ok(Table { columns: 1, data }),
        _ => Err(format!("the output's shape is {shape:?}, not [{rows}, columns]")),
    }
}

fn port(info: &ValueInfo) -> Port {
    let tensor = info.of_type.as_ref().and_then(|of_type| of_type.tensor.as_ref());
    let size = |value: Option<i64>| value.and_then(|size| usize::try_from(size).ok());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    Port {
        name: info.name.clone(),
        kind: tensor.and_then(|tensor| Kind::of_element(tensor.element?)),
        shape: shape.map(|shape| shape.dim.iter().map(|dim| size(dim.value)).collect()),
    }
}

/// Whether a graph has standard operators and numbers only.
fn is_standard(graph: &GraphProto) -> bool {
    let texts = graph.initializer.iter().any(is_text)
        || graph.input.iter().chain(&graph.output).any(|info| port(info).kind == Some(Kind::Text))
        || graph
            .node
            .iter()
            .flat_map(|node| &node.attribute)
            .any(|a| a.t.as_ref().is_some_and(is_text));
    !texts && graph.node.iter().all(|node| node.domain != ML)
}
