"""A trained model as one file: weights, recipe, options and fitted preprocessing."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from modelship_lab.learning import recipes
from modelship_lab.learning.network import Network
from modelship_lab.learning.objectives import Objective, OneClass, stored_objective
from modelship_lab.records.base import Task
from modelship_lab.records.bundle import Preprocessing
from modelship_lab.records.errors import Conflict, InvalidData, NotFound
from modelship_lab.records.labeling import kind_of
from modelship_lab.records.recipe_options import RecipeOptions
from modelship_lab.records.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from modelship_lab.client import RunHandle

__all__ = ["NAME", "Checkpoint"]

NAME = "checkpoint.ckpt"
"""The artifact of a run that holds its model."""
_FORMAT = 1
_PREPROCESSING: TypeAdapter[Any] = TypeAdapter(Preprocessing)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that makes a trained network again."""

    recipe: Recipe
    options: RecipeOptions
    preprocessing: Preprocessing
    objective: Objective
    weights: Mapping[str, Tensor]
    figures: Mapping[str, float]
    """Of the validation when the weights were taken."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none when it predicts a number."""
        return self.objective.classes

    @property
    def task(self) -> Task:
        """What it is for: which of its recipe's tasks says what it predicts."""
        kind = self.objective.kind
        return next(task for task in self.recipe.tasks if kind_of(task, kind == "labels") == kind)

    def network(self) -> Network:
        """The network with its weights, ready to predict."""
        network = recipes.network(self.recipe, self.options, self.preprocessing, self.objective.outputs)
        network.load_state_dict(dict(self.weights))
        return network.eval()

    def to_bytes(self) -> bytes:
        """The file's content."""
        about = {
            "format": _FORMAT,
            "recipe": self.recipe.name,
            "options": self.options.model_dump(),
            "preprocessing": self.preprocessing.model_dump(),
            "objective": self.objective.model_dump(),
            "figures": dict(self.figures),
        }
        file = io.BytesIO()
        torch.save({"about": json.dumps(about), "weights": dict(self.weights)}, file)
        return file.getvalue()

    @classmethod
    def of_run(cls, run: "RunHandle") -> "Checkpoint":
        """The model of a run.

        Raises:
            Conflict: the run has none.
        """
        try:
            return cls.from_bytes(run.artifact(NAME))
        except NotFound:
            raise Conflict(
                f"Run {run.id} has no trained model (it is {run.record.status}). "
                "Only a run of a recipe has one, and only after its first epoch."
            ) from None

    @classmethod
    def from_bytes(cls, content: bytes) -> "Checkpoint":
        """Read a checkpoint. It may come from anybody: nothing in it is executed.

        Raises:
            InvalidData: not a checkpoint of this lab, damaged, or from a newer version.
        """
        try:
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            if "pytorch-lightning_version" in loaded:
                raise InvalidData(
                    "The checkpoint is that of somebody's own LightningModule: only its class makes it again, by "
                    "`load_from_checkpoint`. The run's artifact model.onnx is the module as ONNX."
                )
            about = json.loads(loaded["about"])
            if about["format"] != _FORMAT:
                raise InvalidData(
                    f"The checkpoint has format {about['format']}; this version reads format {_FORMAT}."
                )
            recipe = RECIPES[about["recipe"]]
            return cls(
                recipe=recipe,
                options=recipe.checked(about["options"]),
                preprocessing=_PREPROCESSING.validate_python(about["preprocessing"]),
                objective=_objective(about),
                weights=loaded["weights"],
                figures=about["figures"],
            )
        except InvalidData:
            raise
        # A file that is not a checkpoint makes torch's reader raise nearly anything.
        except Exception as error:
            raise InvalidData(f"The checkpoint cannot be read: {type(error).__name__}.") from error


def _objective(about: Mapping[str, Any]) -> Objective:
    """What a checkpoint was trained for; earlier versions knew one class only and wrote their names."""
    if "objective" in about:
        return stored_objective(about["objective"])
    return OneClass(classes=tuple(about["classes"]))
