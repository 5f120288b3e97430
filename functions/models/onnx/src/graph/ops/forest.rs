//! Decision trees, as they are evaluated.
//!
//! The lists of a file are checked when they are read: every node is reached on one path, so that the walk
//! from a root ends, and every index is within its list.

use std::collections::{HashMap, HashSet};

use super::scores::MAX_TARGETS;
use crate::graph::tensors::size;

/// All trees of an operator. The two children of a node are neighbours.
#[derive(Debug)]
pub(super) struct Forest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    weights: Vec<Weight>,
    targets: usize,
    /// How many columns a row must have.
    columns: usize,
    /// Whether the result is the mean of the trees instead of their sum.
    mean: bool,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    test: Test,
    /// Whether a missing value (NaN) passes the test.
    missing: bool,
    /// The column that is tested; of a leaf, the number of its weights.
    column: u32,
    threshold: f32,
    /// The child of a value that passes the test, and the other one follows; of a leaf, its first weight.
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Leaf,
    /// Whether the value is at most the threshold.
    AtMost,
    Equal,
}

#[derive(Clone, Copy, Debug)]
struct Weight {
    target: u32,
    weight: f64,
}

/// Trees as an ONNX file has them: lists with one entry per node, and lists with one per weight.
#[derive(Debug, Default)]
pub(super) struct Lists<'n> {
    pub(super) trees: &'n [i64],
    pub(super) nodes: &'n [i64],
    pub(super) columns: &'n [i64],
    pub(super) modes: Vec<&'n str>,
    pub(super) thresholds: Vec<f64>,
    pub(super) passed: &'n [i64],
    pub(super) failed: &'n [i64],
    /// May be empty: a missing value passes no test.
    pub(super) missing: &'n [i64],
    pub(super) weight_trees: &'n [i64],
    pub(super) weight_nodes: &'n [i64],
    pub(super) weight_targets: &'n [i64],
    pub(super) weights: Vec<f64>,
}

impl Forest {
    pub(super) fn new(lists: &Lists<'_>, targets: usize, mean: bool) -> Result<Self, String> {
        lists.check_lengths()?;
        if targets == 0 || targets > MAX_TARGETS {
            return Err(format!("has {targets} targets, not 1 to {MAX_TARGETS}"));
        }
        let places = lists.places()?;
        let weights = lists.weights_of_nodes(&places, targets)?;
        let mut forest = Self {
            nodes: Vec::with_capacity(lists.nodes.len()),
            roots: Vec::new(),
            weights: Vec::with_capacity(lists.weights.len()),
            targets,
            columns: 0,
            mean,
        };
        let (mut seen, mut trees) = (vec![false; lists.nodes.len()], HashSet::new());
        for (root, tree) in lists.trees.iter().enumerate() {
            // The first node of a tree is its root.
            if root > 0 && lists.trees[root - 1] == *tree {
                continue;
            }
            if !trees.insert(tree) {
                return Err(format!("the nodes of tree {tree} do not follow one another"));
            }
            forest.plant(lists, &places, &weights, root, &mut seen)?;
        }
        Ok(forest)
    }

    /// Adds the tree whose root is at `root` of the lists.
    fn plant(
        &mut self,
        lists: &Lists<'_>,
        places: &Places,
        weights: &[Vec<Weight>],
        root: usize,
        seen: &mut [bool],
    ) -> Result<(), String> {
        let blank = Node { test: Test::Leaf, missing: false, column: 0, threshold: 0.0, next: 0 };
        self.roots.push(index(self.nodes.len())?);
        self.nodes.push(blank);
        // Pairs of a place in the lists and the place of its node here.
        let mut open = vec![(root, self.nodes.len() - 1)];
        while let Some((from, to)) = open.pop() {
            if std::mem::replace(&mut seen[from], true) {
                let (tree, node) = (lists.trees[from], lists.nodes[from]);
                return Err(format!("node {node} of tree {tree} is reached on two paths"));
            }
            let mut node = lists.test(from)?;
            if node.test == Test::Leaf {
                node.next = index(self.weights.len())?;
                node.column = index(weights[from].len())?;
                self.weights.extend(&weights[from]);
            } else {
                let next = self.nodes.len();
                node.next = index(next)?;
                self.columns = self.columns.max(node.column as usize + 1);
                self.nodes.extend([blank, blank]);
                let swapped = lists.is_negated(from);
                for (child, to) in [(lists.passed, next), (lists.failed, next + 1)] {
                    let to = if swapped { next + next + 1 - to } else { to };
                    let key = (lists.trees[from], child[from]);
                    let place = places.get(&key).ok_or_else(|| {
                        format!("tree {} has no node {}", lists.trees[from], child[from])
                    })?;
                    open.push((*place, to));
                }
            }
            self.nodes[to] = node;
        }
        Ok(())
    }

    /// The sums of the targets, row by row.
    pub(super) fn sums(&self, rows: usize, columns: usize, x: &[f32]) -> Result<Vec<f64>, String> {
        if columns < self.columns {
            let needed = self.columns;
            return Err(format!("tests column {needed} of rows that have {columns}"));
        }
        let mut sums = vec![0.0; size(rows, self.targets)?];
        // One tree for all rows, so that its nodes stay in the cache.
        for root in &self.roots {
            for (row, sums) in
                x.chunks_exact(columns.max(1)).zip(sums.chunks_exact_mut(self.targets))
            {
                for Weight { target, weight } in self.leaf(*root, row) {
                    sums[*target as usize] += weight;
                }
            }
        }
        if self.mean {
            let trees = self.roots.len() as f64;
            for sum in &mut sums {
                *sum /= trees;
            }
        }
        Ok(sums)
    }

