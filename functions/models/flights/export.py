"""Writes trained estimators as ONNX graphs from x to p.

Trees are one operator of ai.onnx.ml. All else is plain ONNX (opset 17): one-hot encoding and scaling are
expressed with Gather and Gemm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from columns import Column
from estimators import SmoothedRates

# The domain of the operators for classical models, and the versions of the operators of each domain.
ML = "ai.onnx.ml"
OPSETS = {"": 17, ML: 3}

# The largest difference between a graph's probability and scikit-learn's.
TOLERANCE = 1e-5


class Graph:
    """Builds a graph from `x` to `p`. `constant` and `node` return the name of their value."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def model(self) -> onnx.ModelProto:
        """The graph; the value of its last node is the probability."""
        self.nodes[-1].output[0] = "p"
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", self.width])
        p = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 1])
        graph = helper.make_graph(self.nodes, "flight-delay", [x], [p], self.constants)
        used = {node.domain for node in self.nodes}
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items() if domain in used]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def export_table(rates: SmoothedRates, columns: Sequence[Column]) -> onnx.ModelProto:
    """A lookup in the flattened table, where the index of a cell is (first + 1) * row length + second."""
    row_length = rates.shape[1]
    graph = Graph(len(columns))
    strides = graph.constant([[row_length], [1]])
    cell = graph.node("Gemm", "x", strides, graph.constant([row_length]))
    cell = graph.node("Cast", cell, to=TensorProto.INT64)
    graph.node("Gather", graph.constant(rates.rates.ravel()), cell)
    return graph.model()


def export_linear(pipeline: Pipeline, columns: Sequence[Column]) -> onnx.ModelProto:
    encoding, regression = pipeline[0], pipeline[-1]
    return export_layers(encoding, [(regression.coef_.T, regression.intercept_)], columns)


def export_net(pipeline: Pipeline, columns: Sequence[Column]) -> onnx.ModelProto:
    encoding, net = pipeline[0], pipeline[-1]
    return export_layers(encoding, list(zip(net.coefs_, net.intercepts_)), columns)


def export_layers(
    encoding: ColumnTransformer, layers: list[tuple[np.ndarray, np.ndarray]], columns: Sequence[Column]
) -> onnx.ModelProto:
    """Dense layers with ReLU between them and a sigmoid after the last."""
    graph = Graph(len(columns))
    value = first_layer(graph, encoding, *layers[0], columns)
    for weights, bias in layers[1:]:
        value = graph.node("Relu", value)
        value = graph.node("Gemm", value, graph.constant(weights), graph.constant(bias))
    graph.node("Sigmoid", value)
    return graph.model()


def first_layer(
    graph: Graph,
    encoding: ColumnTransformer,
    weights: np.ndarray,
    bias: np.ndarray,
    columns: Sequence[Column],
) -> str:
    """encoding(x) @ weights + bias, without scaling x or building one-hot vectors."""
    width = weights.shape[1]
    measurements = [i for i, column in enumerate(columns) if not column.size]
    indices = [i for i, column in enumerate(columns) if column.size]

    # (x - mean) / scale @ w  =  x @ (w / scale) - (mean / scale) @ w; an index column gets weight 0.
    scaler = encoding.named_transformers_["measurements"]
    scaled = weights[: len(measurements)] / scaler.scale_[:, None]
    dense = np.zeros((len(columns), width))
    dense[measurements] = scaled
    shift = graph.constant(bias - scaler.mean_ @ scaled)
    value = graph.node("Gemm", "x", graph.constant(dense), shift)

    # A one-hot vector times the weights is one row of the weights, so look that row up. The tables of all
    # columns are stacked; each begins with a row of zeros for the unknown category, index -1.
    table: list[np.ndarray] = []
    starts = []
    row = len(measurements)
    for i in indices:
        starts.append(len(table) + 1)
        table += [np.zeros(width), *weights[row : row + columns[i].size]]
        row += columns[i].size
    picked = graph.node("Gather", "x", graph.constant(indices, np.int64), axis=1)
    rows = graph.node("Add", picked, graph.constant(starts))
    rows = graph.node("Cast", rows, to=TensorProto.INT64)
    effects = graph.node("Gather", graph.constant(table), rows)
    effect = graph.node("ReduceSum", effects, graph.constant([1], np.int64), keepdims=0)
    return graph.node("Add", value, effect)


def export_trees(trees: HistGradientBoostingClassifier, columns: Sequence[Column]) -> onnx.ModelProto:
    """One operator adds the leaves up, and a sigmoid makes the sum a probability.

    scikit-learn has no public interface to the trees: the names with an underscore are those of the pinned
    version, and the tests fail if another version changes their meaning.
    """
    forest = [stage[0].nodes for stage in trees._predictors]
    nodes = np.concatenate(forest)
    leaf = nodes["is_leaf"].astype(bool)
    tree = np.repeat(np.arange(len(forest)), [len(nodes) for nodes in forest])
    number = np.concatenate([np.arange(len(nodes)) for nodes in forest])

    graph = Graph(len(columns))
    total = graph.node(
        "TreeEnsembleRegressor",
        "x",
        domain=ML,
        n_targets=1,
        nodes_treeids=tree,
        nodes_nodeids=number,
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=np.where(leaf, 0, nodes["feature_idx"]),
        nodes_values=round_down(np.where(leaf, 0, nodes["num_threshold"])),
        nodes_truenodeids=np.where(leaf, 0, nodes["left"]),
        nodes_falsenodeids=np.where(leaf, 0, nodes["right"]),
        target_treeids=tree[leaf],
        target_nodeids=number[leaf],
        target_ids=np.zeros(leaf.sum(), np.int64),
        target_weights=nodes["value"][leaf].astype(np.float32),
        base_values=np.ravel(trees._baseline_prediction).astype(np.float32),
    )
    graph.node("Sigmoid", total)
    return graph.model()


def round_down(thresholds: np.ndarray) -> np.ndarray:
    """Rounds to the next f32 that is not larger, so that `x <= threshold` stays the same for every f32 x."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def require_agreement(graph: bytes, x: np.ndarray, predicted: np.ndarray) -> float:
    """Runs the graph and returns its largest difference from scikit-learn."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (p,) = session.run(["p"], {"x": x})
    difference = float(np.abs(p[:, 0] - predicted).max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"the graph differs from scikit-learn by {difference}, more than {TOLERANCE}")
    return difference
