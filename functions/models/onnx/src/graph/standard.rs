//! The standard operators, which `rten` runs: graphs of them, and what is rewritten as them.

use std::{collections::HashMap, panic::catch_unwind, sync::Arc};

use bytes::Bytes;
use prost::Message;
use rten::{NodeId, RunOptions, ThreadPool, Value, ValueOrView};

use super::{
    kind::Kind,
    nodes::is_text,
    proto::{
        Attribute, GraphProto, Model, Node, OperatorSet, Tensor, TensorType, Type, ValueInfo,
        element,
    },
    texts::Texts,
};

/// A graph of standard operators, with the registers that hold its inputs and get its outputs.
pub(super) struct Standard {
    model: rten::Model,
    inputs: Vec<(NodeId, usize)>,
    outputs: Vec<NodeId>,
    registers: Vec<usize>,
}

/// What a [`Standard`] is made of.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) nodes: Vec<Node>,
    pub(super) constants: Vec<Tensor>,
    /// Names, kinds if known, and registers.
    pub(super) inputs: Vec<(String, Option<Kind>, usize)>,
    pub(super) outputs: Vec<(String, usize)>,
}

impl Part {
    /// Writes the graph as a file of its own and loads it.
    pub(super) fn load(self, ir_version: Option<i64>, opset: i64) -> Result<Standard, String> {
        let input = |(name, kind, _): &(String, Option<Kind>, usize)| ValueInfo {
            name: name.clone(),
            of_type: kind.map(|kind| Type {
                tensor: Some(TensorType { element: Some(kind.element()), shape: None }),
                sequence: None,
            }),
        };
        let output = |(name, _): &(String, usize)| ValueInfo { name: name.clone(), of_type: None };
        let graph = GraphProto {
            input: self.inputs.iter().map(input).collect(),
            output: self.outputs.iter().map(output).collect(),
            node: self.nodes,
            initializer: self.constants,
            value_info: Vec::new(),
        };
        let opset = OperatorSet { domain: Some(String::new()), version: Some(opset) };
        let model = Model { ir_version, graph: Some(graph), opset_import: vec![opset] };
        let inputs = self.inputs.into_iter().map(|(name, _, register)| (name, register));
        Standard::load(model.encode_to_vec(), inputs, self.outputs.into_iter())
    }
}

impl Standard {
    pub(super) fn load(
        file: Vec<u8>,
        inputs: impl Iterator<Item = (String, usize)>,
        outputs: impl Iterator<Item = (String, usize)>,
    ) -> Result<Self, String> {
        let model = catch_unwind(|| rten::Model::load(file))
            .map_err(|_| "the graph cannot be loaded".to_owned())?
            .map_err(|error| {
                format!(
                    "{error}; if an operator is not supported, export the model without it, or serve \
                     the model as a function of its own"
                )
            })?;
        let id = |name: &str| model.node_id(name).map_err(|error| error.to_string());
        let inputs = inputs.map(|(name, register)| Ok((id(&name)?, register)));
        let inputs = inputs.collect::<Result<_, String>>()?;
        let outputs = outputs.map(|(name, register)| Ok((id(&name)?, register)));
        let (outputs, registers) = outputs.collect::<Result<Vec<_>, String>>()?.into_iter().unzip();
        Ok(Self { model, inputs, outputs, registers })
    }

    pub(super) fn run(
        &self,
        pool: &Arc<ThreadPool>,
        registers: &mut [Option<Value>],
    ) -> Result<(), String> {
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let inputs = self.inputs.iter().map(|(id, register)| {
            let value = registers[*register].as_ref().ok_or("a value is missing")?;
            Ok((*id, ValueOrView::from(value)))
        });
        let inputs = inputs.collect::<Result<_, String>>()?;
        let outputs = self.model.run(inputs, &self.outputs, Some(options));
        let outputs = outputs.map_err(|error| error.to_string())?;
        for (register, output) in self.registers.iter().zip(outputs) {
            registers[*register] = Some(output);
        }
        Ok(())
    }
}

/// What a standard operator makes of texts, as far as that is the same for their codes: whether its
/// first output holds texts, or none if the operator cannot be used on texts.
pub(super) fn on_texts(operator: &str) -> Option<bool> {
    match operator {
        "Concat" | "Expand" | "Flatten" | "Gather" | "GatherElements" | "GatherND" | "Reshape"
        | "Slice" | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze" | "Where" => Some(true),
        "Equal" | "Shape" | "Size" => Some(false),
        _ => None,
    }
}

/// A constant of texts as their codes; other constants stay as they are.
pub(super) fn without_texts(
    mut tensor: Tensor,
    texts: &mut Texts,
) -> Result<(Tensor, bool), String> {
    if !is_text(&tensor) {
        return Ok((tensor, false));
    }
    let strings = std::mem::take(&mut tensor.string_data);
    let code = |text: Bytes| Ok(texts.intern(str::from_utf8(&text).map_err(|_| "not UTF-8")?));
    tensor.int32_data = strings.into_iter().map(code).collect::<Result<_, &str>>()?;
    tensor.data_type = Some(element::INT32);
    Ok((tensor, true))
}

/// `ArrayFeatureExtractor` as standard operators: the columns of `x` whose numbers are in `indices`.
/// Its constants are added to `constants`.
pub(super) fn extract(
    [x, indices]: [&str; 2],
    output: &str,
    x_is_vector: bool,
    constants: &mut HashMap<String, Tensor>,
) -> Vec<Node> {
    let mut shape = |sizes: &[i64]| {
        let name = format!("{output}/shape/{}", sizes.len());
        let tensor = Tensor {
            name: name.clone(),
            dims: vec![i64::try_from(sizes.len()).unwrap_or_default()],
            data_type: Some(element::INT64),
            int64_data: sizes.to_vec(),
            ..Tensor::default()
        };
        constants.insert(name.clone(), tensor);
        name
    };
    let (flat, picked) = (format!("{output}/indices"), format!("{output}/picked"));
    let axis = Attribute {
        name: "axis".to_owned(),
        i: Some(-1),
        kind: Some(2), // INT
        ..Attribute::default()
    };
    let mut nodes = vec![node("Reshape", [indices, &shape(&[-1])], &flat)];
    if x_is_vector {
        // The result for a vector is one row.
        nodes.push(Node { attribute: vec![axis], ..node("Gather", [x, &flat], &picked) });
        nodes.push(node("Reshape", [&picked, &shape(&[1, -1])], output));
    } else {
        nodes.push(Node { attribute: vec![axis], ..node("Gather", [x, &flat], output) });
    }
    nodes
}

fn node(operator: &str, inputs: [&str; 2], output: &str) -> Node {
    Node {
        op_type: operator.to_owned(),
        input: inputs.map(str::to_owned).to_vec(),
        output: vec![output.to_owned()],
        ..Node::default()
    }
}
