//! The nodes of a graph: which are needed, and how they are told to people.

use std::collections::HashSet;

use super::proto::{Node, Tensor, element};

/// The nodes that make the wanted values and what these are made of, in the order of the file.
pub(super) fn needed(nodes: Vec<Node>, wanted: &[String]) -> Vec<Node> {
    let mut names: HashSet<String> = wanted.iter().cloned().collect();
    let mut needed: Vec<Node> = Vec::new();
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|output| names.contains(output)) {
            names.extend(node.input.iter().cloned());
            needed.push(node);
        }
    }
    needed.reverse();
    needed
}

/// Whether a constant holds texts.
pub(super) fn is_text(tensor: &Tensor) -> bool {
    tensor.data_type == Some(element::STRING)
}

/// A node for people.
pub(super) fn name(node: &Node) -> String {
    if node.name.is_empty() {
        format!("the operator {}", node.op_type)
    } else {
        format!("the operator {} ({})", node.op_type, node.name)
    }
}

pub(super) fn unsupported(node: &Node) -> String {
    let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
    let hint = match node.op_type.as_str() {
        "TreeEnsemble" => "export the model with the target opset 3 of ai.onnx.ml",
        _ => "export the model without it",
    };
    format!(
        "of the domain {domain} is not supported: {hint}, or serve the model as a function of its own"
    )
}
