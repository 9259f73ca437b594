"""How sure a prediction is: the figures by which suggestions are accepted and the labeling queue is ordered."""

import math
from typing import Any

import numpy as np

from modelship_lab.bundles.reading import Reading

__all__ = ["certainty", "certainty_of_sets", "suggested"]


def certainty(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """For rows of probabilities over at least two classes: all between 0 and 1.

    Returns:
        confidence: of the likeliest class. uncertainty: 1 minus that (least confidence). margin: 1 minus the
        difference between the two likeliest. entropy: 1 when all classes are equally likely.
    """
    # float32's rounding may put one a hair above 1.
    probabilities = np.clip(np.asarray(probabilities, np.float64), 0.0, 1.0)
    highest = np.partition(probabilities, -2, axis=1)[:, -2:]
    confidence = highest[:, 1]
    entropy = _entropy_terms(probabilities).sum(1) / math.log(probabilities.shape[1])
    return {
        "confidence": confidence,
        "uncertainty": 1 - confidence,
        "margin": 1 - (confidence - highest[:, 0]),
        "entropy": np.clip(entropy, 0.0, 1.0),
    }


def certainty_of_sets(probabilities: np.ndarray, applying: np.ndarray) -> dict[str, np.ndarray]:
    """As `certainty`, for rows of the probabilities of having each class: as sure as the decision that is least sure.

    Args:
        applying: which classes are said to apply, bool (rows, classes).
    """
    probabilities = np.clip(np.asarray(probabilities, np.float64), 0.0, 1.0)
    confidence = np.where(applying, probabilities, 1 - probabilities).min(1)
    both = _entropy_terms(probabilities) + _entropy_terms(1 - probabilities)
    return {
        "confidence": confidence,
        "uncertainty": 1 - confidence,
        # Between this set and the next likeliest one lies the class that is least sure.
        "margin": np.minimum(2 * (1 - confidence), 1.0),
        "entropy": np.clip(both.mean(1) / math.log(2), 0.0, 1.0),
    }


def suggested(reading: Reading, outputs: np.ndarray) -> dict[str, Any]:
    """The columns of suggestions for outputs of a model: what it says, and how sure it is. Of a number it never is."""
    said = reading.said(outputs)
    if reading.kind == "number":
        return {"number": np.array(said), "confidence": np.zeros(len(said))}
    if reading.kind == "labels":
        return {"labels": said, **certainty_of_sets(outputs, reading.applying(outputs))}
    return {"label": said, **certainty(outputs)}


def _entropy_terms(probabilities: np.ndarray) -> np.ndarray:
    """-p log p of each, 0 for what is impossible."""
    result: np.ndarray = -probabilities * np.log(np.maximum(probabilities, 1e-12))
    return result
