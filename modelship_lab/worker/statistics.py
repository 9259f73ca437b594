"""What the worker did in each of the last seconds."""

from bisect import bisect_left
from collections.abc import Callable
from time import time
from typing import Any

from modelship_lab.records.serving import LATENCY_BOUNDS_MS

__all__ = ["KEPT_S", "Statistics"]

KEPT_S = 15 * 60


class Statistics:
    """Requests, errors, rows and latencies by second, for the last 15 minutes.

    Belongs to the event loop's thread.

    Args:
        now: the clock, in seconds since the Unix epoch.
    """

    def __init__(self, now: Callable[[], float] = time) -> None:
        self.now = now
        self.started_at = now()
        self._seconds: dict[int, _Second] = {}  # oldest first

    def count(self, latency_ms: float, rows: int, failed: bool) -> None:
        """Count one answered request in the present second."""
        time = int(self.now())
        second = self._seconds.get(time)
        if second is None:
            second = self._seconds[time] = _Second()
            for old in [old for old in self._seconds if old < time - KEPT_S]:
                del self._seconds[old]
        second.requests += 1
        second.errors += failed
        second.rows += rows
        second.latencies[bisect_left(LATENCY_BOUNDS_MS, latency_ms)] += 1

    def since(self, second: int) -> list[dict[str, Any]]:
        """The whole finished seconds after `second`, oldest first; those without a request are left out."""
        present = int(self.now())
        first = max(second + 1, present - KEPT_S)
        return [
            {
                "time": time,
                "requests": counted.requests,
                "errors": counted.errors,
                "rows": counted.rows,
                "latency_histogram": counted.latencies,
            }
            for time, counted in self._seconds.items()
            if first <= time < present
        ]


class _Second:
    __slots__ = ("errors", "latencies", "requests", "rows")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.rows = 0
        self.latencies = [0] * (len(LATENCY_BOUNDS_MS) + 1)
