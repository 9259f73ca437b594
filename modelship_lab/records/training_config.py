"""The configuration of a training as FinSight's model builder writes it, in YAML or JSON."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from modelship_lab.records.base import Record
from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN
from modelship_lab.records.errors import InvalidInput

__all__ = [
    "DataConfig",
    "PreprocessingConfig",
    "TrainingConfig",
    "TrainingSection",
    "read_config",
    "template",
]

LINEAR = "text-linear"
ENCODER = "text-encoder"
BACKBONE_PART = 300
"""How many times the rate of its encoder the recipe text-encoder takes for the layer on top."""


class TrainingSection(Record):
    backbone: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="An encoder of the Hugging Face hub, e.g. ProsusAI/finbert, or a folder. Default: none; a linear "
        "model on words, which needs nothing from anywhere.",
    )
    batch_size: int | None = Field(default=None, ge=1, le=65_536, description="Rows in one step.")
    learning_rate: float | None = Field(default=None, gt=0, le=10, description="Highest step size.")
    num_epochs: int | None = Field(default=None, ge=1, le=10_000, description="Most passes over the data.")
    random_seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Weights and order follow from it."
    )
    fp16: bool = Field(default=False, description="Mixed precision where there is a GPU; without, 32 bits.")
    gradient_checkpointing: bool = Field(default=False, description="Less memory, more time.")


class PreprocessingConfig(Record):
    text_column: str = Field(default=TEXT_COLUMN, min_length=1, description="Where the texts are.")
    label_column: str = Field(default=LABEL_COLUMN, min_length=1, description="Where their classes are.")
    max_length: int | None = Field(default=None, ge=4, le=8192, description="Tokens of a text that are read.")
    truncation: bool = Field(
        default=True, description="Longer texts are cut: without, there is no way to read them."
    )
    padding: bool = Field(
        default=True, description="Shorter texts are filled up to the longest of their batch."
    )


class DataConfig(Record):
    train_split: float = Field(default=0.8, gt=0, lt=1, description="Share of the rows that train.")
    val_split: float = Field(default=0.1, gt=0, lt=1, description="Share that chooses the best epoch.")
    test_split: float = Field(default=0.1, gt=0, lt=1, description="Share that the final figures are of.")
    random_seed: int | None = Field(default=None, ge=0, lt=2**31, description="The split follows from it.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train_split + self.val_split + self.test_split - 1) > 1e-6:
            raise ValueError("train_split, val_split and test_split must add up to 1")
        return self


class TrainingConfig(Record):
    """What is to be trained, on which columns, and how the rows are split."""

    training: TrainingSection = TrainingSection()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    data: DataConfig = DataConfig()

    @property
    def recipe(self) -> str:
        """The lab's recipe for it."""
        return LINEAR if self.training.backbone is None else ENCODER

    def options(self) -> dict[str, Any]:
        """The options of the recipe; what is not said is the recipe's own default."""
        training, data = self.training, self.data
        wanted: dict[str, Any] = {
            "batch_size": training.batch_size,
            "learning_rate": training.learning_rate,
            "epochs": training.num_epochs,
            # One seed makes the split, the weights and the order of the rows.
            "seed": training.random_seed if training.random_seed is not None else data.random_seed,
            "max_length": self.preprocessing.max_length,
        }
        if "data" in self.model_fields_set:
            wanted |= {"validation": min(data.val_split, 0.4), "holdout": min(data.test_split, 0.4)}
        if training.num_epochs is not None:
            # So many are meant; the model is that of the best one all the same.
            wanted["patience"] = 0
        if training.fp16:
            wanted["precision"] = "16"
        if training.backbone is not None:
            # Without a backbone there are no activations worth computing twice.
            wanted["gradient_checkpointing"] = training.gradient_checkpointing or None
            wanted |= {"encoder": training.backbone, "mode": "full"}
            if training.learning_rate is not None:
                # Here the backbone's own rate is meant; the recipe is told that of the layer on top.
                wanted["learning_rate"] = min(training.learning_rate * BACKBONE_PART, 10.0)
        return {name: value for name, value in wanted.items() if value is not None}


def read_config(file: Path) -> TrainingConfig:
    """The configuration in a YAML file.

    Raises:
        InvalidInput: with everything that is wrong in it.
    """
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InvalidInput(f"The configuration {file} cannot be read: {said}.") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"The configuration {file} is no YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict | None):
        raise InvalidInput(
            f"The configuration {file} must be a mapping with training, preprocessing and data."
        )
    try:
        # Not strict: YAML 1.1 takes `2e-5`, without a point, for a text.
        return TrainingConfig.model_validate(content or {})
    except ValidationError as error:
        details = [
            {"field": ".".join(map(str, problem["loc"])) or "configuration", "reason": problem["msg"].lower()}
            for problem in error.errors()
        ]
        told = "; ".join(f"{one['field']}: {one['reason']}" for one in details)
        raise InvalidInput(f"The configuration {file} is not valid: {told}.", details) from None


def template() -> str:
    """A configuration with every field, its default and what it means."""
    lines = ["# Configuration of a training. What is left out keeps its default."]
    example: dict[str, Any] = {
        "backbone": "ProsusAI/finbert",
        "batch_size": 16,
        "learning_rate": 2e-5,
        "num_epochs": 3,
        "random_seed": 42,
        "max_length": 512,
    }
    for section, field in TrainingConfig.model_fields.items():
        lines.append(f"\n{section}:")
        record = field.annotation
        assert isinstance(record, type) and issubclass(record, Record)
        for name, one in record.model_fields.items():
            value = example.get(name) if one.default is None else one.default
            written = yaml.safe_dump(value).splitlines()[0] if isinstance(value, (bool, str)) else repr(value)
            lines.append(f"  # {one.description}")
            lines.append(f"  {name}: {written}")
    return "\n".join(lines) + "\n"
