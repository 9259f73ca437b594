"""How the learning rate changes in the course of training."""

import math

from modelship_lab.records.recipe_options import Schedule

__all__ = ["rate_factor"]

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
MOST_WARM_UP = 200
"""Steps in which it rises at most: who asks for very many epochs does not wait for it."""


def rate_factor(
    step: float, steps: int, schedule: Schedule = "cosine", warm_up: float | None = None
) -> float:
    """The learning rate at a step as a share of its highest value.

    It rises linearly, and falls to 0 along half a cosine (Loshchilov and Hutter, "SGDR", 2017) or a line, or stays.

    Args:
        step: from 0; a fraction where time counts instead of steps.
        steps: of the whole training.
        schedule: how it falls.
        warm_up: share of the steps in which it rises; default: a tenth of them, 200 steps at most.
    """
    usual = min(MOST_WARM_UP, max(1, round(steps * WARM_UP)))
    warm = usual if warm_up is None else round(steps * warm_up)
    if step < warm:
        return (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, steps - warm))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if schedule == "linear" else 1.0
