"""What the outputs of a model say: a class, a set of classes, or a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelship_lab.records.bundle import BundleManifest, ModelKind

__all__ = ["Reading", "reading_of"]

USUAL_THRESHOLD = 0.5
"""From this probability on a class applies, where nothing better is known."""


@dataclass(frozen=True)
class Reading:
    """How outputs, float (rows, width), are read.

    Args:
        kind: `label`: probabilities, of which the highest decides; `labels`: a probability of each class, which
            applies from its threshold on; `number`: the number.
        classes: their names; none of a number.
        thresholds: one for each class of `labels`; default: a half.
        unit: what a number is counted in; empty: nobody has said.
    """

    kind: ModelKind = "label"
    classes: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    unit: str = ""

    @property
    def width(self) -> int:
        """How many outputs a row has."""
        return 1 if self.kind == "number" else len(self.classes)

    def applying(self, outputs: np.ndarray) -> np.ndarray:
        """Which classes apply, of `labels`: bool (rows, classes)."""
        wanted = self.thresholds or (USUAL_THRESHOLD,) * len(self.classes)
        found: np.ndarray = outputs >= np.asarray(wanted, outputs.dtype)
        return found

    def said(self, outputs: np.ndarray) -> list[Any]:
        """For each row the class, the list of classes, or the number."""
        if self.kind == "number":
            return list(map(float, outputs[:, 0]))
        if self.kind == "labels":
            return [
                [name for name, applies in zip(self.classes, row, strict=True) if applies]
                for row in self.applying(outputs).tolist()
            ]
        return [self.classes[place] for place in outputs.argmax(1).tolist()]

    def confidence(self, outputs: np.ndarray) -> np.ndarray | None:
        """How probable it is that what is said is right, (rows); of a set of classes, the decision that is least sure.

        None for numbers: a model does not say how sure it is of one.
        """
        if self.kind == "number":
            return None
        if self.kind == "labels":
            lowest: np.ndarray = np.where(self.applying(outputs), outputs, 1 - outputs).min(1)
            return lowest
        highest: np.ndarray = outputs.max(1)
        return highest

    def probabilities(self, outputs: np.ndarray) -> Sequence[Any] | np.ndarray:
        """Those of the classes, for each row; of a number there are none."""
        return [[] for _ in outputs] if self.kind == "number" else outputs

    def differing(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """In which rows two outputs say something else, bool (rows); of numbers the difference itself tells."""
        if self.kind == "number":
            return np.zeros(len(one), bool)
        if self.kind == "labels":
            differs: np.ndarray = (self.applying(one) != self.applying(other)).any(1)
            return differs
        return np.asarray(one.argmax(1) != other.argmax(1))


def reading_of(manifest: BundleManifest) -> Reading:
    """How the outputs of a bundle's model are read."""
    return Reading(manifest.kind, manifest.classes, manifest.thresholds, manifest.unit)
