//! Where a card's inputs are in a payload.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    graph::Texts,
    input::{Found, Input},
};

/// The places of inputs in payloads.
///
/// It finds what `serde_json::Value::pointer` would find: of several members of one name the last
/// counts, and a number in a pointer is a member of an object or an item of an array.
#[derive(Debug)]
pub(crate) struct Fields {
    inputs: Vec<Input>,
    /// The first node is the payload.
    nodes: Vec<Node>,
}

/// A value of the payload that is an input, or that has inputs below it.
#[derive(Debug, Default)]
struct Node {
    /// The inputs that this value is.
    inputs: Vec<usize>,
    /// The inputs below it.
    below: Vec<usize>,
    children: Vec<Child>,
    /// How many items the value has at most, if it is an array that is an input.
    length: Option<usize>,
}

#[derive(Debug)]
struct Child {
    /// Its name in an object.
    name: String,
    /// Its place in an array, if the name can be one.
    index: Option<usize>,
    node: usize,
}

impl Fields {
    /// The columns of the entries of a card.
    pub(crate) fn new(entries: &[Input]) -> Self {
        let inputs: Vec<Input> = entries.iter().flat_map(Input::columns).collect();
        let mut nodes = vec![Node::default()];
        for (i, input) in inputs.iter().enumerate() {
            let at = place(&mut nodes, input.steps(), |node| node.below.push(i));
            nodes[at].inputs.push(i);
        }
        for entry in entries.iter().filter(|entry| entry.length().is_some()) {
            let at = place(&mut nodes, entry.steps(), |_| {});
            nodes[at].length = entry.length();
        }
        Self { inputs, nodes }
    }

    /// One input per column.
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Finds what a payload has for each column.
    pub(crate) fn find(
        &self,
        payload: &str,
        texts: &Texts,
        found: &mut [Found],
    ) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_str(payload);
        At { fields: self, texts, node: 0, found }.deserialize(&mut json)
    }
}

/// The node at the end of a path. `passes` gets all nodes before it.
fn place(
    nodes: &mut Vec<Node>,
    path: impl Iterator<Item = String>,
    mut passes: impl FnMut(&mut Node),
) -> usize {
    let mut at = 0;
    for name in path {
        passes(&mut nodes[at]);
        let known = nodes[at].child_named(&name);
        at = if let Some(node) = known {
            node
        } else {
            let (node, index) = (nodes.len(), index(&name));
            nodes[at].children.push(Child { name, index, node });
            nodes.push(Node::default());
            node
        };
    }
    at
}

impl Node {
    fn child_named(&self, name: &str) -> Option<usize> {
        self.children.iter().find(|child| child.name == name).map(|child| child.node)
    }

    /// The child for an item of an array. The items of an input that is an array are in their order.
    fn child_at(&self, place: usize) -> Option<usize> {
        let is_it = |child: &&Child| child.index == Some(place);
        let child = self.children.get(place).filter(is_it);
        child.or_else(|| self.children.iter().find(is_it)).map(|child| child.node)
    }
}

/// The place in an array that a step of a JSON pointer stands for (RFC 6901, section 4).
fn index(name: &str) -> Option<usize> {
    let canonical = !name.starts_with('+') && (name == "0" || !name.starts_with('0'));
    if canonical { name.parse().ok() } else { None }
}

/// Reads the value of a node.
struct At<'r, 'f> {
    fields: &'r Fields,
    texts: &'r Texts,
    node: usize,
    found: &'f mut [Found],
}

impl At<'_, '_> {
    fn node(&self) -> &Node {
        &self.fields.nodes[self.node]
    }

    /// What the inputs of this node have found. Nothing is below a value that has no members.
    fn is(self, value: impl Fn(&Input) -> Found) {
        let Self { fields, node, found, .. } = self;
        let Node { inputs, below, .. } = &fields.nodes[node];
        for i in below {
            found[*i] = Found::Nothing;
        }
        for i in inputs {
            found[*i] = value(&fields.inputs[*i]);
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.is(|_| Found::Nothing);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.is(|_| Found::Bool(value));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.is(|_| Found::Number(number as f64));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.is(|_| Found::Number(number as f64));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.is(|_| Found::Number(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let texts = self.texts;
        self.is(|input| input.string(text, texts));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        At { found: &mut *self.found, ..self }.is(|_| Found::Other);
        while let Some(child) = members.next_key_seed(Name(&self.node().children))? {
            match child {
                Some(node) => {
                    members.next_value_seed(At { node, found: &mut *self.found, ..self })?;
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        At { found: &mut *self.found, ..self }.is(|_| Found::Other);
        for place in 0.. {
            let more = match self.node().child_at(place) {
                Some(node) => {
                    items.next_element_seed(At { node, found: &mut *self.found, ..self })?
                }
                None => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                break;
            }
            if self.node().length.is_some_and(|length| place >= length) {
                for i in &self.fields.nodes[self.node].below {
                    self.found[*i] = Found::TooMany;
                }
            }
        }
        Ok(())
    }
}

/// Reads the name of a member: the node of that name.
struct Name<'r>(&'r [Child]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|child| child.name == name).map(|child| child.node))
    }
}
