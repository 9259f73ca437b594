"""How far training is, and how fast."""

import math
import time

__all__ = ["LEAST_STEPS_ON_DEVICE", "POINTS", "Pace"]

POINTS = 2000
"""About so many points of each training curve are logged at most."""
LEAST_STEPS_ON_DEVICE = 10
"""Reading a loss makes the processor wait for the GPU, so that is done this seldom at most."""
INTERVAL_S = 1.0


class Pace:
    """Counts rows and steps; tells `samples_per_s` since it was told last, `progress` in percent and `remaining_s`.

    Args:
        steps: of the whole training; infinite when nobody knows.
        first_step: how many are done already.
    """

    def __init__(self, steps: float, first_step: int = 0) -> None:
        self.rows = 0
        """Since it was told last."""
        self._steps = steps
        self._first_step = first_step
        self._told_step: int | None = None
        self._started_s = self._told_s = time.perf_counter()

    @property
    def is_due(self) -> bool:
        """Whether it was told long enough ago."""
        return time.perf_counter() - self._told_s >= INTERVAL_S

    def figures(self, done: int) -> dict[str, float]:
        """What is to be logged when so many steps are done; the validation is part of the time.

        Nothing if that was told: a second point of the same step would take the first one's place, and every chart
        would have to ask for the run anew.
        """
        if done == self._told_step:
            return {}
        self._told_step = done
        now_s = time.perf_counter()
        figures = {}
        if self.rows:
            figures["samples_per_s"] = self.rows / (now_s - self._told_s)
        if math.isfinite(self._steps):
            figures["progress"] = 100 * min(done / self._steps, 1.0)
            if done > self._first_step:
                each_s = (now_s - self._started_s) / (done - self._first_step)
                figures["remaining_s"] = each_s * max(self._steps - done, 0)
        self.rows, self._told_s = 0, now_s
        return figures
