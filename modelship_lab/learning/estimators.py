"""Estimators of scikit-learn that are fitted stage by stage and become ONNX graphs.

Each gives logits, as a network does: scores of the classes, or a number in standard deviations from the mean. So
everything behind it (activation, calibration, evaluation, export) is the same as for networks.
"""

import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.learning.onnx_estimators import (
    FOREST_OPSET,
    TREES_OPSET,
    Graph,
    Trees,
    forest_sums,
)
from modelship_lab.records.bundle import TableEncoding
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.recipe_options import TabularSklearnOptions

__all__ = ["ESTIMATORS", "LOGITS", "Estimator", "EstimatorPerClass", "GradientBoosting"]

LOGITS = "logits"
"""Output of the ONNX graph."""
STAGES = 40
"""So often at most it is looked at how well an estimator does."""
LEAST_PROBABILITY = 1e-6
"""Forests say 0 of what they have never seen; nobody can know that."""
ABSENT = -30.0
"""Logit of a class without a training row."""


class Estimator(ABC):
    """An estimator in the making.

    Args:
        options: of the recipe.
        spec: the features.
        inputs: encoded training rows.
        targets: int (rows), the classes, or float (rows), numbers in standard deviations from their mean.
        outputs: how many classes there are; None for numbers.
    """

    trees_opset = TREES_OPSET

    def __init__(
        self,
        options: TabularSklearnOptions,
        spec: TableEncoding,
        inputs: Arrays,
        targets: np.ndarray,
        outputs: int | None,
    ) -> None:
        self.options = options
        self.spec = spec
        self.targets = targets
        self.outputs = outputs
        self.rows = self.matrix(inputs)
        self.model = self.make()
        self.stages = 0
        self.is_done = False
        """Whether another stage would change nothing."""

    @property
    def iterations(self) -> int:
        """In one stage."""
        return max(1, -(-self.options.iterations // STAGES))

    @abstractmethod
    def make(self) -> Any:
        """The unfitted estimator, which goes on where it was when it is fitted again."""

    @abstractmethod
    def matrix(self, inputs: Arrays) -> np.ndarray:
        """The features as the estimator takes them, float32 (rows, features)."""

    @abstractmethod
    def grow(self) -> None:
        """Fit one stage more."""

    @abstractmethod
    def scores_in(self, graph: Graph) -> str:
        """Add what `scores` does to a graph; the name of what it gives."""

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Logits of the classes that there are training rows of, or (rows, 1)."""
        if self.outputs is None:
            return np.asarray(self.model.predict(rows))[:, None]
        return self.class_scores(rows)

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        """Logits of the classes that there are training rows of."""
        raw = np.asarray(self.model.decision_function(rows))
        return raw if raw.ndim == 2 else np.stack([np.zeros_like(raw), raw], 1)

    def advance(self) -> None:
        self.grow()
        self.stages += 1
        self.is_done = self.is_done or self.stages * self.iterations >= self.options.iterations

    def cut(self, stages: int) -> None:
        """Go back to what it was after so many stages; what only grows better stays as it is."""
        self.stages = max(stages, self.stages)

    def logits(self, inputs: Arrays) -> np.ndarray:
        """float32 (rows, outputs)."""
        scores = self.scores(self.matrix(inputs))
        if self.outputs is None:
            return scores.astype(np.float32)
        logits = np.full((len(scores), self.outputs), ABSENT, np.float32)
        logits[:, self.model.classes_] = scores
        return logits

    def logits_in(self, graph: Graph) -> str:
        """Add what `logits` does to a graph; the name of what it gives."""
        scores = self.scores_in(graph)
        if self.outputs is not None and len(self.model.classes_) < self.outputs:
            places = np.zeros((len(self.model.classes_), self.outputs), np.float32)
            places[np.arange(len(places)), self.model.classes_] = 1
            absent = np.where(places.any(0), 0.0, ABSENT).astype(np.float32)
            scores = graph.add("Gemm", scores, graph.constant(places), graph.constant(absent))
        return scores

    def to_onnx(self) -> bytes:
        """The ONNX model of `logits`."""
        graph = Graph(self.trees_opset)
        return graph.model(self.logits_in(graph), LOGITS, self.outputs or 1)

    def graph_inputs(self, graph: Graph) -> tuple[str | None, str | None]:
        """The encoded numbers and categories as inputs of a graph."""
        numeric = graph.input("numeric", np.float32, len(self.spec.numeric)) if self.spec.numeric else None
        kinds = len(self.spec.categories)
        categories = graph.input("categories", np.int64, kinds) if kinds else None
        return numeric, categories

    @property
    def class_weight(self) -> str | None:
        return "balanced" if self.options.class_weights == "balanced" else None


class GradientBoosting(Estimator):
    """Histogram-based gradient boosting; missing values and categories are its own."""

    def make(self) -> Any:
        options = self.options
        settings: dict[str, Any] = {
            "learning_rate": options.learning_rate,
            "max_leaf_nodes": options.leaves,
            "min_samples_leaf": options.least_rows or 20,
            "l2_regularization": options.penalty or 0.0,
            "categorical_features": list(range(len(self.spec.categories))) or None,
            "early_stopping": False,
            "warm_start": True,
            "random_state": options.seed,
        }
        if self.outputs is None:
            return HistGradientBoostingRegressor(**settings)
        return HistGradientBoostingClassifier(**settings, class_weight=self.class_weight)

    def matrix(self, inputs: Arrays) -> np.ndarray:
        parts = []
        if "categories" in inputs:
            # Codes from 0 on, as the estimator numbers them; what is missing or unknown is missing.
            codes = inputs["categories"].astype(np.float32) - 1
            parts.append(np.where(codes < 0, np.float32(np.nan), codes))
        if "numeric" in inputs:
            parts.append(inputs["numeric"])
        return np.concatenate(parts, 1)

    def grow(self) -> None:
        self.model.set_params(max_iter=min((self.stages + 1) * self.iterations, self.options.iterations))
        self.model.fit(self.rows, self.targets)

    def cut(self, stages: int) -> None:
        self.stages = stages
        # It has no public way to forget; predictions go through its list of trees.
        self.model._predictors = self.model._predictors[: stages * self.iterations]

    def scores_in(self, graph: Graph) -> str:
        numeric, categories = self.graph_inputs(graph)
        parts = []
        if categories:
            codes = graph.add("Cast", categories, to=1)
            one, zero, nan = (graph.constant(np.array(value, np.float32)) for value in (1, 0, np.nan))
            counted = graph.add("Sub", codes, one)
            parts.append(graph.add("Where", graph.add("Less", counted, zero), nan, counted))
        parts += [numeric] if numeric else []
        rows = graph.add("Concat", *parts, axis=1)
        targets = len(self.model._predictors[0])
        trees = Trees(targets)
        for round_of in self.model._predictors:
            for target, tree in enumerate(round_of):
                _add_boosted(trees, tree, target)
        start = graph.constant(np.asarray(self.model._baseline_prediction, np.float32).reshape(1, -1))
        scores = graph.add("Add", trees.sums(graph, rows), start)
        if self.outputs is not None and targets == 1:
            scores = graph.add("Concat", graph.add("Sub", scores, scores), scores, axis=1)
        return scores


def _add_boosted(trees: Trees, tree: Any, target: int) -> None:
    nodes = tree.nodes
    categories: list[np.ndarray | None] = []
    if nodes["is_categorical"].any():
        bits = np.unpackbits(
            np.ascontiguousarray(tree.raw_left_cat_bitsets, "<u4").view(np.uint8), axis=1, bitorder="little"
        )
        categories = [
            np.flatnonzero(bits[node["bitset_idx"]]) if node["is_categorical"] else None for node in nodes
        ]
    trees.add(
        nodes["left"],
        nodes["right"],
        nodes["is_leaf"].astype(bool),
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"],
        target,
        categories,
    )


class _Filled(Estimator):
    """What takes no missing values: they become the median, and a flag says so."""

    def __init__(
        self,
        options: TabularSklearnOptions,
        spec: TableEncoding,
        inputs: Arrays,
        targets: np.ndarray,
        outputs: int | None,
    ) -> None:
        self.adapt(spec, inputs)
        super().__init__(options, spec, inputs, targets, outputs)

    def adapt(self, spec: TableEncoding, inputs: Arrays) -> None:
        """Take from the training rows what filling in needs."""
        numeric = inputs.get("numeric")
        if numeric is not None:
            # Every number of the encoding has a value in some training row.
            self.median = np.nanmedian(numeric, 0).astype(np.float32)
            self.missing = np.flatnonzero(np.isnan(numeric).any(0))

    def filled(self, inputs: Arrays) -> list[np.ndarray]:
        numeric = inputs.get("numeric")
        if numeric is None:
            return []
        is_missing = np.isnan(numeric)
        return [
            np.where(is_missing, self.median, numeric),
            is_missing[:, self.missing].astype(np.float32),
        ]

    def filled_nodes(self, graph: Graph, numeric: str | None) -> list[str]:
        if numeric is None:
            return []
        is_missing = graph.add("IsNaN", numeric)
        flags = graph.add("Gather", is_missing, graph.constant(self.missing.astype(np.int64)), axis=1)
        return [
            graph.add("Where", is_missing, graph.constant(self.median), numeric),
            graph.add("Cast", flags, to=1),
        ]


class Forest(_Filled):
    """Random forests and extremely randomized trees; categories are numbered."""

    trees_opset = FOREST_OPSET
    kinds = {
        "random-forest": (RandomForestClassifier, RandomForestRegressor),
        "extra-trees": (ExtraTreesClassifier, ExtraTreesRegressor),
    }

    def make(self) -> Any:
        classifier, regressor = self.kinds[self.options.estimator]
        settings: dict[str, Any] = {
            "min_samples_leaf": self.options.least_rows or 1,
            "warm_start": True,
            "random_state": self.options.seed,
        }
        if self.outputs is None:
            return regressor(**settings, max_features=1 / 3)
        return classifier(**settings, class_weight=self.class_weight)

    def matrix(self, inputs: Arrays) -> np.ndarray:
        codes = [inputs["categories"].astype(np.float32)] if "categories" in inputs else []
        return np.concatenate([*codes, *self.filled(inputs)], 1)

    def grow(self) -> None:
        count = min((self.stages + 1) * self.iterations, self.options.iterations)
        self.model.set_params(n_estimators=count).fit(self.rows, self.targets)

    def class_scores(self, rows: np.ndarray) -> np.ndarray:
        shares = np.asarray(self.model.predict_proba(rows))
        return np.asarray(np.log(np.maximum(shares, LEAST_PROBABILITY)))

    def scores_in(self, graph: Graph) -> str:
        numeric, categories = self.graph_inputs(graph)
        codes = [graph.add("Cast", categories, to=1)] if categories else []
        rows = graph.add("Concat", *codes, *self.filled_nodes(graph, numeric), axis=1)
        trees = [one.tree_ for one in self.model.estimators_]
        values = [tree.value[:, 0, :] / tree.value[:, 0, :].sum(1, keepdims=True) for tree in trees]
        if self.outputs is None:
            values = [tree.value[:, 0, :] for tree in trees]
        means = forest_sums(graph, rows, trees, [value / len(trees) for value in values])
        if self.outputs is None:
            return means
        least = graph.constant(np.array(LEAST_PROBABILITY, np.float32))
        return graph.add("Log", graph.add("Max", means, least))


class Linear(_Filled):
    """Logistic or ridge regression on standardized numbers and a column for each category."""

    def adapt(self, spec: TableEncoding, inputs: Arrays) -> None:
        super().adapt(spec, inputs)
        widths = [len(known) for known in spec.categories.values()]
        self.columns = np.repeat(np.arange(len(widths)), widths)
        self.codes = np.concatenate([np.arange(1, width + 1) for width in widths] or [np.zeros(0, int)])
        plain = np.concatenate(self.filled(inputs) or [np.zeros((1, 0))], 1).astype(np.float64)
        self.mean = plain.mean(0).astype(np.float32)
        deviation = plain.std(0)
        self.deviation = np.where(deviation > 0, deviation, 1).astype(np.float32)

    def make(self) -> Any:
        penalty = self.options.penalty or 1.0
        if self.outputs is None:
            return Ridge(alpha=penalty)
        return LogisticRegression(
            C=1 / penalty, max_iter=self.iterations, warm_start=True, class_weight=self.class_weight
        )

    def matrix(self, inputs: Arrays) -> np.ndarray:
        parts = []
        if "numeric" in inputs:
            parts.append((np.concatenate(self.filled(inputs), 1) - self.mean) / self.deviation)
        if "categories" in inputs:
            parts.append((inputs["categories"][:, self.columns] == self.codes).astype(np.float32))
        return np.concatenate(parts, 1)

    def grow(self) -> None:
        with warnings.catch_warnings():
            # That it is not done after these steps is what the next stage is for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.rows, self.targets)
        self.is_done = self.outputs is None or int(self.model.n_iter_.max()) < self.iterations

    def scores_in(self, graph: Graph) -> str:
        numeric, categories = self.graph_inputs(graph)
        parts = []
        if numeric:
            plain = graph.add("Concat", *self.filled_nodes(graph, numeric), axis=1)
            centered = graph.add("Sub", plain, graph.constant(self.mean))
            parts.append(graph.add("Div", centered, graph.constant(self.deviation)))
        if categories:
            found = graph.add("Gather", categories, graph.constant(self.columns.astype(np.int64)), axis=1)
            same = graph.add("Equal", found, graph.constant(self.codes.astype(np.int64)))
            parts.append(graph.add("Cast", same, to=1))
        rows = graph.add("Concat", *parts, axis=1)
        weights = np.atleast_2d(self.model.coef_).T.astype(np.float32)
        bias = np.atleast_1d(self.model.intercept_).astype(np.float32)
        scores = graph.add("Gemm", rows, graph.constant(weights), graph.constant(bias))
        if self.outputs is not None and weights.shape[1] == 1:
            scores = graph.add("Concat", graph.add("Sub", scores, scores), scores, axis=1)
        return scores


ESTIMATORS: dict[str, type[Estimator]] = {
    "gradient-boosting": GradientBoosting,
    "random-forest": Forest,
    "extra-trees": Forest,
    "linear": Linear,
}


class EstimatorPerClass:
    """Where a row may have several classes: for each an estimator of whether it has it.

    Args:
        options: of the recipe.
        spec: the features.
        inputs: encoded training rows.
        targets: float (rows, classes), 1 for the classes that a row has.

    Raises:
        InvalidData: all rows have the same classes.
    """

    def __init__(
        self, options: TabularSklearnOptions, spec: TableEncoding, inputs: Arrays, targets: np.ndarray
    ) -> None:
        having = targets.sum(0)
        # Of what all rows have, or none, there is only how sure that is (Laplace's rule of succession).
        self._constant = np.log((having + 1) / (len(targets) - having + 1)).astype(np.float32)
        self._learned = np.flatnonzero((having > 0) & (having < len(targets)))
        if not len(self._learned):
            raise InvalidData("There is nothing to learn: all training rows have the same classes.")
        kind = ESTIMATORS[options.estimator]
        self._parts = [
            kind(options, spec, inputs, targets[:, place].astype(np.int64), 2) for place in self._learned
        ]
        self.stages = 0

    @property
    def iterations(self) -> int:
        """In one stage."""
        return self._parts[0].iterations

    @property
    def is_done(self) -> bool:
        """Whether another stage would change nothing."""
        return all(part.is_done for part in self._parts)

    def advance(self) -> None:
        for part in self._parts:
            if not part.is_done:
                part.advance()
        self.stages += 1

    def cut(self, stages: int) -> None:
        """Go back to what it was after so many stages; what only grows better stays as it is."""
        for part in self._parts:
            part.cut(min(stages, part.stages))
        self.stages = max(part.stages for part in self._parts)

    def logits(self, inputs: Arrays) -> np.ndarray:
        """float32 (rows, classes)."""
        scores = [part.logits(inputs) for part in self._parts]
        logits = np.tile(self._constant, (len(scores[0]), 1))
        logits[:, self._learned] = np.stack([each[:, 1] - each[:, 0] for each in scores], 1)
        return logits

    def to_onnx(self) -> bytes:
        """The ONNX model of `logits`."""
        graph = Graph(self._parts[0].trees_opset)
        scores = graph.add("Concat", *(part.logits_in(graph) for part in self._parts), axis=1)
        places = np.zeros((len(self._parts), 2, len(self._constant)), np.float32)
        places[np.arange(len(self._parts)), :, self._learned] = -1, 1
        constant = self._constant.copy()
        constant[self._learned] = 0
        placed = graph.constant(places.reshape(-1, len(constant)))
        logits = graph.add("Gemm", scores, placed, graph.constant(constant))
        return graph.model(logits, LOGITS, len(constant))
