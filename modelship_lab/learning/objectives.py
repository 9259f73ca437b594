"""What a model is trained for: one class of each sample, several classes, or a number.

An objective is all that differs between them: what the labels are as a tensor, the loss, what the network's logits
mean, and the figures of a validation. It travels in the checkpoint, with what was fitted to the data, so that the
exported model says what the trained one says.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, TypeAdapter
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from modelship_lab.bundles.reading import USUAL_THRESHOLD, Reading
from modelship_lab.learning.split import (
    LEAST_OF_A_CLASS,
    Split,
    check_counts,
    check_numbers,
    split_strata,
)
from modelship_lab.records.base import Record
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import Snapshot

__all__ = ["Number", "Objective", "OneClass", "SeveralClasses", "objective_of", "stored_objective"]

MOST_POSITIVE_WEIGHT = 10.0
"""How much a sample that has a rare class counts at most, where a sample may have several."""
LEAST_FOR_A_THRESHOLD = 20
"""Rows of the validation that have a class, and that have it not, from which its threshold is chosen."""
NUMBER_STRATA = 10
"""Numbers are split so that every part has as many of each tenth of them."""
USUAL_SPREAD = 0.3
"""Standard deviation of the logarithms of temperatures that are expected before anything is known."""
COOLEST, WARMEST = 0.05, 20.0
"""Between these a temperature is looked for."""


class OneClass(Record):
    """Each sample has one class; the network's logits are scores of the classes."""

    kind: Literal["label"] = "label"
    classes: tuple[str, ...]
    temperature: float = Field(default=1.0, gt=0)
    """Logits are divided by it, so that probabilities are as high as the model is often right (Guo et al., "On
    Calibration of Modern Neural Networks", 2017)."""

    @property
    def outputs(self) -> int:
        """Width of the network's logits."""
        return len(self.classes)

    @property
    def reading(self) -> Reading:
        """How what `activation` gives is read."""
        return Reading("label", self.classes)

    @property
    def answer_scale(self) -> float:
        """By how much an answer would have to differ to be quite another one."""
        return 1.0

    def targets(self, table: pa.Table) -> np.ndarray:
        """What a snapshot's table says of each row: int64 (rows), indexes into `classes`."""
        return np.asarray(table.column("label").to_numpy(), np.int64)

    def fitted(self, targets: np.ndarray) -> "OneClass":
        """This objective with what it takes from the targets of the training rows: here nothing."""
        return self

    def split(
        self,
        targets: np.ndarray,
        ids: np.ndarray,
        held_out: tuple[float, float],
        seed: int,
        given: list[str | None],
    ) -> Split:
        """Which rows train, validate and test; as `split.split_rows`."""
        counts = np.bincount(targets, minlength=len(self.classes))
        check_counts(dict(zip(self.classes, counts.tolist(), strict=True)))
        return split_strata(self.strata(targets), ids, held_out, seed, given)

    def strata(self, targets: np.ndarray) -> np.ndarray:
        """What parts of the rows have about the same shares of, int (rows) from 0."""
        return targets

    def balanced_weights(self, targets: Tensor) -> Tensor:
        """Weights with which every class that is there counts the same; a row's weight is 1 on average."""
        counts = torch.bincount(targets, minlength=len(self.classes)).float()
        present = counts > 0
        return torch.where(present, len(targets) / counts.clamp_min(1) / present.sum(), 1.0).float()

    def row_weights(self, targets: np.ndarray) -> np.ndarray:
        """How often a balanced sampler draws each row, float64 (rows): every class is drawn as often."""
        counts = np.bincount(targets, minlength=len(self.classes))
        weights: np.ndarray = 1.0 / counts[targets]
        return weights

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean cross-entropy; weights are those of the classes."""
        return functional.cross_entropy(logits, targets, weights)

    def activation(self, logits: Tensor) -> Tensor:
        """Probabilities (rows, classes)."""
        return (logits / self.temperature).softmax(-1)

    def figures(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        """What is logged of a validation."""
        classes = len(self.classes)
        places = targets * classes + logits.argmax(1)
        confusion = torch.bincount(places, minlength=classes * classes).view(classes, classes).cpu().double()
        correct, actual, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
        f1 = 2 * correct / (actual + predicted).clamp_min(1)
        return {
            "val_accuracy": float(correct.sum() / actual.sum()),
            # Classes without a validation row say nothing about the model.
            "val_f1": float(f1[actual > 0].mean()),
        }

    def calibrated(self, logits: Tensor, targets: Tensor) -> "OneClass":
        """This objective with the temperature at which the rows are the least surprising."""
        scores = logits.detach().double()

        def surprise(temperature: float) -> float:
            return float(functional.cross_entropy(scores / temperature, targets))

        return self.model_copy(update={"temperature": _lowest(surprise, len(targets))})

    def decided(self, logits: Tensor, targets: Tensor) -> "OneClass":
        """This objective with what else decides between answers, chosen on the validation rows: here nothing."""
        return self


class SeveralClasses(Record):
    """Each sample has any number of classes; each logit decides on one of them."""

    kind: Literal["labels"] = "labels"
    classes: tuple[str, ...]
    temperature: float = Field(default=1.0, gt=0)
    thresholds: tuple[float, ...] = ()
    """From which probability on a sample is said to have each class; empty: a half."""

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def reading(self) -> Reading:
        return Reading("labels", self.classes, self.thresholds)

    @property
    def answer_scale(self) -> float:
        return 1.0

    def targets(self, table: pa.Table) -> np.ndarray:
        """float32 (rows, classes): 1 for the classes that a sample has."""
        lists = table.column("labels").combine_chunks()
        lengths = np.nan_to_num(lists.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
        found = np.zeros((len(lists), len(self.classes)), np.float32)
        found[np.repeat(np.arange(len(lists)), lengths), lists.flatten().to_numpy()] = 1
        return found

    def fitted(self, targets: np.ndarray) -> "SeveralClasses":
        return self

    def split(
        self,
        targets: np.ndarray,
        ids: np.ndarray,
        held_out: tuple[float, float],
        seed: int,
        given: list[str | None],
    ) -> Split:
        """As `OneClass.split`; a row goes by the rarest of its classes, so that those are in all parts."""
        counts = targets.sum(0)
        check_counts(dict(zip(self.classes, counts.astype(int).tolist(), strict=True)), least_classes=1)
        if not len(targets):
            raise InvalidData("There are no labels to train on. Label some samples first.")
        return split_strata(self.strata(targets), ids, held_out, seed, given)

    def strata(self, targets: np.ndarray) -> np.ndarray:
        rarity = np.where(targets > 0, targets.sum(0), np.inf)
        strata = np.where(targets.any(1), rarity.argmin(1), len(self.classes))
        # What is too rare to be in all parts is split with the rows that have no class.
        strata[np.bincount(strata)[strata] < LEAST_OF_A_CLASS] = len(self.classes)
        return strata

    def balanced_weights(self, targets: Tensor) -> Tensor:
        """How much having each class counts: as much as not having it, within a limit."""
        having = targets.sum(0)
        return ((len(targets) - having) / having.clamp_min(1)).clamp(1.0, MOST_POSITIVE_WEIGHT).float()

    def row_weights(self, targets: np.ndarray) -> np.ndarray:
        """As `OneClass.row_weights`, by the rarest of a row's classes; a row without any counts as the commonest."""
        shares = np.where(targets > 0, 1.0 / np.maximum(targets.sum(0), 1), 0).max(1)
        weights: np.ndarray = np.where(shares > 0, shares, 1.0 / len(targets))
        return weights

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean of the binary cross-entropies; weights are those of having a class."""
        return functional.binary_cross_entropy_with_logits(
            logits, targets.to(logits.dtype), pos_weight=weights
        )

    def activation(self, logits: Tensor) -> Tensor:
        """Probabilities of having each class (rows, classes)."""
        return (logits / self.temperature).sigmoid()

    def figures(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        predicted, actual = (logits > 0).cpu(), (targets > 0).cpu()
        both = (predicted & actual).sum(0).double()
        sums = predicted.sum(0).double() + actual.sum(0)
        there = actual.any(0)
        return {
            "val_accuracy": float((predicted == actual).all(1).double().mean()),
            "val_f1": float((2 * both / sums.clamp_min(1))[there].mean()) if there.any() else 0.0,
        }

    def calibrated(self, logits: Tensor, targets: Tensor) -> "SeveralClasses":
        scores, wanted = logits.detach().double(), targets.double()

        def surprise(temperature: float) -> float:
            return float(functional.binary_cross_entropy_with_logits(scores / temperature, wanted))

        return self.model_copy(update={"temperature": _lowest(surprise, len(targets))})

    def decided(self, logits: Tensor, targets: Tensor) -> "SeveralClasses":
        """This objective with the threshold of each class at which its F1 is highest (Lipton et al., "Optimal
        Thresholding of Classifiers to Maximize F1 Measure", 2014); a half where too few rows have the class."""
        probabilities = self.activation(logits.detach().double()).cpu().numpy()
        having = targets.cpu().numpy() > 0
        thresholds = tuple(map(_best_threshold, probabilities.T, having.T))
        return self.model_copy(update={"thresholds": thresholds})


class Number(Record):
    """Each sample has a number; the network's one logit is it in standard deviations from the mean."""

    kind: Literal["number"] = "number"
    center: float = 0.0
    """Mean of the training rows."""
    scale: float = Field(default=1.0, gt=0)
    """Their standard deviation."""
    unit: str = ""
    """What they are counted in; empty: nobody has said."""

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    @property
    def outputs(self) -> int:
        return 1

    @property
    def reading(self) -> Reading:
        return Reading("number", unit=self.unit)

    @property
    def answer_scale(self) -> float:
        # Beside a mean that is much larger, the deviation is finer than the 32 bits of an answer.
        return max(self.scale, abs(self.center) / 100)

    def targets(self, table: pa.Table) -> np.ndarray:
        """float64 (rows)."""
        return np.array(table.column("number").to_numpy(zero_copy_only=False), np.float64)

    def fitted(self, targets: np.ndarray) -> "Number":
        """This objective with the mean and the standard deviation of the training rows."""
        return Number(center=float(targets.mean()), scale=float(targets.std()) or 1.0, unit=self.unit)

    def split(
        self,
        targets: np.ndarray,
        ids: np.ndarray,
        held_out: tuple[float, float],
        seed: int,
        given: list[str | None],
    ) -> Split:
        """As `OneClass.split`; each tenth of the numbers is in all parts."""
        check_numbers(len(targets))
        return split_strata(self.strata(targets), ids, held_out, seed, given)

    def strata(self, targets: np.ndarray) -> np.ndarray:
        ranks = np.argsort(np.argsort(targets, kind="stable"), kind="stable")
        tenths: np.ndarray = ranks * min(NUMBER_STRATA, len(targets) // 3) // len(targets)
        return tenths

    def balanced_weights(self, targets: Tensor) -> Tensor:
        """Numbers have no classes that could be balanced."""
        return torch.ones(1, device=targets.device)

    def row_weights(self, targets: np.ndarray) -> np.ndarray:
        return np.ones(len(targets))

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean squared error in standard deviations."""
        wanted = ((targets - self.center) / self.scale).to(logits.dtype)
        return functional.mse_loss(logits.squeeze(-1), wanted)

    def activation(self, logits: Tensor) -> Tensor:
        """The numbers (rows, 1) in their own unit."""
        return logits * self.scale + self.center

    def figures(self, logits: Tensor, targets: Tensor) -> dict[str, float]:
        errors = self.activation(logits.double()).squeeze(-1) - targets.double()
        spread = (targets.double() - targets.double().mean()).square().sum()
        return {
            "val_mae": float(errors.abs().mean()),
            "val_rmse": float(errors.square().mean().sqrt()),
            "val_r2": float(1 - errors.square().sum() / spread) if spread > 0 else 0.0,
        }

    def calibrated(self, logits: Tensor, targets: Tensor) -> "Number":
        """A number has no probability that could be calibrated."""
        return self

    def decided(self, logits: Tensor, targets: Tensor) -> "Number":
        return self


Objective = Annotated[OneClass | SeveralClasses | Number, Field(discriminator="kind")]
_STORED: TypeAdapter[OneClass | SeveralClasses | Number] = TypeAdapter(Objective)


def objective_of(snapshot: Snapshot) -> Objective:
    """What a model of a snapshot is trained for.

    Raises:
        InvalidData: what the snapshot says of its samples is nothing that a recipe learns.
    """
    if snapshot.kind == "label":
        return OneClass(classes=snapshot.classes)
    if snapshot.kind == "labels":
        return SeveralClasses(classes=snapshot.classes)
    if snapshot.kind == "number":
        return Number(unit=snapshot.unit)
    raise InvalidData(
        f"Snapshot {snapshot.id} says {snapshot.kind} of each sample: there is no recipe for that. "
        "Train with your own LightningModule on `lab.snapshot(...).table()`."
    )


def stored_objective(content: object) -> Objective:
    """An objective from what `model_dump` made of it."""
    return _STORED.validate_python(content)


def _best_threshold(probabilities: np.ndarray, having: np.ndarray) -> float:
    """The threshold with the highest F1, halfway between two probabilities; of equally good ones the nearest to a half."""
    if min(having.sum(), (~having).sum()) < LEAST_FOR_A_THRESHOLD:
        return USUAL_THRESHOLD
    order = np.sort(np.unique(probabilities))
    candidates = np.append((order[1:] + order[:-1]) / 2, USUAL_THRESHOLD)
    candidates = candidates[np.argsort(np.abs(candidates - USUAL_THRESHOLD), kind="stable")]
    ranks = np.sort(probabilities), np.sort(probabilities[having])
    chosen, right = (len(each) - np.searchsorted(each, candidates, side="left") for each in ranks)
    return float(candidates[np.argmax(2 * right / np.maximum(chosen + having.sum(), 1))])


def _lowest(surprise: Callable[[float], float], rows: int) -> float:
    """The temperature with the lowest mean surprise. Of few rows it stays near 1, as they may well be the easy ones."""
    doubt = 1 / (2 * USUAL_SPREAD**2 * max(rows, 1))
    found = minimize_scalar(
        lambda log: surprise(math.exp(log)) + doubt * log**2,
        bounds=(math.log(COOLEST), math.log(WARMEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(math.exp(found.x))
