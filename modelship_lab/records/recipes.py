"""The recipes: named ways to train a model for a task, each with a record of options.

What they do is in `learning.recipes`; here is what the server can know, too, so that what a recipe does not have is
refused before there is a job.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from modelship_lab.records.base import Task
from modelship_lab.records.errors import InvalidInput, InvalidOptions
from modelship_lab.records.recipe_options import (
    ImageBackboneOptions,
    ImageCnnOptions,
    RecipeOptions,
    TabularMlpOptions,
    TabularSklearnOptions,
    TextEncoderOptions,
    TextLinearOptions,
)

__all__ = ["OWN_MODULE", "RECIPES", "Recipe", "recipe_named", "recipe_of_task"]

OWN_MODULE = "own-module"
"""What a run of somebody's own LightningModule has for a recipe."""


@dataclass(frozen=True)
class Recipe:
    """One way to train a model."""

    name: str
    tasks: tuple[Task, ...]
    """What it learns."""
    summary: str
    options: type[RecipeOptions]
    kind: Literal["network", "estimator"] = "network"
    """Whether a network is trained, or an estimator of scikit-learn."""
    most_at_once: int = 256
    """Rows in one step, if nobody says how many and there are many."""

    def checked(self, options: Mapping[str, Any]) -> RecipeOptions:
        """The options as a record, with defaults for what is left out.

        Raises:
            InvalidOptions: unknown names or values out of range; the details name each of them.
        """
        try:
            return self.options.model_validate(dict(options))
        except ValidationError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: ValidationError) -> InvalidOptions:
        details = []
        for problem in error.errors():
            name = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden":
                reason = f"the recipe has no such option; it has {', '.join(self.options.model_fields)}"
            else:
                reason = f"{problem['msg'].lower()}, not {problem['input']!r:.50}"
            details.append({"field": name, "reason": reason})
        listed = "; ".join(f"{detail['field']}: {detail['reason']}" for detail in details)
        return InvalidOptions(f"The options do not fit the recipe {self.name}: {listed}.", details)


_TEXTS: tuple[Task, ...] = ("text_classification", "text_regression")
_IMAGES: tuple[Task, ...] = ("image_classification", "image_regression")
_TABLES: tuple[Task, ...] = ("tabular_classification", "tabular_regression")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="text-linear",
            tasks=_TEXTS,
            summary="Hashed words and word pairs, weighted by how telling they are, into a linear model.",
            options=TextLinearOptions,
            most_at_once=1024,
        ),
        Recipe(
            name="text-encoder",
            tasks=_TEXTS,
            summary="A pretrained encoder (MiniLM or any of the Hugging Face hub): its sentence vectors into a linear "
            "model, or trained as a whole.",
            options=TextEncoderOptions,
        ),
        Recipe(
            name="image-cnn",
            tasks=_IMAGES,
            summary="A small convolutional network, trained from scratch on images of any size.",
            options=ImageCnnOptions,
        ),
        Recipe(
            name="image-backbone",
            tasks=_IMAGES,
            summary="A network that has seen a million photos, and a last layer for your classes.",
            options=ImageBackboneOptions,
        ),
        Recipe(
            name="tabular-mlp",
            tasks=_TABLES,
            summary="A neural network on numbers and categories; missing values are no problem.",
            options=TabularMlpOptions,
        ),
        Recipe(
            name="tabular-sklearn",
            tasks=_TABLES,
            summary="Gradient boosting, forests, logistic or ridge regression of scikit-learn: the honest baseline.",
            options=TabularSklearnOptions,
            kind="estimator",
        ),
    )
}


def recipe_named(name: str, task: Task | None = None) -> Recipe:
    """The recipe of a name.

    Raises:
        InvalidInput: there is none, or it is not for `task`; the message names those that are.
    """
    fitting = [recipe.name for recipe in RECIPES.values() if task is None or task in recipe.tasks]
    recipe = RECIPES.get(name)
    if recipe is None:
        reason = f"There is no recipe {name!r}. Choose {' or '.join(fitting)}."
    elif recipe.name not in fitting:
        reason = f"The recipe {name} is for {' and '.join(recipe.tasks)}, not for {task}. " + (
            f"Choose {' or '.join(fitting)}." if fitting else "There is none for that."
        )
    else:
        return recipe
    raise InvalidInput(reason, [{"field": "recipe", "reason": reason}])


def recipe_of_task(task: Task) -> Recipe:
    """The recipe to begin with for a task.

    Raises:
        InvalidInput: there is none.
    """
    recipe = next((recipe for recipe in RECIPES.values() if task in recipe.tasks), None)
    if recipe is None:
        raise InvalidInput(
            f"There is no recipe for {task.replace('_', ' ')}. Train with your own LightningModule on a snapshot's table."
        )
    return recipe
