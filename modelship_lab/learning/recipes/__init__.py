"""What the recipes of `records.recipes` do: for each a module of its name, with two functions:

    preprocessing(options, samples, rows) -> Preprocessing   what raw inputs become, seen on the training rows
    network(options, preprocessing, outputs) -> Network      the untrained model, with so many logits

or, where not a network but scikit-learn fits (kind `estimator`), with a third one:

    estimator(options, preprocessing, objective, inputs, targets) -> Estimator

Its `network` then is what runs the graph that the fitted estimator has become.

The modules need torch and are loaded when they are used.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from modelship_lab.records.bundle import Preprocessing
from modelship_lab.records.recipe_options import RecipeOptions
from modelship_lab.records.recipes import Recipe

if TYPE_CHECKING:
    import numpy as np

    from modelship_lab.bundles.preprocessing import Arrays
    from modelship_lab.learning.estimators import Estimator, EstimatorPerClass
    from modelship_lab.learning.network import Network
    from modelship_lab.learning.objectives import Objective
    from modelship_lab.learning.samples import Samples

__all__ = ["estimator", "network", "preprocessing"]


def preprocessing(
    recipe: Recipe, options: RecipeOptions, samples: "Samples", rows: "np.ndarray"
) -> Preprocessing:
    """What raw inputs become; `rows` are the positions of the training rows in `samples`."""
    made: Preprocessing = _module(recipe).preprocessing(options, samples, rows)
    return made


def network(recipe: Recipe, options: RecipeOptions, preprocessing: Preprocessing, outputs: int) -> "Network":
    """The untrained network."""
    made: Network = _module(recipe).network(options, preprocessing, outputs)
    return made


def estimator(
    recipe: Recipe,
    options: RecipeOptions,
    preprocessing: Preprocessing,
    objective: "Objective",
    inputs: "Arrays",
    targets: "np.ndarray",
) -> "Estimator | EstimatorPerClass":
    """The unfitted estimator of a recipe of that kind, for encoded training rows and their targets."""
    made: Estimator | EstimatorPerClass = _module(recipe).estimator(
        options, preprocessing, objective, inputs, targets
    )
    return made


def _module(recipe: Recipe) -> ModuleType:
    return import_module(f"{__name__}.{recipe.name.replace('-', '_')}")
