"""The recipes: named ways to train a model for a task.

A recipe is a record of options (`recipes.options`) and a module with two functions:

    preprocessing(options, samples, rows) -> Preprocessing   what raw inputs become, seen on the training rows
    network(options, preprocessing, outputs) -> Network      the untrained model, with so many logits

or, where not Lightning but scikit-learn fits (kind `estimator`), with a third one:

    estimator(options, preprocessing, objective, inputs, targets) -> Estimator

Its `network` then is what runs the graph that the fitted estimator has become.

The modules need torch and are loaded when they are used, so that a command line can list recipes
and options without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from modelship_lab.learning.recipes.options import (
    ImageBackboneOptions,
    ImageCnnOptions,
    RecipeOptions,
    TabularMlpOptions,
    TabularSklearnOptions,
    TextEncoderOptions,
    TextLinearOptions,
)
from modelship_lab.records.base import Task
from modelship_lab.records.bundle import Preprocessing
from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

    from modelship_lab.bundles.preprocessing import Arrays
    from modelship_lab.learning.estimators import Estimator
    from modelship_lab.learning.network import Network
    from modelship_lab.learning.objectives import Objective
    from modelship_lab.learning.samples import Samples

__all__ = ["RECIPES", "Recipe", "recipe_named", "recipe_of_task"]


@dataclass(frozen=True)
class Recipe:
    """One way to train a model."""

    name: str
    task: Task
    summary: str
    options: type[RecipeOptions]
    module: str
    kind: Literal["network", "estimator"] = "network"

    def checked(self, options: Mapping[str, Any]) -> RecipeOptions:
        """The options as a record, with defaults for what is left out.

        Raises:
            InvalidInput: unknown names or values out of range; the details name each of them.
        """
        try:
            return self.options.model_validate(dict(options))
        except ValidationError as error:
            raise self._refusal(error) from None

    def preprocessing(self, options: RecipeOptions, samples: "Samples", rows: "np.ndarray") -> Preprocessing:
        """What raw inputs become; `rows` are the positions of the training rows in `samples`."""
        made: Preprocessing = import_module(self.module).preprocessing(options, samples, rows)
        return made

    def network(self, options: RecipeOptions, preprocessing: Preprocessing, outputs: int) -> "Network":
        """The untrained network."""
        made: Network = import_module(self.module).network(options, preprocessing, outputs)
        return made

    def estimator(
        self,
        options: RecipeOptions,
        preprocessing: Preprocessing,
        objective: "Objective",
        inputs: "Arrays",
        targets: "np.ndarray",
    ) -> "Estimator":
        """The unfitted estimator of a recipe of that kind, for encoded training rows and their targets."""
        made: Estimator = import_module(self.module).estimator(
            options, preprocessing, objective, inputs, targets
        )
        return made

    def _refusal(self, error: ValidationError) -> InvalidInput:
        details = []
        for problem in error.errors():
            name = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden":
                reason = f"the recipe has no such option; it has {', '.join(self.options.model_fields)}"
            else:
                reason = f"{problem['msg'].lower()}, not {problem['input']!r:.50}"
            details.append({"field": name, "reason": reason})
        listed = "; ".join(f"{detail['field']}: {detail['reason']}" for detail in details)
        return InvalidInput(f"The options do not fit the recipe {self.name}: {listed}.", details)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="text-linear",
            task="text_classification",
            summary="Hashed words and word pairs, weighted by how telling they are, into a linear model.",
            options=TextLinearOptions,
            module="modelship_lab.learning.recipes.text_linear",
        ),
        Recipe(
            name="text-encoder",
            task="text_classification",
            summary="A pretrained encoder (MiniLM or any of the Hugging Face hub): its sentence vectors into a linear "
            "model, or trained as a whole.",
            options=TextEncoderOptions,
            module="modelship_lab.learning.recipes.text_encoder",
        ),
        Recipe(
            name="image-cnn",
            task="image_classification",
            summary="A small convolutional network, trained from scratch on images of any size.",
            options=ImageCnnOptions,
            module="modelship_lab.learning.recipes.image_cnn",
        ),
        Recipe(
            name="image-backbone",
            task="image_classification",
            summary="A network that has seen a million photos, and a last layer for your classes.",
            options=ImageBackboneOptions,
            module="modelship_lab.learning.recipes.image_backbone",
        ),
        Recipe(
            name="tabular-mlp",
            task="tabular_classification",
            summary="A neural network on numbers and categories; missing values are no problem.",
            options=TabularMlpOptions,
            module="modelship_lab.learning.recipes.tabular_mlp",
        ),
        Recipe(
            name="tabular-sklearn",
            task="tabular_classification",
            summary="Gradient boosting, forests or logistic regression of scikit-learn: the honest baseline.",
            options=TabularSklearnOptions,
            module="modelship_lab.learning.recipes.tabular_sklearn",
            kind="estimator",
        ),
    )
}


def recipe_named(name: str, task: Task | None = None) -> Recipe:
    """The recipe of a name.

    Raises:
        InvalidInput: there is none, or it is not for `task`; the message names those that are.
    """
    fitting = [recipe.name for recipe in RECIPES.values() if task in (None, recipe.task)]
    recipe = RECIPES.get(name)
    if recipe is None:
        raise InvalidInput(f"There is no recipe {name!r}. Choose {' or '.join(fitting)}.")
    if recipe.name not in fitting:
        raise InvalidInput(
            f"The recipe {name} is for {recipe.task}, not for {task}. "
            + (f"Choose {' or '.join(fitting)}." if fitting else "There is none for that.")
        )
    return recipe


def recipe_of_task(task: Task) -> Recipe:
    """The recipe to begin with for a task.

    Raises:
        InvalidInput: there is none.
    """
    recipe = next((recipe for recipe in RECIPES.values() if recipe.task == task), None)
    if recipe is None:
        raise InvalidInput(
            f"There is no recipe for {task.replace('_', ' ')}. Train with your own LightningModule on a snapshot's table."
        )
    return recipe