    fn leaf(&self, root: u32, row: &[f32]) -> &[Weight] {
        let mut node = &self.nodes[root as usize];
        loop {
            let passed = match node.test {
                Test::Leaf => {
                    let first = node.next as usize;
                    return &self.weights[first..first + node.column as usize];
                }
                Test::AtMost => row[node.column as usize] <= node.threshold,
                #[expect(clippy::float_cmp, reason = "as ONNX defines it")]
                Test::Equal => row[node.column as usize] == node.threshold,
            };
            let passed = passed || (node.missing && row[node.column as usize].is_nan());
            node = &self.nodes[node.next as usize + usize::from(!passed)];
        }
    }
}

fn index(place: usize) -> Result<u32, String> {
    u32::try_from(place).map_err(|_| "has too many nodes".to_owned())
}

/// Where the node of a tree (tree, node) is in the lists.
type Places = HashMap<(i64, i64), usize>;

impl Lists<'_> {
    fn check_lengths(&self) -> Result<(), String> {
        let nodes = self.nodes.len();
        let per_node = [
            ("nodes_treeids", self.trees.len()),
            ("nodes_featureids", self.columns.len()),
            ("nodes_modes", self.modes.len()),
            ("nodes_values", self.thresholds.len()),
            ("nodes_truenodeids", self.passed.len()),
            ("nodes_falsenodeids", self.failed.len()),
        ];
        let missing = self.missing.len();
        let missing =
            ("nodes_missing_value_tracks_true", if missing == 0 { nodes } else { missing });
        for (name, length) in per_node.into_iter().chain([missing]) {
            if length != nodes {
                return Err(format!("{name} has {length} entries, but nodes_nodeids has {nodes}"));
            }
        }
        let weights = self.weights.len();
        for (what, list) in [
            ("trees", self.weight_trees),
            ("nodes", self.weight_nodes),
            ("targets or classes", self.weight_targets),
        ] {
            if list.len() != weights {
                return Err(format!("has {weights} weights for {} {what}", list.len()));
            }
        }
        if nodes == 0 {
            return Err("has no nodes".to_owned());
        }
        Ok(())
    }

    fn places(&self) -> Result<Places, String> {
        let mut places = Places::with_capacity(self.nodes.len());
        for (i, (tree, node)) in self.trees.iter().zip(self.nodes).enumerate() {
            if places.insert((*tree, *node), i).is_some() {
                return Err(format!("tree {tree} has two nodes {node}"));
            }
        }
        Ok(places)
    }

    fn weights_of_nodes(
        &self,
        places: &Places,
        targets: usize,
    ) -> Result<Vec<Vec<Weight>>, String> {
        let mut of_nodes = vec![Vec::new(); self.nodes.len()];
        for (i, weight) in self.weights.iter().enumerate() {
            let (tree, node, target) =
                (self.weight_trees[i], self.weight_nodes[i], self.weight_targets[i]);
            let place = places.get(&(tree, node)).ok_or_else(|| {
                format!("a weight is of node {node} of tree {tree}, which does not exist")
            })?;
            let of_target =
                u32::try_from(target).ok().filter(|target| (*target as usize) < targets);
            let target =
                of_target.ok_or_else(|| format!("a weight is of target {target}, of {targets}"))?;
            of_nodes[*place].push(Weight { target, weight: *weight });
        }
        Ok(of_nodes)
    }

    /// Whether the test of a node is the opposite of the one that is made here.
    fn is_negated(&self, at: usize) -> bool {
        matches!(self.modes[at], "BRANCH_GT" | "BRANCH_GTE" | "BRANCH_NEQ")
    }

    /// The test of a node, without its place. All comparisons become two: `x < t` is `x <=` the number
    /// before `t`, and the others are the opposite of one of these.
    fn test(&self, at: usize) -> Result<Node, String> {
        let t = self.thresholds[at];
        let (test, threshold) = match self.modes[at] {
            "LEAF" => (Test::Leaf, 0.0),
            "BRANCH_LEQ" | "BRANCH_GT" => (Test::AtMost, round_down(t)),
            "BRANCH_LT" | "BRANCH_GTE" => (Test::AtMost, round_down(t.next_down())),
            #[expect(clippy::cast_possible_truncation, reason = "values are f32")]
            "BRANCH_EQ" | "BRANCH_NEQ" => (Test::Equal, t as f32),
            other => return Err(format!("nodes_modes: {other} is not supported")),
        };
        let column = u32::try_from(self.columns[at]).ok().filter(|column| *column < u32::MAX);
        let column = match (test, column) {
            (Test::Leaf, _) => 0,
            (_, Some(column)) => column,
            (_, None) => {
                return Err(format!("nodes_featureids: {} is no column", self.columns[at]));
            }
        };
        // A comparison with a missing value fails, but "not equal" passes.
        let passes = self.missing.get(at).is_some_and(|tracks| *tracks != 0);
        let missing = match self.modes[at] {
            "BRANCH_NEQ" => false,
            _ => passes != self.is_negated(at),
        };
        Ok(Node { test, missing, column, threshold, next: 0 })
    }
}

/// The largest f32 that is not larger, so that `x <= threshold` stays the same for every f32 x.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is corrected")]
fn round_down(threshold: f64) -> f32 {
    let rounded = threshold as f32;
    if f64::from(rounded) > threshold { rounded.next_down() } else { rounded }
}

#[cfg(test)]
mod tests;
