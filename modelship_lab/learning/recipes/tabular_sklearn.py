"""tabular-sklearn: estimators of scikit-learn on numbers and categories."""

import numpy as np

from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.learning.estimators import ESTIMATORS, Estimator, EstimatorPerClass
from modelship_lab.learning.objectives import Number, Objective, SeveralClasses
from modelship_lab.learning.onnx_network import OnnxNetwork
from modelship_lab.learning.recipes import tabular_mlp
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import TableEncoding
from modelship_lab.records.recipe_options import TabularSklearnOptions

__all__ = ["estimator", "network", "preprocessing"]

MOST_CATEGORIES = 250
"""Gradient boosting puts a feature's values into 255 bins."""


def preprocessing(options: TabularSklearnOptions, samples: Samples, rows: np.ndarray) -> TableEncoding:
    """The features as tabular-mlp takes them, with fewer categories."""
    return tabular_mlp.encoding(samples, rows, MOST_CATEGORIES)


def estimator(
    options: TabularSklearnOptions,
    preprocessing: TableEncoding,
    objective: Objective,
    inputs: Arrays,
    targets: np.ndarray,
) -> Estimator | EstimatorPerClass:
    """The unfitted estimator for the training rows."""
    if isinstance(objective, SeveralClasses):
        return EstimatorPerClass(options, preprocessing, inputs, targets)
    if isinstance(objective, Number):
        standardized = (targets - objective.center) / objective.scale
        return ESTIMATORS[options.estimator](options, preprocessing, inputs, standardized, None)
    return ESTIMATORS[options.estimator](options, preprocessing, inputs, targets, objective.outputs)


def network(options: TabularSklearnOptions, preprocessing: TableEncoding, outputs: int) -> OnnxNetwork:
    """What a fitted estimator has become."""
    return OnnxNetwork()
