//! How a graph is executed: the operators of `ai.onnx.ml` here, and what is between them by `rten`. A `Sigmoid`
//! of what such an operator makes is executed here, too: `rten` would need a graph for it, which takes longer
//! than the operator.
//!
//! Standard operators are gathered into as few graphs as possible. Stage by stage first the standard
//! operators run whose inputs are there, as one graph, and then all others whose inputs are there.

use std::collections::{HashMap, HashSet};

use super::{
    attributes::Attributes,
    kind::Kind,
    nodes::{is_text, name, needed, unsupported},
    ops::{Operator, Typed},
    proto::{GraphProto, Node, Tensor},
    standard::{Part, Standard, extract, on_texts, without_texts},
    texts::Texts,
};

/// The domain of the operators for classical models.
pub(super) const ML: &str = "ai.onnx.ml";

/// A part of a graph. Values are in registers; the graph's inputs are in the first ones.
pub(super) enum Step {
    Standard(Standard),
    Own(Own),
}

/// An operator that is executed here.
pub(super) struct Own {
    /// Its name for people.
    pub(super) name: String,
    pub(super) operator: Operator,
    pub(super) input: usize,
    pub(super) outputs: Vec<usize>,
}

/// The nodes of a graph that are needed, in the order of the file.
pub(super) struct Plan {
    texts: Texts,
    constants: HashMap<String, Tensor>,
    /// The constants that are the codes of texts.
    text_constants: HashSet<String>,
    /// The values that nodes make, and the graph's inputs.
    values: HashMap<String, Made>,
    /// Names of values that are the same as others.
    aliases: HashMap<String, String>,
    standard: Vec<(usize, Node)>,
    own: Vec<(usize, OwnNode)>,
}

/// When a value is there.
#[derive(Clone, Copy, Debug)]
struct Made {
    kind: Option<Kind>,
    /// The first stage whose standard operators can use it.
    standard: usize,
    /// The first stage whose other operators can use it.
    own: usize,
}

struct OwnNode {
    name: String,
    operator: Operator,
    input: String,
    outputs: Vec<String>,
}

