"""How sure a prediction is: the figures by which suggestions are accepted and the labeling queue is ordered."""

import math

import numpy as np

__all__ = ["certainty", "entropy_terms"]


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
    entropy = entropy_terms(probabilities).sum(1) / math.log(probabilities.shape[1])
    return {
        "confidence": confidence,
        "uncertainty": 1 - confidence,
        "margin": 1 - (confidence - highest[:, 0]),
        "entropy": np.clip(entropy, 0.0, 1.0),
    }


def entropy_terms(probabilities: np.ndarray) -> np.ndarray:
    """-p log p of each, 0 for what is impossible."""
    result: np.ndarray = -probabilities * np.log(np.maximum(probabilities, 1e-12))
    return result
