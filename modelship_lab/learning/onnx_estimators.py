"""Fitted estimators of scikit-learn as ONNX graphs: exact, with missing values and categories as they were learned.

Trees and linear models are written here, node for node. A general converter would need another package, which rounds
thresholds, sends missing values of forests elsewhere, and does not know gradient boosting's sets of categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

__all__ = ["FOREST_OPSET", "TREES_OPSET", "Graph", "Trees", "forest_sums"]

OPSET = 18
TREES_OPSET = 5
"""Of the operators for machine learning; from this one on a tree can ask whether a category is in a set."""
FOREST_OPSET = 3
"""The last one in which a leaf can add to several sums."""
LESS_OR_EQUAL, MEMBER = 0, 6
SUM = 1


class Graph:
    """An ONNX graph in the making: a node for each step, named as it comes."""

    def __init__(self, trees_opset: int = TREES_OPSET) -> None:
        self._trees_opset = trees_opset
        self._nodes: list[Any] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[Any] = []

    def input(self, name: str, kind: type[np.generic], width: int) -> str:
        """A batch of rows that the model takes; asked for again, it is the same."""
        if all(known.name != name for known in self._inputs):
            type_of = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
            self._inputs.append(helper.make_tensor_value_info(name, type_of, ["rows", width]))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One step; returns the name of its result."""
        name = f"step_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def model(self, result: str, name: str, width: int) -> bytes:
        """The finished model, whose one output is `result`, float32 (rows, width)."""
        self._nodes.append(helper.make_node("Cast", [result], [name], to=TensorProto.FLOAT))
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        graph = helper.make_graph(self._nodes, "estimator", self._inputs, [output], self._constants)
        model: ModelProto = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", self._trees_opset),
            ],
        )
        # ONNX Runtime of some years reads it: nothing newer than the opsets is in it.
        model.ir_version = 10
        return bytes(model.SerializeToString())


@dataclass
class Trees:
    """Decision trees whose leaves are added up, for the operator TreeEnsemble."""

    targets: int
    """How many sums there are."""
    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing_is_true: list[int] = field(default_factory=list)
    branches: list[list[int]] = field(default_factory=list)
    """Of each inner node: where it goes when true and when false, and whether those are leaves."""
    members: list[float] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)
    leaf_values: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add(
        self,
        left: np.ndarray,
        right: np.ndarray,
        is_leaf: np.ndarray,
        feature: np.ndarray,
        threshold: np.ndarray,
        missing_goes_left: np.ndarray,
        values: np.ndarray,
        target: int,
        categories: Sequence[np.ndarray | None] = (),
    ) -> None:
        """One tree, whose root is its node 0.

        Args:
            left: int (nodes), where a row goes that is at most at the threshold.
            right: int (nodes), where the others go.
            is_leaf: bool (nodes).
            feature: int (nodes).
            threshold: float64 (nodes).
            missing_goes_left: bool (nodes).
            values: float (nodes), what a leaf adds.
            target: to which sum.
            categories: of each node the categories that go left, if it does not ask for a threshold.
        """
        inner = np.flatnonzero(~is_leaf)
        places = np.where(is_leaf, np.cumsum(is_leaf) - 1 + len(self.leaf_values), 0)
        places[inner] = np.arange(len(inner)) + len(self.features)
        self.leaf_targets += [target] * int(is_leaf.sum())
        self.leaf_values += values[is_leaf].tolist()
        if not len(inner):
            # The operator knows no tree that is a leaf: both ways lead to it.
            self.roots.append(len(self.features))
            leaf = int(places[0])
            self._node(0, LESS_OR_EQUAL, 0.0, False, [leaf, leaf, 1, 1])
            return
        self.roots.append(int(places[0]))
        limits = below(threshold)
        for node in inner:
            ways = [left[node], right[node]]
            chosen, limit = categories[int(node)] if len(categories) else None, float(limits[node])
            if chosen is not None and not len(chosen):
                # Only what is missing goes left; no category is below 0.
                chosen, limit = None, -1.0
            if chosen is not None:
                self.members += [*chosen.tolist(), float("nan")]
            self._node(
                int(feature[node]),
                LESS_OR_EQUAL if chosen is None else MEMBER,
                limit if chosen is None else 0.0,
                bool(missing_goes_left[node]),
                [*(int(places[way]) for way in ways), *(int(is_leaf[way]) for way in ways)],
            )

    def _node(self, feature: int, mode: int, split: float, missing: bool, branches: list[int]) -> None:
        self.features.append(feature)
        self.modes.append(mode)
        self.splits.append(split)
        self.missing_is_true.append(int(missing))
        self.branches.append(branches)

    def sums(self, graph: Graph, rows: str) -> str:
        """The sums of the leaves, float32 (rows, targets), of a matrix of features."""
        true, false, true_leaf, false_leaf = np.array(self.branches).T.tolist()
        more: dict[str, Any] = {}
        if self.members:
            more["membership_values"] = numpy_helper.from_array(np.array(self.members, np.float32))
        return graph.add(
            "TreeEnsemble",
            rows,
            domain="ai.onnx.ml",
            aggregate_function=SUM,
            n_targets=self.targets,
            nodes_featureids=self.features,
            nodes_modes=numpy_helper.from_array(np.array(self.modes, np.uint8)),
            nodes_splits=numpy_helper.from_array(np.array(self.splits, np.float32)),
            nodes_missing_value_tracks_true=self.missing_is_true,
            nodes_truenodeids=true,
            nodes_falsenodeids=false,
            nodes_trueleafs=true_leaf,
            nodes_falseleafs=false_leaf,
            leaf_targetids=self.leaf_targets,
            leaf_weights=numpy_helper.from_array(np.array(self.leaf_values, np.float32)),
            tree_roots=self.roots,
            post_transform=0,
            **more,
        )


def forest_sums(graph: Graph, rows: str, trees: Sequence[Any], values: Sequence[np.ndarray]) -> str:
    """The sums of the leaves of scikit-learn's trees, float32 (rows, targets).

    Args:
        graph: of `FOREST_OPSET`.
        rows: a matrix of features without missing values.
        trees: `tree_` of each.
        values: of each tree float (nodes, targets).
    """
    sizes = [tree.node_count for tree in trees]
    is_leaf = np.concatenate([tree.children_left < 0 for tree in trees])
    tree_ids = np.repeat(np.arange(len(sizes)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    joined = {
        "nodes_featureids": np.concatenate([tree.feature for tree in trees]),
        "nodes_truenodeids": np.concatenate([tree.children_left for tree in trees]),
        "nodes_falsenodeids": np.concatenate([tree.children_right for tree in trees]),
    }
    leaves = np.concatenate(values)[is_leaf]
    targets = leaves.shape[1]
    return graph.add(
        "TreeEnsembleRegressor",
        rows,
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function="SUM",
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_modes=np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values=below(np.concatenate([tree.threshold for tree in trees])).tolist(),
        target_treeids=np.repeat(tree_ids[is_leaf], targets).tolist(),
        target_nodeids=np.repeat(node_ids[is_leaf], targets).tolist(),
        target_ids=np.tile(np.arange(targets), len(leaves)).tolist(),
        target_weights=leaves.astype(np.float32).ravel().tolist(),
        **{name: np.where(is_leaf, 0, ids).tolist() for name, ids in joined.items()},
    )


def below(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 that is at most a threshold in float64: rows in float32 fall to the same side of both."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