impl Plan {
    /// Reads the nodes that `wanted` needs. `inputs` are the graph's.
    pub(super) fn new(
        graph: GraphProto,
        inputs: &[(String, Kind)],
        wanted: &[String],
    ) -> Result<Self, String> {
        let mut plan = Self {
            texts: Texts::default(),
            constants: HashMap::new(),
            text_constants: HashSet::new(),
            values: HashMap::new(),
            aliases: HashMap::new(),
            standard: Vec::new(),
            own: Vec::new(),
        };
        for (name, kind) in inputs {
            let made = Made { kind: Some(*kind), standard: 0, own: 0 };
            plan.values.insert(name.clone(), made);
        }
        for constant in graph.initializer {
            plan.add_constant(constant)?;
        }
        for node in needed(graph.node, wanted) {
            let name = name(&node);
            plan.add(node).map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(plan)
    }

    fn add_constant(&mut self, constant: Tensor) -> Result<(), String> {
        let name = constant.name.clone();
        let wrong = |what: &str| format!("the constant {name}: {what}");
        if constant.data_location == Some(1) {
            return Err(wrong("is in another file: export the model into one file"));
        }
        let (constant, text) =
            without_texts(constant, &mut self.texts).map_err(|what| wrong(&what))?;
        if text {
            self.text_constants.insert(name.clone());
        }
        self.constants.insert(name, constant);
        Ok(())
    }

    fn add(&mut self, mut node: Node) -> Result<(), String> {
        for input in node.input.iter_mut().filter(|input| !input.is_empty()) {
            if let Some(same) = self.aliases.get(input) {
                input.clone_from(same);
            }
            if !self.values.contains_key(input) && !self.constants.contains_key(input) {
                return Err(format!("takes {input}, which no node before it makes"));
            }
        }
        // An output without a name is not used.
        let made = |output: &String| {
            (self.values.contains_key(output) && !output.is_empty())
                || self.constants.contains_key(output)
                || self.aliases.contains_key(output)
        };
        if let Some(output) = node.output.iter().find(|output| made(output)) {
            return Err(format!("makes {output}, which exists already"));
        }
        if node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            return Err(unsupported(&node));
        }
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Identity") | (ML, "ZipMap") => self.alias(&node),
            ("" | "ai.onnx", "Cast") => self.cast(node),
            ("" | "ai.onnx", "Constant") => self.constant(node),
            ("" | "ai.onnx", "Sigmoid") if self.is_made_here(&node.input) => {
                let outputs = vec![Kind::Float];
                self.own(&node, Typed { operator: Operator::Sigmoid, takes_text: false, outputs })
            }
            ("" | "ai.onnx", _) => self.standard(node),
            (ML, "ArrayFeatureExtractor") => self.extract(&node),
            (ML, _) => {
                let typed = Typed::read(&node, &mut self.texts)?;
                let typed = typed.ok_or_else(|| unsupported(&node))?;
                self.own(&node, typed)
            }
            _ => Err(unsupported(&node)),
        }
    }

    fn is_text(&self, name: &str) -> bool {
        self.kind(name) == Some(Kind::Text)
    }

    /// What a value holds, if that is known.
    fn kind(&self, name: &str) -> Option<Kind> {
        if self.text_constants.contains(name) {
            return Some(Kind::Text);
        }
        self.values.get(name).and_then(|made| made.kind)
    }

    /// Whether the values are floats that operators make that are executed here.
    fn is_made_here(&self, values: &[String]) -> bool {
        let made = |name: &String| self.values.get(name);
        let here = |made: &Made| made.kind == Some(Kind::Float) && made.own < made.standard;
        values.iter().all(|name| made(name).is_some_and(here))
    }

    /// A node whose output is its input.
    fn alias(&mut self, node: &Node) -> Result<(), String> {
        let ([input], [output]) = (&node.input[..], &node.output[..]) else {
            return Err("does not have one input and one output".to_owned());
        };
        self.aliases.insert(output.clone(), input.clone());
        Ok(())
    }

    fn cast(&mut self, node: Node) -> Result<(), String> {
        let from = node.input.first().and_then(|input| self.kind(input));
        let to = i32::try_from(Attributes(&node).int("to", 0)).unwrap_or_default();
        match (from, Kind::of_element(to)) {
            (Some(from), Some(to)) if from == to && to != Kind::Bool => self.alias(&node),
            (Some(Kind::Text), _) => Err("from text to numbers is not supported".to_owned()),
            (_, Some(Kind::Text)) => {
                let outputs = vec![Kind::Text];
                self.own(&node, Typed { operator: Operator::ToText, takes_text: false, outputs })
            }
            (_, kind) => {
                let output = node.output.first().cloned();
                self.standard(node)?;
                if let Some(made) = output.and_then(|output| self.values.get_mut(&output)) {
                    made.kind = kind;
                }
                Ok(())
            }
        }
    }

    fn constant(&mut self, mut node: Node) -> Result<(), String> {
        let value = node.attribute.iter_mut().find(|attribute| attribute.name == "value");
        let tensor = value.and_then(|attribute| attribute.t.take_if(|t| is_text(t)));
        match (tensor, &node.output[..]) {
            (Some(tensor), [name]) => self.add_constant(Tensor { name: name.clone(), ..tensor }),
            _ => self.standard(node),
        }
    }

    fn extract(&mut self, node: &Node) -> Result<(), String> {
        let ([x, indices], [output]) = (&node.input[..], &node.output[..]) else {
            return Err("does not have two inputs and one output".to_owned());
        };
        let is_vector = self.constants.get(x).is_some_and(|tensor| tensor.dims.len() == 1);
        for node in extract([x, indices], output, is_vector, &mut self.constants) {
            self.standard(node)?;
        }
        Ok(())
    }

    fn standard(&mut self, node: Node) -> Result<(), String> {
        let mut kind = None;
        if node.input.iter().any(|input| self.is_text(input)) {
            match on_texts(&node.op_type) {
                Some(true) => kind = Some(Kind::Text),
                Some(false) => {}
                None => return Err("is not supported on texts".to_owned()),
            }
        }
        let inputs = node.input.iter().filter_map(|input| self.values.get(input));
        let stage = inputs.map(|made| made.standard).max().unwrap_or(0);
        for output in &node.output {
            self.values.insert(output.clone(), Made { kind, standard: stage, own: stage });
        }
        self.standard.push((stage, node));
        Ok(())
    }

    fn own(&mut self, node: &Node, typed: Typed) -> Result<(), String> {
        let [input] = &node.input[..] else {
            return Err("does not have one input".to_owned());
        };
        let Some(made) = self.values.get(input) else {
            return Err("is not supported on a constant".to_owned());
        };
        if typed.takes_text != (made.kind == Some(Kind::Text)) {
            let (takes, gets) =
                if typed.takes_text { ("texts", "numbers") } else { ("numbers", "texts") };
            return Err(format!("takes {takes}, and gets {gets}"));
        }
        if node.output.len() > typed.outputs.len() {
            return Err("has too many outputs".to_owned());
        }
        let stage = made.own;
        for (output, kind) in node.output.iter().zip(typed.outputs) {
            let made = Made { kind: Some(kind), standard: stage + 1, own: stage };
            self.values.insert(output.clone(), made);
        }
        let name = name(node);
        let (operator, outputs) = (typed.operator, node.output.clone());
        self.own.push((stage, OwnNode { name, operator, input: input.clone(), outputs }));
        Ok(())
    }

    /// What an output of the graph holds, if that is known.
    pub(super) fn output_kind(&self, name: &str) -> Option<Kind> {
        self.kind(self.aliases.get(name).map_or(name, String::as_str))
    }

    /// The steps, the registers of the outputs, and the number of registers.
    pub(super) fn steps(
        self,
        inputs: &[(String, Kind)],
        wanted: &[String],
        ir_version: Option<i64>,
        opset: i64,
    ) -> Result<(Vec<Step>, Vec<usize>, usize, Texts), String> {
        let mut registers = Registers::default();
        for (name, _) in inputs {
            registers.of(name);
        }
        let wanted: Vec<String> =
            wanted.iter().map(|name| self.aliases.get(name).unwrap_or(name).clone()).collect();
        if let Some(name) = wanted.iter().find(|name| !self.values.contains_key(*name)) {
            return Err(format!("the output {name} is made by no node"));
        }
        let used = self.last_uses(&wanted);
        let stages = self.standard.iter().map(|(stage, _)| *stage);
        let last = stages.chain(self.own.iter().map(|(stage, _)| *stage)).max().unwrap_or(0);
        let (mut standard, mut own) = (by_stage(self.standard, last), by_stage(self.own, last));
        let mut steps = Vec::new();
        for stage in 0..=last {
            let nodes = std::mem::take(&mut standard[stage]);
            if !nodes.is_empty() {
                let is_kept = |name: &str| used.get(name).is_some_and(|last| *last > stage);
                let part = part(nodes, &self.constants, &self.values, is_kept, &mut registers);
                steps.push(Step::Standard(part.load(ir_version, opset)?));
            }
            for OwnNode { name, operator, input, outputs } in std::mem::take(&mut own[stage]) {
                let input = registers.of(&input);
                let outputs = outputs.iter().map(|output| registers.of(output)).collect();
                steps.push(Step::Own(Own { name, operator, input, outputs }));
            }
        }
        let outputs = wanted.iter().map(|name| registers.of(name)).collect();
        Ok((steps, outputs, registers.0.len(), self.texts))
    }
}

