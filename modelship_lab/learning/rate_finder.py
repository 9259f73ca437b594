"""A learning rate found by a short trial (Smith, "Cyclical Learning Rates for Training Neural Networks", 2017)."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from modelship_lab.learning.loop import adamw
from modelship_lab.learning.network import Network
from modelship_lab.learning.rows import Batches
from modelship_lab.learning.run_log import RunLog

__all__ = ["find_rate"]

LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 80
SMOOTHING = 0.9
"""Share of the mean loss that a step keeps."""
DIVERGED = 4.0
"""A loss so many times the best ends the trial."""
FALL_STEPS = 12
USUAL = 1e-3


def find_rate(
    network: Network,
    batches: Batches,
    loss: Callable[[dict[str, Tensor], Tensor], Tensor],
    weight_decay: float,
    run: RunLog,
) -> float:
    """Train for some steps at ever larger rates, and take the one at which the loss falls the fastest.

    The network is as before afterwards. The run gets the curve: `finder_loss` over `finder_learning_rate`.

    Args:
        network: untrained, on its device.
        batches: of the training rows, on the same device.
        loss: of a batch.
        weight_decay: as in the training.
        run: where the curve goes.
    """
    before = copy.deepcopy(network.state_dict())
    optimizer = adamw(network, 1.0, weight_decay)
    shares = [group["lr"] for group in optimizer.param_groups]
    rates, losses = [], []
    smooth, lowest = 0.0, math.inf
    network.train()
    random = torch.get_rng_state()
    for step in range(STEPS):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share
        inputs, targets = next(batches.of_pass(step // len(batches), step % len(batches)))
        optimizer.zero_grad()
        value = loss(inputs, targets)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        smooth = SMOOTHING * smooth + (1 - SMOOTHING) * float(value.detach())
        mean = smooth / (1 - SMOOTHING ** (step + 1))
        run.log({"finder_loss": mean, "finder_learning_rate": rate}, step=step)
        lowest = min(lowest, mean)
        if not math.isfinite(mean) or mean > DIVERGED * lowest:
            break
        rates.append(rate)
        losses.append(mean)
    network.load_state_dict(before)
    network.zero_grad()
    torch.set_rng_state(random)
    return _steepest(rates, losses)


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The rate in the middle of the steepest fall on the way to the lowest loss; falls are those of some steps."""
    end = int(np.argmin(losses)) + 1 if losses else 0
    starts = range(max(0, end - FALL_STEPS + 1))
    slopes = [np.polyfit(range(FALL_STEPS), losses[start : start + FALL_STEPS], 1)[0] for start in starts]
    if not slopes or min(slopes) >= 0:
        return USUAL
    return rates[int(np.argmin(slopes)) + FALL_STEPS // 2]