impl Plan {
    /// The last stage whose standard operators use a value; those that others use are used for ever.
    fn last_uses(&self, wanted: &[String]) -> HashMap<String, usize> {
        let mut used = HashMap::new();
        for (stage, node) in &self.standard {
            for input in &node.input {
                let last: &mut usize = used.entry(input.clone()).or_default();
                *last = (*last).max(*stage);
            }
        }
        let others = self.own.iter().map(|(_, node)| &node.input).chain(wanted);
        used.extend(others.map(|name| (name.clone(), usize::MAX)));
        used
    }
}

/// The registers of values.
#[derive(Default)]
struct Registers(HashMap<String, usize>);

impl Registers {
    fn of(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_owned()).or_insert(next)
    }
}

fn by_stage<T>(nodes: Vec<(usize, T)>, last: usize) -> Vec<Vec<T>> {
    let mut stages: Vec<Vec<T>> = Vec::new();
    stages.resize_with(last + 1, Vec::new);
    for (stage, node) in nodes {
        stages[stage].push(node);
    }
    stages
}

/// The graph of the standard operators of one stage. Its outputs are the values that are kept.
fn part(
    nodes: Vec<Node>,
    constants: &HashMap<String, Tensor>,
    values: &HashMap<String, Made>,
    is_kept: impl Fn(&str) -> bool,
    registers: &mut Registers,
) -> Part {
    let mut part = Part::default();
    let (mut known, mut made) = (HashSet::new(), HashSet::new());
    made.extend(nodes.iter().flat_map(|node| &node.output).cloned());
    for name in nodes.iter().flat_map(|node| &node.input) {
        if name.is_empty() || made.contains(name) || !known.insert(name.clone()) {
            continue;
        }
        if let Some(constant) = constants.get(name) {
            part.constants.push(constant.clone());
        } else {
            let kind = values.get(name).and_then(|made| made.kind);
            part.inputs.push((name.clone(), kind, registers.of(name)));
        }
    }
    let outputs = nodes.iter().flat_map(|node| &node.output).filter(|name| is_kept(name));
    part.outputs = outputs.map(|name| (name.clone(), registers.of(name))).collect();
    part.nodes = nodes;
    part
}
